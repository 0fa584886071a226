"""What a GPU must show before bcreid is said to run on one; docs/gpu.md says what is checked and why.

bundle [DIR]          build, and pack what the checks need into DIR (default target/gpu-gate)
plan BUNDLE OUT.json  print the calls that make up the gate, in order of value, each of less than ten minutes
run BUNDLE OUT.json   run the checks and add the results to the evidence; the exit status is 1 if one failed
table FILE.json...    evidence as a table in Markdown

Python's standard library alone. A check has passed, has failed, or could not run, and then it says why.
"""

import argparse
import json
import pathlib
import shlex
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import gpu_gate_bundle as bundles
import gpu_gate_checks as checks
import gpu_gate_evidence as evidences
from gpu_gate_process import Stopped

OUTCOMES = ["passed", "failed", "not run"]


def plan(options):
    """Prints the calls. Where the evidence is there already, they say what it has of each stage."""
    script = pathlib.Path(__file__).resolve().with_name("gpu-gate.sh")
    # By its shell, as a copy may have lost the permission to run it.
    words = ["sh", script, "run", options.bundle, options.evidence]
    words += [word for word in ["--small", "--wheels"] if getattr(options, word.strip("-"))]
    done = {}
    if options.evidence.is_file():
        for check in json.loads(options.evidence.read_text())["checks"]:
            if check["outcome"] in evidences.RESULTS:
                done[check["stage"]] = done.get(check["stage"], 0) + 1
    about = bundles.Bundle(options.bundle).about
    all_checks = [stage for stage, _ in checks.names(about, options.small)]
    for stage, what in checks.STAGES.items():
        print(f"# {stage}, {done.get(stage, 0)} of {all_checks.count(stage)} checks have a result: {what}")
        print(shlex.join(map(str, [*words, "--stage", stage])))


def run(options):
    bundle = bundles.Bundle(options.bundle)
    wishes = options.only or [""]
    names = [name for stage, name in checks.names(bundle.about, options.small) if stage in options.stage]
    for wish in wishes:
        if not any(name.startswith(wish) for name in names):
            sys.exit(f"gpu_gate: no check of these stages begins with {wish!r}; there are: {', '.join(names)}")
    bundle.must_be_whole()
    bundle.link_places()

    def stop(number, _):
        raise Stopped(number)

    for number in [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]:
        signal.signal(number, stop)
    gate, evidence, results = checks.Gate(bundle, options), None, []
    try:
        environment = {
            "date": checks.now(),
            "small": options.small,
            **{key: bundle.about[key] for key in ("commit", "uncommitted_changes")},
            "bundle": bundle.digest,
            **gate.machine(),
        }
        evidence = evidences.Evidence(options.evidence.absolute(), environment)
        for stage in options.stage:
            run_stage(gate, evidence, stage, wishes, results)
    except (evidences.Mismatch, ValueError, KeyError, OSError) as error:
        sys.exit(f"gpu_gate: {options.evidence} is not added to: {error}")
    except Stopped as signalled:
        number = signalled.args[0]
        print(f"stopped by {signal.Signals(number).name}; the same call again adds to {options.evidence}")
        return 128 + number
    finally:
        failed = any(result["outcome"] == "failed" for result in results)
        kept = failed and any(gate.work.iterdir())
        gate.clean_up(kept)
        if evidence:
            evidence.close()
    counts = [f"{sum(result['outcome'] == outcome for result in results)} {outcome}" for outcome in OUTCOMES]
    if kept:
        print(f"what the checks made stays in {gate.work}")
    print(", ".join(counts) + f": {options.evidence}")
    return 1 if failed else 0


