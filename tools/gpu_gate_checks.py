"""The checks of gpu_gate.py, each a function that returns (what was seen, figures) or raises."""

import datetime
import functools
import json
import math
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import gpu_gate_sanitizer as sanitizers
from gpu_gate_process import Failed, NoPass, NotReached, NotRun, Runner, counted, last_line, require, wheels

PRECISIONS = ["f32", "tf32", "bf16"]
# The largest difference of a loss from the CPU's within a short run: relative to itself in f32, to the step's largest
# loss in narrower types, where a small one is the difference of rounded numbers.
BANDS = {"f32": 1e-4, "tf32": 1e-2, "bf16": 2e-2}
# At this rate a rounding error of the first step is still one in the twentieth. At 1e-4 it has grown a thousandfold by
# then, with the summation order as only difference.
PARITY_RATE = 2e-6
NETWORK = {
    "model.arch": "slim", "model.dropout": 0.5, "input.height": 128, "input.width": 64,
    "loss.batch_contrastive.weight": 0.1,
    "solver.batch": 16, "solver.iterations": 20, "solver.lr": 1e-4, "data.crop": "true", "data.pad": 4,
    "run.log_every": 1,
}
SMALL = {
    "model.width": 8, "model.depths": "[1, 1, 1, 1]", "input.height": 64, "input.width": 32, "solver.batch": 8,
    "solver.iterations": 6,
}
# The files of tests in a rehearsal.
SMALL_STEMS = ["relu", "product", "runs", "bits", "evaluation"]
# Steps of a run that is long enough to be interrupted.
LONG = {True: 24, False: 5000}
# The stages in order of value: what one call of ten minutes can do. The first ones say most about the program.
STAGES = {
    "libraries": "the libraries are found, cuDNN, cuBLAS and each kernel compute what they should",
    "parity": "the losses are the CPU's, and a step takes this long",
    "bits": "two runs, captured and plain steps, and a resumed run have the same bits",
    "torch": "PyTorch's times of the same step, and the bandwidth of each kernel",
    "device": "the tests of whole runs, and the demo",
    "sanitizer": "compute-sanitizer finds no error",
}
# Seconds of a stage: a call of it ends before ten minutes, with the start of the program and the copies of its files.
LIMIT = 460


def now():
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds")


def begun(stage, name):
    """What the evidence says of a check until it has ended: all that is left of it if the call is killed."""
    detail = "it began and did not end: the call was killed"
    return {
        "name": name, "stage": stage, "date": now(), "outcome": "not run", "seconds": 0, "detail": detail,
        "figures": {},
    }


def outcome(result, check):
    """Runs a check: what the evidence says of it then."""
    begin = time.monotonic()
    try:
        word, (detail, figures) = "passed", check()
    except NoPass as error:
        word, detail, figures = "failed" if isinstance(error, Failed) else "not run", str(error), error.figures
        result = {**result, "reached": not isinstance(error, NotReached)}
    except Exception as error:  # The other checks still run.
        word, detail, figures = "failed", f"{type(error).__name__}: {error}", {}
    seconds = round(time.monotonic() - begin, 2)
    return {**result, "outcome": word, "seconds": seconds, "detail": detail, "figures": figures}


