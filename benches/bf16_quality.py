"""Training in bf16 beside f32 on the synthetic set, five seeds: bf16_quality.py BCREID [SEEDS [FOLDER]].

BCREID is the program, for example target/release/bcreid. Each seed trains twice with the settings of the demo, in f32 and
in bf16, and is evaluated in f32 and in the precision of its training. Printed are rank-1 and mAP of each, their means and
standard deviations (of the seeds, with n - 1), and the difference of the means.
"""

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path


def run(*command):
    subprocess.run([str(part) for part in command], check=True, stdout=subprocess.DEVNULL)


def scores(bcreid, out, data, precision):
    file = out.with_suffix(f".{precision}.json")
    run(bcreid, "eval", "--run", out, "--data", data, "--device", "cpu", "--precision", precision, "--json", file)
    table = json.loads(file.read_text())
    return table["rank1"], table["map_market"]


def main():
    bcreid = Path(sys.argv[1]).resolve()
    seeds = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    if seeds < 2:
        sys.exit("bf16_quality.py: give at least 2 seeds: a standard deviation needs them")
    folder = Path(sys.argv[3] if len(sys.argv) > 3 else tempfile.mkdtemp())
    data = folder / "made-up"
    if not data.exists():
        run(bcreid, "synth", "--out", data)
    results = {}
    for seed in range(1, seeds + 1):
        for precision in ("f32", "bf16"):
            out = folder / f"{precision}-{seed}"
            if not (out / "weights.safetensors").exists():
                options = ("--config", "demo", "--device", "cpu", "--precision", precision, "--set", f"run.seed={seed}")
                run(bcreid, "train", "--data", data, "--out", out, *options)
            for evaluated in sorted({"f32", precision}):
                found = scores(bcreid, out, data, evaluated)
                results.setdefault((precision, evaluated), []).append(found)
                print(f"seed {seed}, trained in {precision}, evaluated in {evaluated}: rank-1, mAP {found}", flush=True)
    for key, found in results.items():
        for name, values in zip(("rank-1", "mAP"), zip(*found)):
            mean, spread = statistics.mean(values), statistics.stdev(values)
            base = statistics.mean(row[("rank-1", "mAP").index(name)] for row in results["f32", "f32"])
            print(f"trained in {key[0]}, evaluated in {key[1]}, {name}: {mean:.4f} +- {spread:.4f}, {mean - base:+.4f}")


main()
