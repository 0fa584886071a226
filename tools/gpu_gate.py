"""What a GPU must show before bcreid is said to run on one; docs/gpu.md says what is checked and why.

bundle [DIR]          build, and pack what the checks need into DIR (default target/gpu-gate)
plan BUNDLE OUT.json  print the calls that make up the gate, in order of value, each of less than ten minutes
run BUNDLE OUT.json   run the checks and add the results to the evidence; the exit status is 1 if one failed
table FILE.json...    evidence as a table in Markdown

Python's standard library alone. A check has passed, has failed, or could not run, and then it says why.
"""

import argparse
import datetime
import json
import os
import pathlib
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import gpu_gate_checks as checks
import gpu_gate_evidence as evidences

ROOT = pathlib.Path(__file__).resolve().parent.parent
LARGEST = 60e6
# What the executables read at the place where they were built.
SOURCES = ["tests/golden", "cuda", "tools/softcuda", "benches", "configs"]
TESTS = ["ops", "cuda_libraries", "device"]
OUTCOMES = ["passed", "failed", "not run"]


# The files whose tests are true of a GPU; the others are about the stand-ins.
STEMS = {
    "cuda_libraries": ["convolution", "product", "batchnorm"],
    "device": ["runs", "bits", "streams", "evaluation", "batchnorm"],
}


def built(*arguments):
    """Runs cargo; yields its messages."""
    command = [os.environ.get("CARGO", "cargo"), *arguments, "--message-format=json-render-diagnostics"]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"gpu_gate: {' '.join(command)} failed")
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def stems(binary, name):
    """The tests of an executable, by the file that they are in."""
    listed = subprocess.run([binary, "--list"], stdout=subprocess.PIPE, text=True, check=True).stdout
    tests = {}
    for line in listed.splitlines():
        if line.endswith(": test"):
            test = line.removesuffix(": test")
            tests.setdefault(test.split("::")[0], []).append(test)
    return {stem: tests[stem] for stem in STEMS.get(name, tests)}