def run_stage(gate, evidence, stage, wishes, results):
    chosen = [(name, check) for of, name, check in gate.checks() if of == stage and name.startswith(tuple(wishes))]
    if not chosen:
        return
    gate.begin(evidence.log(stage))
    gate.note(f"\n==== {stage}, {checks.now()}, {json.dumps(evidence.environment)}\n")
    # A call that goes on behind one that was cut off gets further, also if one check alone takes longer than a stage.
    chosen.sort(key=lambda each: evidence.order(each[0]))
    gate.waiting = [name for name, _ in chosen]
    for name, check in chosen:
        gate.waiting.remove(name)
        result, began = checks.begun(stage, name), time.monotonic()
        evidence.put(result)
        gate.note(f"\n==== {name}, {result['date']}\n")
        try:
            result = checks.outcome(result, check)
        except Stopped as signalled:
            detail = f"the call was stopped by {signal.Signals(signalled.args[0]).name} in it"
            result = {**result, "detail": detail, "seconds": round(time.monotonic() - began, 2)}
            raise
        finally:
            gate.note(f"==== {name}: {result['outcome']}: {result['detail']}\n")
            evidence.put(result)
        results.append(result)
        print(f"{result['outcome']:8} {result['seconds']:7.1f} s  {name}: {result['detail']}", flush=True)


def table(options):
    rows = []
    for file in options.files:
        evidence = json.loads(file.read_text())
        if evidence["small"] or (evidence["device"] or "").startswith("softcuda"):
            print(f"gpu_gate: {file} is of a rehearsal and stays out", file=sys.stderr)
            continue
        rows.append((file.name, evidence))
    if not rows:
        print("No evidence yet: nothing has been run on a GPU.")
        return
    print("| evidence | device | driver | cuDNN | cuBLAS | commit | passed | failed | not run |\n" + 9 * "|---" + "|")
    for name, evidence in rows:
        counts = [sum(check["outcome"] == outcome for check in evidence["checks"]) for outcome in OUTCOMES]
        versions = [evidence["driver"], *(evidence["libraries"][library] for library in ("cuDNN", "cuBLAS"))]
        cells = [name, evidence["device"], *(version or "" for version in versions), evidence["commit"][:10], *counts]
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
    # A check that fails once and then passes has found something too.
    bad += [
        (name, {**check, "name": f"{check['name']} at {check['date']}"})
        for name, evidence in rows
        for check in evidence["earlier"]
        if check["outcome"] == "failed"
    ]
    if bad:
        print()
    for name, check in bad:
        print(f"- {name}: {check['name']}, {check['outcome']}: {check['detail']}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("bundle")
    command.add_argument("folder", nargs="?", type=pathlib.Path, default=bundles.ROOT / "target" / "gpu-gate")
    chip = "kernels of this chip alone, by its compute capability: 90 for an H100 (default: BCREID_CUDA_ARCHS, or all)"
    command.add_argument("--chip", metavar="NUMBER", help=chip)
    for name in ["plan", "run"]:
        command = commands.add_parser(name)
        command.add_argument("bundle", type=pathlib.Path)
        command.add_argument("evidence", type=pathlib.Path)
        wheels = "put the CUDA libraries of Python wheels on LD_LIBRARY_PATH"
        command.add_argument("--wheels", action="store_true", help=wheels)
        small = "a rehearsal in minutes, for stand-ins of the libraries"
        command.add_argument("--small", action="store_true", help=small)
    stages = list(checks.STAGES)
    command.add_argument("--stage", nargs="+", choices=stages, default=stages, help="these stages (default: all)")
    command.add_argument("--limit", type=int, default=checks.LIMIT, help="seconds of a stage (default: %(default)s)")
    command.add_argument("--only", nargs="+", metavar="CHECK", help="checks whose names begin so")
    command = commands.add_parser("table")
    command.add_argument("files", nargs="*", type=pathlib.Path)
    options = parser.parse_args()
    if options.command == "bundle":
        return bundles.make(options.folder.absolute(), options.chip)
    try:
        return {"plan": plan, "run": run, "table": table}[options.command](options)
    except bundles.Unusable as error:
        sys.exit(f"gpu_gate: {error}")


if __name__ == "__main__":
    sys.exit(main())
