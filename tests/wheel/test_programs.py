"""The installed programs behave as those without Python: output, exit status, signals."""

import os
import shutil
import signal
import subprocess
import sys
import time
import unittest

from common import FOLDER, INSTALLED, INSTALLED_CONVERTER, PROGRAM, RUN, SET


def both(*arguments, **keywords):
    """Output and exit status of the program and of the installed one."""
    results = []
    for program in [PROGRAM, INSTALLED]:
        done = subprocess.run([program, *arguments], capture_output=True, timeout=60, **keywords)
        results.append((done.returncode, done.stdout, done.stderr))
    return results


def training(program, out):
    arguments = ["--threads", "1", "train", "--data", SET, "--config", RUN / "config.toml", "--out", out]
    return [program, *arguments, "--set", "solver.iterations=100000"]


class Programs(unittest.TestCase):
    def test_the_same_output_and_status(self):
        for arguments, status in [
            (["--version"], 0),
            (["--help"], 0),
            (["config"], 0),
            (["eval", "--help"], 0),
            (["eval"], 1),
            (["extract"], 2),
            (["--no-such-option"], 2),
            ([], 2),
            (["features", FOLDER / "absent.npy", "--out", FOLDER / "x.npy"], 1),
            (["features", b"\xff.npy", "--out", b"\xfe.npy"], 1),
        ]:
            program, installed = both(*arguments)
            self.assertEqual(program[0], status, arguments)
            self.assertEqual(installed, program, arguments)

    def test_closed_files_and_pipes(self):
        for more in [">&-", "2>&-", "</dev/null >&- 2>&-", "| head -n 1"]:
            program, installed = [
                subprocess.run(["sh", "-c", f'"$0" config {more}', name], capture_output=True, timeout=60)
                for name in [PROGRAM, INSTALLED]
            ]
            for what in ["returncode", "stdout", "stderr"]:
                self.assertEqual(getattr(installed, what), getattr(program, what), more)

    @unittest.skipUnless(sys.platform == "linux", "no /proc")
    def test_messages_to_closed_outputs_go_nowhere(self):
        # The first files that are opened would get the numbers of the closed outputs, and the messages.
        for i, program in enumerate([PROGRAM, INSTALLED]):
            out = FOLDER / f"closed-{i}"
            line = ["sh", "-c", 'exec "$0" "$@" >&- 2>&-', *training(program, out)]
            with subprocess.Popen(line) as child:
                self.wait_for_steps(child, out)
                found = [os.readlink(f"/proc/{child.pid}/fd/{descriptor}") for descriptor in [1, 2]]
                child.send_signal(signal.SIGTERM)
                self.assertEqual(child.wait(timeout=60), 143)
            self.assertEqual(found, ["/dev/null"] * 2, program)

    def test_signals_save_the_work(self):
        for name, number in [("INT", signal.SIGINT), ("TERM", signal.SIGTERM), ("HUP", signal.SIGHUP)]:
            for i, program in enumerate([PROGRAM, INSTALLED]):
                out = FOLDER / f"signal-{name}-{i}"
                # A test under nohup or in the background ignores some signals, and its children would too.
                line = [sys.executable, "-c", RESET, *training(program, out)]
                with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as child:
                    self.wait_for_steps(child, out)
                    child.send_signal(number)
                    said = child.communicate(timeout=60)[0].decode()
                self.assertEqual(child.returncode, 128 + number, (name, program))
                self.assertIn("--resume", said)
                steps = len((out / "metrics.jsonl").read_text().splitlines())
                self.assertTrue((out / f"checkpoints/step_{steps:010}.safetensors").is_file())

    def test_a_job_in_the_background_listens(self):
        # In the background of a shell without job control Ctrl-C is ignored at the start.
        for i, program in enumerate([PROGRAM, INSTALLED]):
            out = FOLDER / f"background-{i}"
            line = [sys.executable, "-c", IGNORE, *training(program, out)]
            with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as child:
                self.wait_for_steps(child, out)
                child.send_signal(signal.SIGINT)
                child.communicate(timeout=60)
            self.assertEqual(child.returncode, 130, program)

    def wait_for_steps(self, child, out):
        for _ in range(6000):
            lines = out / "metrics.jsonl"
            if lines.exists() and lines.read_bytes().count(b"\n") >= 4:
                return
            self.assertIsNone(child.poll())
            time.sleep(0.01)
        self.fail("no steps within a minute")

    def test_the_converter_and_the_module(self):
        out = FOLDER / "converted.pth"
        done = subprocess.run(
            [INSTALLED_CONVERTER, RUN / "weights.safetensors", "--to", "torchvision", "--out", out],
            capture_output=True,
            text=True,
            timeout=60,
        )
        self.assertEqual((done.returncode, done.stdout.splitlines()[-1]), (0, f"written: {out}"))
        again = subprocess.run([INSTALLED_CONVERTER, out, "--list"], capture_output=True, text=True, timeout=60)
        self.assertIn("conv1.weight", again.stdout)
        absent = subprocess.run([INSTALLED_CONVERTER, "absent", "--list"], capture_output=True, text=True, timeout=60)
        self.assertEqual((absent.returncode, absent.stderr[:16]), (1, "bcreid-convert: "))
        module = subprocess.run([sys.executable, "-m", "bcreid", "--version"], capture_output=True, timeout=60)
        self.assertEqual((module.returncode, module.stdout), both("--version")[0][:2])

    def test_the_programs_do_not_import_numpy(self):
        script = INSTALLED.read_text()
        self.assertIn("bcreid._program", script)
        ask = "import sys, bcreid._program; print('numpy' in sys.modules)"
        done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True)
        self.assertEqual(done.stdout.strip(), "False")
        self.assertEqual(shutil.which("bcreid", path=os.fspath(INSTALLED.parent)), os.fspath(INSTALLED))


# Sets the signals and becomes the program of its arguments.
_SET = "import os, signal, sys; signals = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]; "
RESET = _SET + "[signal.signal(s, signal.SIG_DFL) for s in signals]; os.execv(sys.argv[1], sys.argv[1:])"
IGNORE = _SET + "signal.signal(signal.SIGINT, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"

if __name__ == "__main__":
    unittest.main()