def bundle(folder, chip):
    if chip:
        os.environ["BCREID_CUDA_ARCHS"] = chip
    tests = [name for name in TESTS if (ROOT / "tests" / name / "main.rs").is_file()]
    messages = built("build", "--release", "--bin", "bcreid")
    messages += built("test", "--release", "--no-run", *(word for name in tests for word in ("--test", name)))
    messages += built("bench", "--no-run", "--bench", "kernels")
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "bin").mkdir(parents=True)
    # By the place where an executable looks for it: what lies there in the bundle.
    places = {str(ROOT): "repo"}
    by_stem = {}
    for message in messages:
        name = message.get("target", {}).get("name")
        if message.get("executable") and name in ["bcreid", "kernels", *tests]:
            if name in tests:
                by_stem[name] = stems(message["executable"], name)
            copy = folder / "bin" / name
            shutil.copy2(message["executable"], copy)
            subprocess.run(["strip", copy], check=True)
            if name == "bcreid":
                places[message["executable"]] = "bin/bcreid"
        for variable, value in message.get("env") or []:
            if variable == "BCREID_LAB_FATBIN":
                shutil.copy2(value, folder / "lab.fatbin")
                places[value] = "lab.fatbin"
    for source in SOURCES:
        tracked = subprocess.run(["git", "ls-files", source], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
        for file in tracked.stdout.splitlines():
            (folder / "repo" / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / file, folder / "repo" / file)
    for file in ["gpu-gate.sh", "gpu_gate.py", "gpu_gate_checks.py", "gpu_gate_evidence.py"]:
        shutil.copy2(ROOT / "tools" / file, folder / file)
    git = lambda *words: subprocess.run(["git", *words], cwd=ROOT, stdout=subprocess.PIPE, text=True).stdout.strip()
    target = os.environ.get("CARGO_TARGET_DIR", "target")
    description = {
        "commit": git("rev-parse", "HEAD"),
        "uncommitted_changes": bool(git("status", "--porcelain")),
        "stems": by_stem,
        "places": places,
        "scratch": str((ROOT / target).resolve() / "tmp"),
    }
    (folder / "bundle.json").write_text(json.dumps(description, indent=1) + "\n")
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    print(f"{folder}: {size / 1e6:.1f} MB")
    if size > LARGEST:
        sys.exit(f"gpu_gate: that is more than {LARGEST / 1e6:.0f} MB; --chip NUMBER packs the kernels of one chip only")


def plan(bundle, evidence):
    for stage, what in checks.STAGES.items():
        print(f"# {stage}: {what}\n{sys.argv[0]} run {bundle} {evidence} --stage {stage}")


def run(options):
    if not (options.bundle / "bundle.json").is_file():
        sys.exit(f"gpu_gate: {options.bundle} is no bundle; gpu-gate.sh bundle makes one")
    gate = checks.Gate(options.bundle.resolve(), options)
    try:
        gate.places()
    except (checks.Failed, OSError) as error:
        sys.exit(f"gpu_gate: {error}")
    environment = {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "small": options.small,
        **{key: gate.about[key] for key in ("commit", "uncommitted_changes")},
        **gate.machine(),
    }
    try:
        evidence = evidences.Evidence(options.evidence.absolute(), environment)
    except (evidences.Mismatch, ValueError, KeyError) as error:
        sys.exit(f"gpu_gate: {options.evidence} is not added to: {error}")
    results = []
    for stage in options.stage or checks.STAGES:
        gate.begin(evidence.log(stage))
        for of, name, check in gate.checks():
            if of != stage or (options.only and not any(name.startswith(wish) for wish in options.only)):
                continue
            result = checks.begun(stage, name)
            evidence.put(result)
            gate.note(f"\n==== {name}, {result['date']}\n")
            result = checks.outcome(result, check)
            gate.note(f"==== {name}: {result['outcome']}: {result['detail']}\n")
            evidence.put(result)
            results.append(result)
            print(f"{result['outcome']:8} {result['seconds']:7.1f} s  {name}: {result['detail']}", flush=True)
    counts = {outcome: sum(result["outcome"] == outcome for result in results) for outcome in OUTCOMES}
    if counts["failed"]:
        print(f"what the checks made stays in {gate.work}")
    else:
        gate.clean_up()
    print(", ".join(f"{count} {outcome}" for outcome, count in counts.items()) + f": {options.evidence}")
    return 1 if counts["failed"] or not results else 0


def table(files):
    rows = []
    for file in files:
        evidence = json.loads(file.read_text())
        if evidence["small"] or evidence["device"].startswith("softcuda"):
            print(f"gpu_gate: {file} is of a rehearsal and stays out", file=sys.stderr)
            continue
        rows.append((file.name, evidence))
    if not rows:
        print("No evidence yet: nothing has been run on a GPU.")
        return
    print("| evidence | device | driver | commit | passed | failed | not run |\n|---|---|---|---|---|---|---|")
    for name, evidence in rows:
        counts = [sum(check["outcome"] == outcome for check in evidence["checks"]) for outcome in OUTCOMES]
        cells = [name, evidence["device"], evidence["driver"] or "", evidence["commit"][:10], *counts]
        print("| " + " | ".join(map(str, cells)) + " |")
    print("\n| evidence | step | ms | images/s |\n|---|---|---|---|")
    for name, evidence in rows:
        for check in evidence["checks"]:
            for step, times in check["figures"].get("steps", {}).items():
                print(f"| {name} | {step} | {times['median_ms']:.3f} | {times['images_per_second']:.0f} |")
    kinds = [
        (name, check["name"], kind)
        for name, evidence in rows
        for check in evidence["checks"]
        for kind in check["figures"].get("batchnorm", {}).get("kinds", [])
    ]
    if kinds:
        print("\n| evidence | check | batch norm | layers | own, us | cuDNN, us | faster |")
        print("|---|---|---|---|---|---|---|")
    for name, check, kind in kinds:
        own, cudnn = (sum(kind[of].values()) for of in ("own", "cudnn"))
        shape = " x ".join(map(str, kind["shape"])) + (", residual" if kind["residual"] else "")
        faster = "own" if own <= cudnn else "cuDNN"
        print(f"| {name} | {check} | {shape} | {kind['layers']} | {own:.1f} | {cudnn:.1f} | {faster} |")
    bad = [(name, check) for name, evidence in rows for check in evidence["checks"] if check["outcome"] != "passed"]
    if bad:
        print()
    for name, check in bad:
        print(f"- {name}: {check['name']}, {check['outcome']}: {check['detail']}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("bundle")
    command.add_argument("folder", nargs="?", type=pathlib.Path, default=ROOT / "target" / "gpu-gate")
    chip = "kernels of this chip alone, by its compute capability: 90 for an H100 (default: BCREID_CUDA_ARCHS, or all)"
    command.add_argument("--chip", metavar="NUMBER", help=chip)
    command = commands.add_parser("plan")
    command.add_argument("bundle", type=pathlib.Path)
    command.add_argument("evidence", type=pathlib.Path)
    command = commands.add_parser("run")
    command.add_argument("bundle", type=pathlib.Path)
    command.add_argument("evidence", type=pathlib.Path)
    command.add_argument("--stage", nargs="+", choices=list(checks.STAGES), help="these stages (default: all)")
    command.add_argument("--limit", type=int, default=checks.LIMIT, help="seconds of a stage (default: %(default)s)")
    command.add_argument("--only", nargs="+", metavar="CHECK", help="checks whose names begin so")
    wheels = "put the CUDA libraries of Python wheels on LD_LIBRARY_PATH"
    command.add_argument("--wheels", action="store_true", help=wheels)
    command.add_argument("--small", action="store_true", help="a rehearsal in minutes, for stand-ins of the libraries")
    command = commands.add_parser("table")
    command.add_argument("files", nargs="*", type=pathlib.Path)
    options = parser.parse_args()
    if options.command == "bundle":
        return bundle(options.folder.absolute(), options.chip)
    if options.command == "plan":
        return plan(options.bundle, options.evidence)
    if options.command == "run":
        return run(options)
    return table(options.files)


if __name__ == "__main__":
    sys.exit(main())
