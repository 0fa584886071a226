"""The processes of gpu_gate.py: output that goes to a log as it comes, time limits, and none that outlives a call."""

import os
import pathlib
import re
import shutil
import signal
import site
import subprocess
import sys
import threading
import time

# Runs beside the gate, in a session of its own, until the gate has ended in whatever way: a killed gate cannot end its
# own processes, and they would compute on the GPU while the next call takes times. Reads the groups of processes that
# begin (+) and end (-), and "done" from a gate that has cleaned up.
WATCH = """
import os, shutil, signal, sys
groups, work = set(), sys.argv[1]
for line in sys.stdin:
    if line == "done\\n":
        sys.exit()
    (groups.add if line[0] == "+" else groups.discard)(int(line[1:]))
for group in groups:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        pass
shutil.rmtree(work, ignore_errors=True)
"""


class NoPass(Exception):
    """Why a check has not passed, and the figures that it had until then."""

    def __init__(self, what, figures=None):
        super().__init__(what)
        self.figures = figures or {}


class Failed(NoPass):
    """What is wrong."""


class NotRun(NoPass):
    """What is missing."""


class CutOff(NotRun):
    """The stage's time is over."""


class NotReached(CutOff):
    """It was over before the check could begin."""


class Stopped(BaseException):
    """A signal asks the gate to end; no check catches this."""


def require(condition, what, figures=None):
    if not condition:
        raise Failed(what, figures)


def last_line(text):
    return (text.strip().splitlines() or ["nothing was said"])[-1][:400]


def counted(said):
    """How many tests have passed and were ignored, by the last line of a test program."""
    counts = re.findall(r"(\d+) passed; \d+ failed; (\d+) ignored", said)
    require(counts, f"the test program has not said how many tests passed: {last_line(said)}")
    return tuple(map(int, counts[-1]))


def wheels(kind):
    """Folders that pip installs, of CUDA libraries ("lib") or programs ("bin")."""
    folders = [*site.getsitepackages(), site.getusersitepackages()]
    return [found for folder in folders for found in sorted(pathlib.Path(folder).glob(f"nvidia/*/{kind}"))]


class Runner:
    """Runs commands in the folder `work` with a limit of seconds for each stage."""

    def __init__(self, work, limit, environment):
        self.work, self.limit, self.environment = work, limit, environment
        self.deadline, self.log, self.said = None, None, ""
        self.processes = set()
        self.watch = subprocess.Popen(
            [sys.executable, "-c", WATCH, str(work)], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, text=True, start_new_session=True,
        )

    def tell_watch(self, line):
        try:
            self.watch.stdin.write(line + "\n")
            self.watch.stdin.flush()
        except BrokenPipeError:  # Somebody has ended it: the gate goes on without.
            pass

    def begin(self, log):
        """Begins a stage, whose output goes to the end of `log`."""
        self.deadline, self.log = time.monotonic() + self.limit, log

    def left(self):
        """Seconds until the stage must end."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise NotReached(f"the {self.limit} s of its stage were over before it; the same call again begins with it")
        return left

    def note(self, text):
        with open(self.log, "a", errors="replace") as log:
            log.write(text)

    def start(self, command, environment=None):
        """Starts a command whose output goes to the log as it comes; returns the process, and a function that waits for
        it and returns exit status, standard output and standard error."""
        command = list(map(str, command))
        self.note(f"\n$ {' '.join(command)}\n")
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace",
            env=environment or self.environment, cwd=self.work, start_new_session=True,
        )
        self.tell_watch(f"+{process.pid}")
        self.processes.add(process)
        said = {process.stdout: [], process.stderr: []}

        def read(stream):
            for line in stream:
                said[stream].append(line)
                self.note(line)

        readers = [threading.Thread(target=read, args=[stream], daemon=True) for stream in said]
        for reader in readers:
            reader.start()

        def wait(timeout=None):
            left = max(0, self.deadline - time.monotonic())
            timeout = self.limit if timeout is None else timeout
            try:
                process.wait(min(timeout, left))
            except subprocess.TimeoutExpired:
                if left < timeout:
                    raise CutOff(
                        f"the {self.limit} s of its stage were over before it ended; run it by itself, with a higher "
                        "--limit: --only"
                    ) from None
                raise Failed(f"{pathlib.Path(command[0]).name} did not end within {timeout:.0f} s") from None
            finally:
                # A process that was started is ended here, also where the stage is over already.
                self.end(process)
                for reader in readers:
                    reader.join(10)
                self.said = "".join(said[process.stdout] + said[process.stderr])
            self.note(f"exit status {process.returncode}\n")
            return process.returncode, "".join(said[process.stdout]), "".join(said[process.stderr])

        return process, wait

    def end(self, process):
        """Ends a process and those that it has started, also where it has ended itself and they have not."""
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass
        process.wait()
        self.processes.discard(process)
        self.tell_watch(f"-{process.pid}")

    def end_all(self):
        for process in list(self.processes):
            self.end(process)

    def call(self, *command, environment=None, timeout=None):
        """Exit status, standard output and standard error."""
        self.left()
        return self.start(command, environment)[1](timeout)

    def clean_up(self, keep):
        """Ends what is left, and removes the folder of all that the checks have made, or keeps it."""
        self.end_all()
        if not keep:
            shutil.rmtree(self.work, ignore_errors=True)
        self.tell_watch("done")
        self.watch.stdin.close()
        self.watch.wait()