class Gate(Runner):
    def __init__(self, bundle, options):
        """`bundle` is one of gpu_gate_bundle."""
        self.bundle, self.about, self.small = bundle.folder, bundle.about, options.small
        self.bare = dict(os.environ)
        environment = dict(os.environ)
        if options.wheels:
            folders = [*wheels("lib"), *filter(None, [self.bare.get("LD_LIBRARY_PATH")])]
            environment["LD_LIBRARY_PATH"] = ":".join(map(str, folders))
        super().__init__(pathlib.Path(tempfile.mkdtemp(prefix="gpu-gate-")), options.limit, environment)
        # The folder of each run, and what the program said in it.
        self.runs, self.said_in = {}, {}
        self.attempts = 0
        # The checks of this call that have not begun.
        self.waiting = []

    def machine(self):
        """Device, driver and versions of the libraries; those that cannot be told are None."""
        told = lambda command: subprocess.run(
            command, stdout=subprocess.PIPE, text=True, timeout=60, env=self.environment
        ).stdout
        try:
            asked = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
            device, driver = told(asked).splitlines()[0].rsplit(", ", 1)
        except (OSError, IndexError, ValueError, subprocess.TimeoutExpired):
            device, driver = None, None
        try:
            doctor = told([self.bundle / "bin/bcreid", "doctor"])
        except (OSError, subprocess.TimeoutExpired):
            doctor = ""
        takes = re.search(r"--device auto takes cuda:0, (.+), \w+$", doctor, re.MULTILINE)
        found = r"^(driver|cuBLAS|cuDNN): (?:for CUDA )?([\d.]+|version unknown),"
        versions = dict(re.findall(found, doctor, re.MULTILINE))
        return {
            "device": takes[1] if takes else device,
            "driver": driver,
            "libraries": {
                "CUDA of the driver": versions.get("driver"),
                "cuBLAS": versions.get("cuBLAS"),
                "cuDNN": versions.get("cuDNN"),
            },
            "python": sys.version.split()[0],
        }

    def checks(self):
        """Stage, name and function of each check."""
        for stage, name, method, *arguments in listed(self.about, self.small):
            yield stage, name, functools.partial(method, self, *arguments)

    def bcreid(self, *arguments, **options):
        status, out, error = self.call(self.bundle / "bin/bcreid", *arguments, **options)
        require(status == 0, f"bcreid {arguments[0]}: status {status}: {last_line(error)}")
        return out

    def doctor(self):
        """With the environment as it is: the program finds the libraries by itself."""
        out = self.bcreid("doctor", environment=self.bare)
        takes = re.search(r"--device auto takes (cuda:.+)", out)
        require(takes, f"the device is not taken: {last_line(out)}")
        return takes[1], {}

    def test(self, binary, stem, names):
        """The tests of one file, in a process of their own: an illegal address fails no other file's."""
        if not shutil.which(os.environ.get("CXX", "g++")):
            raise NotRun("no g++: the tests compare the device with the host build of the kernels")
        environment = {**self.environment, "BCREID_TEST_GPU": "1", "BCREID_REQUIRE_KERNELS": "1"}
        command = [self.bundle / "bin" / binary, "--show-output", "--exact", *names]
        status, out, error = self.call(*command, environment=environment)
        said = out + error
        failed = re.findall(r"^test (\S+) \.\.\. FAILED$", said, re.MULTILINE)
        require(status == 0, f"failed: {', '.join(failed) or last_line(said)}")
        left_out = re.findall(r"^.*\bran on the host build only: .*$|^.*\bskipped[,:] .*$", said, re.MULTILINE)
        require(not left_out, f"{len(left_out)} did not run on the device: {left_out[:1]}")
        passed, ignored = counted(said)
        require(ignored == 0 and passed == len(names), f"{passed} of {len(names)} ran, {ignored} are ignored")
        on_device = len(re.findall(r"ran on the host build and on ", said))
        has_kernels = binary == "ops" and (self.bundle / f"repo/cuda/{stem}.cu").is_file()
        require(not has_kernels or on_device, "no kernel ran on the device")
        figures = {"passed": passed, "kernel_tests_on_device": on_device}
        return f"{passed} passed" + (f", {on_device} of kernels alone, on the device" if has_kernels else ""), figures

    def settings(self, **more):
        chosen = {**NETWORK, **(SMALL if self.small else {}), **{key.replace("__", "."): more[key] for key in more}}
        return [word for key, value in chosen.items() for word in ("--set", f"{key}={value}")]

    def fresh(self, name):
        """A folder that is not there: what an earlier attempt has left is in nobody's way."""
        self.attempts += 1
        return self.work / f"{name.replace(' ', '-')}-{self.attempts}"

    def data(self):
        if "data" not in self.runs:
            folder = self.fresh("data")
            sizes = ["--train-ids", 12, "--test-ids", 6, "--cameras", 3, "--images-per-camera", 2]
            self.bcreid("synth", "--out", folder, *sizes)
            self.runs["data"] = folder
        return self.runs["data"]

    def train_command(self, out, device, precision, *more, **settings):
        where = ["--device", device, "--precision", precision]
        return ["train", "--data", self.data(), "--out", out, *where, *more, *self.settings(**settings)]

    def trained(self, name, device, precision, *more, **settings):
        """The folder of a run, trained where it is not there already."""
        if name not in self.runs:
            out = self.fresh(name)
            self.bcreid(*self.train_command(out, device, precision, *more, **settings))
            self.runs[name], self.said_in[name] = out, self.said
        return self.runs[name]

    def parity(self, precision, *more):
        name = " ".join(["parity", precision, *more])
        cpu = losses(self.trained("parity cpu", "cpu", "f32", solver__lr=PARITY_RATE))
        gpu = losses(self.trained(name, "cuda", precision, *more, solver__lr=PARITY_RATE))
        require(len(cpu) == len(gpu) > 0, f"{len(cpu)} steps and {len(gpu)}")
        scale = lambda of, step: of if precision == "f32" else max(map(abs, step))
        pairs = [(a, b, scale(abs(a), step)) for step, theirs in zip(cpu, gpu) for a, b in zip(step, theirs)]
        require(all(math.isfinite(loss) for pair in pairs for loss in pair), "a loss is not finite")
        apart = max(abs(a - b) / max(of, 1e-6) for a, b, of in pairs)
        figures = {"largest_relative_difference": apart, "band": BANDS[precision], "steps": {}}
        require(apart <= BANDS[precision], f"the losses of {len(cpu)} steps differ by {apart:.2e}", figures)
        return f"{len(cpu)} steps differ by {apart:.2e} at most, {BANDS[precision]:.0e} allowed", figures

    def twice(self, precision, how, *more):
        name = f"gpu {precision}"
        first = self.trained(name, "cuda", precision)
        # The program goes on with plain steps then, which equal plain steps.
        said = self.said_in[name]
        require("none could be captured" not in said, f"no step was captured: {said[-400:]}")
        second = self.trained(f"{name} {how}", "cuda", precision, *more)
        return same_bits(first, second)

    def resume(self, precision):
        long = {"solver__iterations": LONG[self.small]}
        calm = self.trained(f"long {precision}", "cuda", precision, **long)
        broken = self.fresh(f"interrupted {precision}")
        command = [self.bundle / "bin/bcreid", *self.train_command(broken, "cuda", precision, **long)]
        process, wait = self.start(command)
        metrics = broken / "metrics.jsonl"
        while process.poll() is None and not (metrics.exists() and metrics.read_bytes().count(b"\n") >= 5):
            if time.monotonic() > self.deadline:
                break
            time.sleep(0.005)
        process.send_signal(signal.SIGINT)
        status, _, error = wait(60)
        require(status != 0, f"all {LONG[self.small]} steps were over before the interruption")
        require(status == 130, f"status {status} when interrupted: {last_line(error)}")
        done = metrics.read_bytes().count(b"\n")
        where = ["--device", "cuda", "--precision", precision]
        self.bcreid("train", "--data", self.data(), "--out", broken, "--resume", *where)
        seen, figures = same_bits(calm, broken)
        return f"interrupted after {done} of {LONG[self.small]} steps; {seen}", figures

    def demo(self):
        out = self.fresh("demo")
        small = ["--train-ids", 12, "--test-ids", 6, *self.settings(solver__lr_milestones="[3]")]
        smaller = small if self.small else []
        self.bcreid("demo", "--out", out, "--device", "cuda", *smaller)
        rows = json.loads((out / "result.json").read_text())["rows"]
        figures = {row["name"]: {key: row["report"][key] for key in ("rank1", "map_market")} for row in rows}
        colours, *trained = [row["report"]["rank1"] for row in rows]
        require(self.small or min(trained) > colours, f"no better than colours alone: {figures}")
        return f"rank-1 of {', '.join(f'{100 * rank1:.1f}' for rank1 in [colours, *trained])} percent", figures

    def sanitizer(self, tool):
        tiny = {key.replace(".", "__"): value for key, value in SMALL.items()}
        return sanitizers.check(self, tool, tiny)

    def bench(self, precision, *more):
        size = ["--steps", 2, "--classes", 10, *self.settings()] if self.small else []
        where = ["--device", "cuda", "--precision", precision, *more]
        report = json.loads(self.bcreid("bench", "--json", *where, *size))
        streams = 1 if "--one-stream" in more else 2
        require(report["streams"] == streams, f"{report['streams']} streams and not {streams}")
        require(report["graph"], "no step was captured")
        name = " ".join([precision, *(option.strip("-") for option in more)])
        steps = {f"{name} {kind}": report[kind] for kind in ("plain", "graph")}
        seen = ", ".join(f"{name} {times['median_ms']:.3f} ms" for name, times in steps.items())
        kinds = report["batchnorm"]
        # `work` has the measured times of each kind; `notes` says which of them could not be taken, and why.
        kept = ["parts", "parts_captured", "work", "notes", "peak_bytes", "streams", "waiting_bytes"]
        figures, notes = {**{key: report[key] for key in kept}, "steps": steps}, report["notes"]
        require(kinds, "; ".join(["no layer of batch normalisation was timed", *notes]), figures)
        sums = {of: sum(kind["layers"] * sum(kind[of].values()) for kind in kinds) for of in ("own", "cudnn")}
        slower = sum(sum(kind["own"].values()) > sum(kind["cudnn"].values()) for kind in kinds)
        seen += f"; batch norm by own kernels {sums['own']:.0f} us a step, by cuDNN {sums['cudnn']:.0f} us"
        seen = "; ".join([f"{seen} (faster at {slower} of {len(kinds)} shapes)", *notes])
        return seen, {**figures, "batchnorm": {"us_a_step": sums, "kinds": kinds}}

    def batchnorm(self, precision):
        """Training with batch normalisation by cuDNN: near the CPU's losses, and how long a step takes."""
        cudnn = ["--batchnorm", "cudnn"]
        near, parity = self.parity(precision, *cudnn)
        try:
            seen, figures = self.bench(precision, *cudnn)
        except NoPass as error:
            raise type(error)(f"{near}; {error}", {**parity, **error.figures}) from None
        return f"{near}; {seen}", {**parity, **figures}

    def torch(self):
        if self.call(sys.executable, "-c", "import torch", environment=self.bare)[0]:
            raise NotRun("no torch")
        size = ["--small"] if self.small else ["--device", "cuda"]
        script = self.bundle / "repo/benches/train_step_torch.py"
        # None of what goes wrong here is a fault of the program that the gate is about.
        try:
            status, _, error = self.call(sys.executable, script, *size, environment=self.bare)
            why = f"PyTorch's steps ended with status {status}: {last_line(error)}" if status else None
        except NoPass as cut_off:
            why = str(cut_off)
        reports = [line for line in self.said.splitlines() if line.startswith('{"torch"')]
        if not reports:
            raise NotRun(why or "PyTorch's steps said nothing")
        report = json.loads(reports[-1])
        figures = {**report, "steps": {f"PyTorch {name}": times for name, times in report["steps"].items()}}
        seen = ", ".join(f"{name} {times['median_ms']:.3f} ms" for name, times in report["steps"].items())
        seen = f"{report['torch']} on {report['device']}: {seen or 'nothing'}"
        others = [f"not {name}: {reason}" for name, reason in report["failed"].items()] + ([why] if why else [])
        if others:
            raise NotRun("; ".join([seen, *others]), figures)
        return seen, figures

    def kernels(self):
        if self.small:
            raise NotRun("a rehearsal has no bandwidths")
        status, out, error = self.call(self.bundle / "bin/kernels")
        require(status == 0 and "Nothing to measure" not in out, last_line(error or out))
        return out.splitlines()[0], {"table": out.splitlines()}


