"""The checks of gpu_gate.py with compute-sanitizer."""

import os
import pathlib
import re
import shutil

from gpu_gate_process import CutOff, Failed, NotRun, counted, last_line, require, wheels

# What compute-sanitizer says of an error.
COMPLAINT = r"^=========.*(Invalid|Uninitialized|hazard detected|Race reported|Barrier error).*$"


def found():
    """The command, or nothing."""
    homes = [pathlib.Path(home) / "bin" for home in [os.environ.get("CUDA_HOME"), "/usr/local/cuda"] if home]
    folders = os.pathsep.join(map(str, [os.environ.get("PATH", ""), *homes, *wheels("bin")]))
    program = shutil.which("compute-sanitizer", path=folders)
    # In the wheels of CUDA 12 it does not find its own libraries.
    beside = pathlib.Path(program or "").resolve().parent.parent / "lib"
    injected = (beside / "libsanitizer-collection.so").is_file()
    return [program, *(["--injection-path", beside] if injected else [])] if program else []


def own_kernels(gate, sanitizer):
    """The sanitizer's option for this program's kernels alone."""
    names = []
    for source in sorted((gate.bundle / "repo/cuda").glob("*.cu")):
        listed = re.search(r"^SOFTCUDA_KERNELS\(([^)]*)\)", source.read_text(), re.MULTILINE)
        names += [name.strip() for name in listed[1].split(",")] if listed else []
    require(names, "the bundle has no kernels' sources")
    embedded = set(re.findall(r"^ (\w+) +\d+ +\d+ +\d+ *$", gate.bcreid("doctor"), re.MULTILINE))
    require(embedded == set(names), f"the sources and the program differ in {embedded.symmetric_difference(names)}")
    # The older option still works in version 13, which calls it deprecated.
    is_new = "--kernel-name " in gate.call(*sanitizer, "--help")[1]
    option, key = ("--kernel-name", "regex") if is_new else ("--kernel-regex", "kns")
    return [option, f"{key}=^({'|'.join(names)})$"]


def check(gate, tool, tiny):
    """memcheck: a few steps with all kernels. racecheck: the same, of this program's kernels alone, as cuDNN's and
    cuBLAS's have hazards of their own. initcheck: the kernels' tests, since it knows of no write by a kernel that
    it leaves out, and a step has such writes everywhere."""
    sanitizer = found()
    if not sanitizer:
        raise NotRun("no compute-sanitizer on PATH, under CUDA_HOME, or in a wheel (nvidia-cuda-sanitizer-api)")
    environment, names = gate.environment, []
    if tool == "initcheck":
        stems = gate.about["stems"].get("ops", {})
        names = [name for stem in stems.values() for name in stem if "::kernel::" in name]
        command = [gate.bundle / "bin/ops", "--show-output", "--exact", "--test-threads", 1, *names]
        environment = {**environment, "BCREID_TEST_GPU": "1", "BCREID_REQUIRE_KERNELS": "1"}
    else:
        command = [gate.bundle / "bin/bcreid", *gate.train_command(gate.fresh(tool), "cuda", "f32", **tiny)]
    # cuDNN and cuBLAS try functions that a driver may lack, and the program looks at each status itself.
    options = ["--report-api-errors", "no"] if tool == "memcheck" else own_kernels(gate, sanitizer)
    checked = [*sanitizer, "--tool", tool, *options, "--error-exitcode", 9, *command]
    # The checks of this stage that are to come get as much.
    seconds = gate.left() / (1 + sum(name.startswith("sanitizer") for name in gate.waiting))
    try:
        status, out, error = gate.call(*checked, environment=environment, timeout=0.95 * seconds)
    except (Failed, CutOff):
        complaint = re.search(COMPLAINT, gate.said, re.MULTILINE)
        require(not complaint, f"after {seconds:.0f} s: {complaint and complaint[0].strip('= ')}")
        raise NotRun(f"it did not end within {seconds:.0f} s; no complaint until then") from None
    said = out + error
    summary = [line.strip("= ") for line in said.splitlines() if "SUMMARY" in line]
    # Without one it has not begun, as in a container that forbids it or with a driver that is older.
    if not summary and not re.search(COMPLAINT, said, re.MULTILINE):
        raise NotRun(f"compute-sanitizer ended with status {status} and no summary: {last_line(said)}")
    require(status == 0, f"status {status}: {summary or last_line(said)}")
    if names:
        passed, _ = counted(said)
        require(passed == len(names), f"{passed} of {len(names)} tests ran under compute-sanitizer")
        require("ran on the host build only" not in said, "a kernel did not run on the device")
    return summary[-1], {}
