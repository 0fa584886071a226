"""The checks of gpu_gate.py, each a function that returns (what was seen, figures) or raises."""

import datetime
import filecmp
import json
import os
import pathlib
import re
import shutil
import signal
import site
import subprocess
import sys
import tempfile
import threading
import time

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


class Failed(Exception):
    """What is wrong."""


class NotRun(Exception):
    """What is missing."""


class CutOff(NotRun):
    """The stage's time is over."""


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
    except Failed as error:
        word, detail, figures = "failed", str(error), {}
    except NotRun as error:
        word, detail, figures = "not run", str(error), {}
    except Exception as error:  # The other checks still run.
        word, detail, figures = "failed", f"{type(error).__name__}: {error}", {}
    seconds = round(time.monotonic() - begin, 2)
    return {**result, "outcome": word, "seconds": seconds, "detail": detail, "figures": figures}


def require(condition, what):
    if not condition:
        raise Failed(what)


class Gate:
    def __init__(self, bundle, options):
        self.bundle, self.small = bundle, options.small
        self.about = json.loads((bundle / "bundle.json").read_text())
        self.bare = dict(os.environ)
        self.environment = dict(os.environ)
        if options.wheels:
            folders = [*wheels(), *filter(None, [self.bare.get("LD_LIBRARY_PATH")])]
            self.environment["LD_LIBRARY_PATH"] = ":".join(folders)
        self.work = pathlib.Path(tempfile.mkdtemp(prefix="gpu-gate-"))
        self.runs = {}
        self.attempts = 0
        self.limit, self.deadline, self.log = options.limit, None, None

    def begin(self, log):
        """Begins a stage, whose output goes to the end of `log`."""
        self.deadline, self.log = time.monotonic() + self.limit, log

    def left(self):
        """Seconds until the stage must end."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise CutOff(f"the {self.limit} s of its stage were over before it; run it by itself: --only")
        return left

    def note(self, text):
        with open(self.log, "a", errors="replace") as log:
            log.write(text)

    def machine(self):
        """Device, driver and versions, as far as they can be told."""
        asked = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
        try:
            told = subprocess.run(asked, stdout=subprocess.PIPE, text=True, timeout=60).stdout.splitlines()[0]
            device, driver = told.rsplit(", ", 1)
        except (OSError, IndexError, ValueError, subprocess.TimeoutExpired):
            device, driver = "unknown", None
        doctor = subprocess.run([self.bundle / "bin/bcreid", "doctor"], stdout=subprocess.PIPE, text=True).stdout
        takes = re.search(r"--device auto takes cuda:0, (.+), \w+$", doctor, re.MULTILINE)
        device = takes[1] if takes else device
        return {"device": device, "driver": driver, "python": sys.version.split()[0], "doctor": doctor}

    def checks(self):
        """Stage, name and function of each check, what others build on first."""
        yield "libraries", "doctor", self.doctor
        for binary, stage in [("cuda_libraries", "libraries"), ("ops", "libraries"), ("device", "device")]:
            for stem, names in self.about["stems"].get(binary, {}).items():
                if not self.small or stem in ["relu", "product", "runs", "bits", "evaluation"]:
                    yield stage, f"test {binary} {stem}", lambda a=binary, b=stem, c=names: self.test(a, b, c)
        yield "device", "demo", self.demo
        for precision in PRECISIONS:
            yield "parity", f"parity {precision}", lambda precision=precision: self.parity(precision)
            yield "parity", f"bench {precision}", lambda precision=precision: self.bench(precision)
            one = lambda precision=precision: self.bench(precision, "--one-stream")
            yield "parity", f"bench one stream {precision}", one
            yield "parity", f"batchnorm {precision}", lambda precision=precision: self.batchnorm(precision)
            yield "bits", f"two runs {precision}", lambda precision=precision: self.twice(precision, "again")
            plain = lambda precision=precision: self.twice(precision, "plain", "--no-graph")
            yield "bits", f"graph {precision}", plain
            one = lambda precision=precision: self.twice(precision, "one stream", "--one-stream")
            yield "bits", f"one stream {precision}", one
            yield "bits", f"resume {precision}", lambda precision=precision: self.resume(precision)
        yield "torch", "torch", self.torch
        yield "torch", "kernels", self.kernels
        for tool in ["memcheck", "racecheck", "initcheck"]:
            yield "sanitizer", f"sanitizer {tool}", lambda tool=tool: self.sanitizer(tool)

    def start(self, command, environment=None):
        """Starts a command whose output goes to the log as it comes; returns the process, and a function that waits for
        it and returns exit status, standard output and standard error."""
        command = list(map(str, command))
        self.note(f"\n$ {' '.join(command)}\n")
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace",
            env=environment or self.environment, cwd=self.work, start_new_session=True,
        )
        said = {process.stdout: [], process.stderr: []}

        def read(stream):
            for line in stream:
                said[stream].append(line)
                self.note(line)

        readers = [threading.Thread(target=read, args=[stream], daemon=True) for stream in said]
        for reader in readers:
            reader.start()

        def wait(timeout=None):
            # A process that was started is ended here, also where the stage is over already.
            left = max(0, self.deadline - time.monotonic())
            timeout = self.limit if timeout is None else timeout
            try:
                process.wait(min(timeout, left))
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                if left < timeout:
                    raise CutOff(f"the {self.limit} s of its stage were over before it ended; run it by itself: --only")
                raise Failed(f"{pathlib.Path(command[0]).name} did not end within {timeout:.0f} s")
            finally:
                for reader in readers:
                    reader.join(10)
                self.said = "".join(said[process.stdout] + said[process.stderr])
            self.note(f"exit status {process.returncode}\n")
            return process.returncode, "".join(said[process.stdout]), "".join(said[process.stderr])

        return process, wait

    def call(self, *command, environment=None, timeout=None):
        """Exit status, standard output and standard error."""
        self.left()
        return self.start(command, environment)[1](timeout)

    def bcreid(self, *arguments, **options):
        status, out, error = self.call(self.bundle / "bin/bcreid", *arguments, **options)
        require(status == 0, f"bcreid {arguments[0]}: status {status}: {last_line(error)}")
        return out

    def clean_up(self):
        shutil.rmtree(self.work, ignore_errors=True)

    def places(self):
        """The executables know the folder they were built in: makes it lead to the bundle's files."""
        for place, inside in self.about["places"].items():
            place, inside = pathlib.Path(place), self.bundle / inside
            # A link of another bundle, which may be gone.
            if place.is_symlink() and place.resolve() != inside.resolve():
                place.unlink()
            if not place.exists():
                place.parent.mkdir(parents=True, exist_ok=True)
                place.symlink_to(inside)
            golden = "tests/golden/train.safetensors"
            same = not inside.is_dir() or filecmp.cmp(place / golden, inside / golden, shallow=False)
            require(same, f"{place} is there and holds other files than the bundle")
        pathlib.Path(self.about["scratch"]).mkdir(parents=True, exist_ok=True)

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
        passed, ignored = re.search(r"(\d+) passed; \d+ failed; (\d+) ignored", said).groups()
        require(ignored == "0" and int(passed) == len(names), f"{passed} of {len(names)} ran, {ignored} are ignored")
        on_device = len(re.findall(r"ran on the host build and on ", said))
        has_kernels = binary == "ops" and (self.bundle / f"repo/cuda/{stem}.cu").is_file()
        require(not has_kernels or on_device, "no kernel ran on the device")
        figures = {"passed": int(passed), "on_device": on_device}
        return f"{passed} passed, {on_device} of their bodies on the device", figures

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
            self.runs[name] = out
        return self.runs[name]

    def parity(self, precision, *more):
        name = " ".join(["parity", precision, *more])
        cpu = losses(self.trained("parity cpu", "cpu", "f32", solver__rate=PARITY_RATE))
        gpu = losses(self.trained(name, "cuda", precision, *more, solver__rate=PARITY_RATE))
        require(len(cpu) == len(gpu) > 0, f"{len(cpu)} steps and {len(gpu)}")
        scale = lambda of, step: of if precision == "f32" else max(map(abs, step))
        pairs = [(a, b, scale(abs(a), step)) for step, theirs in zip(cpu, gpu) for a, b in zip(step, theirs)]
        apart = max(abs(a - b) / max(of, 1e-6) for a, b, of in pairs)
        figures = {"largest_relative_difference": apart, "band": BANDS[precision], "steps": {}}
        require(apart <= BANDS[precision], f"the losses of {len(cpu)} steps differ by {apart:.2e}")
        return f"{len(cpu)} steps differ by {apart:.2e} at most, {BANDS[precision]:.0e} allowed", figures

    def twice(self, precision, how, *more):
        first = self.trained(f"gpu {precision}", "cuda", precision)
        second = self.trained(f"gpu {precision} {how}", "cuda", precision, *more)
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

    def own_kernels(self):
        """The names of this program's kernels, for the sanitizer's option --kernel-regex."""
        names = []
        for source in sorted((self.bundle / "repo/cuda").glob("*.cu")):
            listed = re.search(r"^SOFTCUDA_KERNELS\(([^)]*)\)", source.read_text(), re.MULTILINE)
            names += [name.strip() for name in listed[1].split(",")] if listed else []
        require(names, "the bundle has no kernels' sources")
        return f"kns=^({'|'.join(names)})$"

    def sanitizer(self, tool):
        """memcheck: a few steps with all kernels. racecheck: the same, of this program's kernels alone, as cuDNN's and
        cuBLAS's have hazards of their own. initcheck: the kernels' tests, since it knows of no write by a kernel that
        it leaves out, and a step has such writes everywhere."""
        folders = [pathlib.Path(home) / "bin" for home in [os.environ.get("CUDA_HOME"), "/usr/local/cuda"] if home]
        path = os.pathsep.join([os.environ.get("PATH", ""), *map(str, folders)])
        sanitizer = shutil.which("compute-sanitizer", path=path)
        if not sanitizer:
            raise NotRun("no compute-sanitizer on PATH or under CUDA_HOME")
        environment = self.environment
        if tool == "initcheck":
            stems = self.about["stems"].get("ops", {})
            names = [name for stem in stems.values() for name in stem if "::kernel::" in name]
            command = [self.bundle / "bin/ops", "--exact", "--test-threads", 1, *names]
            environment = {**environment, "BCREID_TEST_GPU": "1", "BCREID_REQUIRE_KERNELS": "1"}
        else:
            tiny = {key.replace(".", "__"): value for key, value in SMALL.items()}
            command = [self.bundle / "bin/bcreid", *self.train_command(self.fresh(tool), "cuda", "f32", **tiny)]
        ours = [] if tool == "memcheck" else ["--kernel-regex", self.own_kernels()]
        checked = [sanitizer, "--tool", tool, *ours, "--error-exitcode", 9, *command]
        seconds, self.said = self.limit // 3, ""
        self.left()
        try:
            status, out, error = self.call(*checked, environment=environment, timeout=seconds)
        except (Failed, CutOff):
            complaint = re.search(r"^=========.*(Invalid|Uninitialized|hazard|Error).*$", self.said, re.MULTILINE)
            require(not complaint, f"after {seconds} s: {complaint and complaint[0].strip('= ')}")
            raise NotRun(f"it did not end within {seconds} s; no complaint until then") from None
        summary = [line for line in (out + error).splitlines() if "SUMMARY" in line]
        require(status == 0, f"status {status}: {summary or last_line(out + error)}")
        return (summary or ["no complaint"])[-1].strip("= "), {}

    def bench(self, precision, *more):
        size = ["--steps", 2, "--classes", 10, *self.settings()] if self.small else []
        where = ["--device", "cuda", "--precision", precision, *more]
        report = json.loads(self.bcreid("bench", "--json", *where, *size))
        name = " ".join([precision, *(option.strip("-") for option in more)])
        steps = {f"{name} {kind}": report[kind] for kind in ("plain", "graph")}
        seen = ", ".join(f"{name} {times['median_ms']:.3f} ms" for name, times in steps.items())
        kinds = report["batchnorm"]
        require(kinds, "no layer of batch normalisation was timed")
        sums = {of: sum(kind["layers"] * sum(kind[of].values()) for kind in kinds) for of in ("own", "cudnn")}
        slower = sum(sum(kind["own"].values()) > sum(kind["cudnn"].values()) for kind in kinds)
        seen += f"; batch norm by own kernels {sums['own']:.0f} us a step, by cuDNN {sums['cudnn']:.0f} us"
        seen += f" (faster at {slower} of {len(kinds)} shapes)"
        figures = {key: report.get(key) for key in ("parts", "peak_bytes", "work", "streams", "waiting_bytes")}
        return seen, {"steps": steps, **figures, "batchnorm": {"us_a_step": sums, "kinds": kinds}}

    def batchnorm(self, precision):
        """Training with batch normalisation by cuDNN: near the CPU's losses, and how long a step takes."""
        cudnn = ["--batchnorm", "cudnn"]
        near, parity = self.parity(precision, *cudnn)
        seen, figures = self.bench(precision, *cudnn)
        return f"{near}; {seen}", {**parity, **figures}

    def torch(self):
        if self.call(sys.executable, "-c", "import torch", environment=self.bare)[0]:
            raise NotRun("no torch")
        size = ["--small"] if self.small else []
        script = self.bundle / "repo/benches/train_step_torch.py"
        status, out, error = self.call(sys.executable, script, *size, environment=self.bare)
        require(status == 0, last_line(error))
        report = json.loads(out.splitlines()[-1])
        steps = {f"PyTorch {name}": times for name, times in report["steps"].items()}
        seen = ", ".join(f"{name} {times['median_ms']:.3f} ms" for name, times in report["steps"].items())
        require(not report["failed"], f"{report['failed']}; {seen}")
        return f"{report['torch']} on {report['device']}: {seen}", {**report, "steps": steps}

    def kernels(self):
        if self.small:
            raise NotRun("a rehearsal has no bandwidths")
        status, out, error = self.call(self.bundle / "bin/kernels")
        require(status == 0 and "Nothing to measure" not in out, last_line(error or out))
        return out.splitlines()[0], {"table": out.splitlines()}


def wheels():
    """Folders of the CUDA libraries that pip installs."""
    folders = [*site.getsitepackages(), site.getusersitepackages()]
    return [str(library) for folder in folders for library in sorted(pathlib.Path(folder).glob("nvidia/*/lib"))]


def last_line(text):
    return (text.strip().splitlines() or ["nothing was said"])[-1][:400]


def losses(run):
    lines = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return [[line[key] for key in ("softmax", "positive", "hinge", "center")] for line in lines]


def same_bits(first, second):
    for file in ["metrics.jsonl", "weights.safetensors"]:
        require(filecmp.cmp(first / file, second / file, shallow=False), f"{file} differs")
    return "metrics and weights have the same bits", {}