def listed(about, small):
    """Stage, name, method and arguments of each check, what others build on first. `about` describes the bundle."""
    yield "libraries", "doctor", Gate.doctor
    for binary, stage in [("cuda_libraries", "libraries"), ("ops", "libraries"), ("device", "device")]:
        for stem, names in about["stems"].get(binary, {}).items():
            if not small or stem in SMALL_STEMS:
                yield stage, f"test {binary} {stem}", Gate.test, binary, stem, names
    yield "device", "demo", Gate.demo
    for precision in PRECISIONS:
        yield "parity", f"parity {precision}", Gate.parity, precision
        yield "parity", f"bench {precision}", Gate.bench, precision
        yield "parity", f"bench one stream {precision}", Gate.bench, precision, "--one-stream"
        yield "parity", f"batchnorm {precision}", Gate.batchnorm, precision
        yield "bits", f"two runs {precision}", Gate.twice, precision, "again"
        yield "bits", f"graph {precision}", Gate.twice, precision, "plain", "--no-graph"
        yield "bits", f"one stream {precision}", Gate.twice, precision, "one stream", "--one-stream"
        yield "bits", f"resume {precision}", Gate.resume, precision
    yield "torch", "torch", Gate.torch
    yield "torch", "kernels", Gate.kernels
    for tool in ["memcheck", "racecheck", "initcheck"]:
        yield "sanitizer", f"sanitizer {tool}", Gate.sanitizer, tool


def names(about, small):
    """Stage and name of each check."""
    return [(stage, name) for stage, name, *_ in listed(about, small)]


def losses(run):
    lines = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return [[line[key] for key in ("softmax", "positive", "hinge", "center")] for line in lines]


def same_bits(first, second):
    ours, theirs = [(run / "metrics.jsonl").read_bytes().splitlines() for run in (first, second)]
    require(len(ours) == len(theirs) > 0, f"{len(ours)} steps and {len(theirs)}")
    apart = [step for step, (a, b) in enumerate(zip(ours, theirs)) if a != b]
    figures = {"steps_compared": len(ours), "steps_that_differ": len(apart)}
    if apart:
        raise Failed(f"metrics.jsonl differs in {len(apart)} of {len(ours)} lines, first in {apart[0] + 1}", figures)
    require(
        (first / "weights.safetensors").read_bytes() == (second / "weights.safetensors").read_bytes(),
        "weights.safetensors differs, metrics.jsonl does not", figures,
    )
    return f"metrics and weights of {len(ours)} steps have the same bits", figures
