"""Tests of the gate itself, with a bundle whose programs are scripts: python3 tools/gpu_gate_test.py"""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import types
import unittest
import unittest.mock

import gpu_gate_checks as checks

TOOLS = pathlib.Path(__file__).resolve().parent
# Does what the variable FAKE of this command says; by default a run writes its files, and `synth` a folder.
BCREID = """#!/bin/sh
echo "$@" >>"$CALLS"
out=$(echo "$@" | sed -n 's/.*--out \\([^ ]*\\).*/\\1/p')
case "$1" in
doctor) echo "--device auto takes cuda:0, Fake GPU, f32" ;;
bench) cat "$(dirname "$0")/bench.json" ;;
synth) mkdir "$out" ;;
train)
    mkdir "$out" || exit 1
    if [ -e "$FAIL_ONCE" ]; then rm "$FAIL_ONCE"; echo first line >&2; echo it failed >&2; exit 1; fi
    echo weights >"$out/weights.safetensors"
    echo '{"softmax": 1, "positive": 1, "hinge": 1, "center": 1}' >"$out/metrics.jsonl"
    ;;
demo) mkdir "$out"; echo "slow output"; sleep "${SLEEP:-0}" ;;
esac
"""
# Two layers without and one with a residual.
BENCH = {
    "plain": {"median_ms": 2, "images_per_second": 8000}, "graph": {"median_ms": 1, "images_per_second": 16000},
    "parts": [], "peak_bytes": 1,
    "batchnorm": [
        {"shape": [16, 64, 32, 64], "residual": False, "layers": 2, "own": {"forward_us": 1, "backward_us": 2},
         "cudnn": {"forward_us": 2, "backward_us": 3}},
        {"shape": [16, 64, 32, 256], "residual": True, "layers": 1, "own": {"forward_us": 9, "backward_us": 9},
         "cudnn": {"forward_us": 5, "backward_us": 8}},
    ],
}
# A test program: the tests of `bad` end with an illegal address, in a real process of their own.
OPS = """#!/bin/sh
echo "$@" >>"$CALLS"
case "$*" in *bad::*) echo "test bad::one ... "; kill -SEGV $$ ;; esac
shift 2
for test; do echo "test $test ... ok"; echo "relu.cu ran on the host build and on Fake GPU"; done
echo "test result: ok. $# passed; 0 failed; 0 ignored; 0 measured; 0 filtered out"
"""
SANITIZER = """#!/bin/sh
echo "$@" >>"$CALLS"
sleep "${SLEEP:-0}"
echo "========= ERROR SUMMARY: 0 errors"
"""


class Gate(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="gpu-gate-test-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.bundle, self.evidence = self.folder / "bundle", self.folder / "out" / "evidence.json"
        self.evidence.parent.mkdir()
        self.calls, self.fail_once = self.folder / "calls", self.folder / "fail-once"
        self.calls.touch()
        for name, text in [("bcreid", BCREID), ("ops", OPS), ("compute-sanitizer", SANITIZER)]:
            self.script(self.bundle / "bin" / name, text)
        (self.bundle / "bin/bench.json").write_text(json.dumps(BENCH))
        kernels = self.bundle / "repo/cuda/relu.cu"
        kernels.parent.mkdir(parents=True)
        kernels.write_text("\nSOFTCUDA_KERNELS(relu_forward_f32, relu_forward_bf16)\n")
        golden = self.bundle / "repo/tests/golden/train.safetensors"
        golden.parent.mkdir(parents=True)
        golden.write_text("golden")
        self.describe()

    def script(self, path, text):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)

    def describe(self, **more):
        stems = {"ops": {"relu": ["relu::kernel::f32", "relu::kernel::bf16"], "bad": ["bad::one"], "sgd": ["sgd::one"]}}
        about = {
            "commit": "1234", "uncommitted_changes": False, "stems": stems, "scratch": str(self.folder / "scratch"),
            "places": {str(self.folder / "built"): "repo"}, **more,
        }
        (self.bundle / "bundle.json").write_text(json.dumps(about))

    def command(self, *arguments):
        return [sys.executable, TOOLS / "gpu_gate.py", "run", self.bundle, self.evidence, *arguments]

    def environment(self, **variables):
        path = f"{self.bundle / 'bin'}:{os.environ['PATH']}"
        more = {"CALLS": self.calls, "FAIL_ONCE": self.fail_once, "TMPDIR": self.folder, "CXX": "sh", **variables}
        return {**os.environ, "PATH": path, **{key: str(value) for key, value in more.items()}}

    def run_gate(self, *arguments, **variables):
        done = subprocess.run(
            self.command(*arguments), env=self.environment(**variables), stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True,
        )
        return done.returncode, done.stdout

    def content(self):
        return json.loads(self.evidence.read_text())

    def outcomes(self):
        return {check["name"]: check["outcome"] for check in self.content()["checks"]}

    def log(self, stage):
        return (self.evidence.parent / f"evidence.{stage}.log").read_text()

    def test_a_second_call_adds_and_overwrites_nothing(self):
        self.assertEqual(self.run_gate("--stage", "parity")[0], 0)
        first = self.content()
        self.assertEqual(self.run_gate("--only", "bench f32", "two runs f32")[0], 0)
        second = self.content()
        self.assertEqual(list(self.outcomes()), [*(check["name"] for check in first["checks"]), "two runs f32"])
        again = [check for check in first["checks"] if check["name"] == "bench f32"]
        self.assertEqual(second["earlier"], again)
        self.assertEqual(second["date"], first["date"])
        self.assertEqual(self.log("parity").count("==== bench f32, "), 2)

    def test_results_of_another_commit_are_not_mixed(self):
        self.run_gate("--stage", "parity")
        before = self.evidence.read_text()
        self.describe(commit="5678")
        status, said = self.run_gate("--stage", "bits")
        self.assertEqual(status, 1)
        self.assertIn("has results with commit '1234', this run has '5678'; name another file", said)
        self.assertEqual(self.evidence.read_text(), before)

    def test_a_killed_call_leaves_the_results_before_it_and_its_output(self):
        self.run_gate("--stage", "parity")
        before = self.outcomes()
        process = subprocess.Popen(
            self.command("--stage", "device"), env=self.environment(SLEEP=60), stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        log = self.evidence.parent / "evidence.device.log"
        for _ in range(600):
            if log.exists() and "slow output" in log.read_text():
                break
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        self.assertEqual(self.outcomes(), {**before, "demo": "not run"})
        self.assertIn("the call was killed", self.content()["checks"][-1]["detail"])
        self.assertIn("slow output", self.log("device"))
        # The next call is not tripped by what that one has left.
        self.run_gate("--stage", "bits", "--only", "graph")
        self.assertEqual(self.outcomes()["graph f32"], "passed")

    def test_both_batch_norms_are_timed_at_each_shape(self):
        self.assertEqual(self.run_gate("--only", "bench bf16", "batchnorm bf16")[0], 0)
        own, cudnn = self.content()["checks"]
        self.assertEqual(own["figures"]["batchnorm"]["kinds"], BENCH["batchnorm"])
        self.assertEqual(own["figures"]["batchnorm"]["us_a_step"], {"own": 24, "cudnn": 23})
        said = "by own kernels 24 us a step, by cuDNN 23 us (faster at 1 of 2 shapes)"
        self.assertIn(said, own["detail"])
        # The step itself is timed with cuDNN too, under a name of its own.
        self.assertEqual(list(own["figures"]["steps"]), ["bf16 plain", "bf16 graph"])
        steps = [f"bf16 batchnorm cudnn {kind}" for kind in ("plain", "graph")]
        self.assertEqual(list(cudnn["figures"]["steps"]), steps)
        self.assertEqual(cudnn["figures"]["band"], checks.BANDS["bf16"])
        command = [sys.executable, TOOLS / "gpu_gate.py", "table", self.evidence]
        said = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
        self.assertIn("| evidence.json | bench bf16 | 16 x 64 x 32 x 64 | 2 | 3.0 | 5.0 | own |", said)
        self.assertIn("| 16 x 64 x 32 x 256, residual | 1 | 18.0 | 13.0 | cuDNN |", said)
        trained = [call for call in self.calls.read_text().splitlines() if call.startswith("train")]
        self.assertEqual(["--batchnorm cudnn" in call for call in trained], [False, True])

    def test_a_bench_without_batch_norms_fails(self):
        (self.bundle / "bin/bench.json").write_text(json.dumps({**BENCH, "batchnorm": None}))
        self.assertEqual(self.run_gate("--only", "bench f32")[0], 1)
        self.assertEqual(self.outcomes(), {"bench f32": "failed"})

    def test_a_failed_check_keeps_its_whole_output_and_trips_no_other(self):
        self.fail_once.touch()
        status, _ = self.run_gate("--only", "two runs f32", "graph f32")
        self.assertEqual(status, 1)
        self.assertEqual(self.outcomes(), {"two runs f32": "failed", "graph f32": "passed"})
        self.assertIn("first line\nit failed\n", self.log("bits"))

    def test_each_stem_has_a_process_of_its_own(self):
        status, _ = self.run_gate("--stage", "libraries")
        self.assertEqual(status, 1)
        passed = dict.fromkeys(["doctor", "test ops relu", "test ops sgd"], "passed")
        self.assertEqual(self.outcomes(), {**passed, "test ops bad": "failed"})
        self.assertIn("--show-output --exact relu::kernel::f32 relu::kernel::bf16\n", self.calls.read_text())

    def test_a_stage_ends_in_time(self):
        begin = time.monotonic()
        status, _ = self.run_gate("--stage", "device", "--limit", "1", SLEEP=60)
        self.assertLess(time.monotonic() - begin, 30)
        self.assertEqual((status, self.outcomes()), (0, {"demo": "not run"}))
        self.assertIn("the 1 s of its stage were over", self.content()["checks"][0]["detail"])

    def test_the_sanitizer_looks_at_this_programs_kernels(self):
        self.assertEqual(self.run_gate("--stage", "sanitizer")[0], 0)
        checked = {line.split()[1]: line for line in self.calls.read_text().splitlines() if line.startswith("--tool")}
        ours = "--kernel-regex kns=^(relu_forward_f32|relu_forward_bf16)$"
        self.assertNotIn("--kernel-regex", checked["memcheck"])
        self.assertIn(ours, checked["racecheck"])
        self.assertIn(ours, checked["initcheck"])
        self.assertTrue(checked["initcheck"].endswith("relu::kernel::f32 relu::kernel::bf16"), checked["initcheck"])

    def test_a_sanitizer_that_does_not_end_is_no_failure(self):
        status, _ = self.run_gate("--stage", "sanitizer", "--only", "sanitizer racecheck", "--limit", "3", SLEEP=60)
        self.assertEqual((status, self.outcomes()), (0, {"sanitizer racecheck": "not run"}))
        self.assertIn("no complaint until then", self.content()["checks"][0]["detail"])

    def test_a_link_of_another_bundle_is_replaced(self):
        (self.folder / "built").symlink_to(self.folder / "gone")
        self.assertEqual(self.run_gate("--only", "doctor")[0], 0)
        self.assertEqual((self.folder / "built").resolve(), self.bundle / "repo")

    def test_the_plan_names_every_stage_once(self):
        command = [sys.executable, TOOLS / "gpu_gate.py", "plan", "bundle", "evidence.json"]
        lines = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()
        calls = [line.split(" run ")[1] for line in lines if not line.startswith("#")]
        stages = ["libraries", "parity", "bits", "torch", "device", "sanitizer"]
        self.assertEqual(calls, [f"bundle evidence.json --stage {stage}" for stage in stages])

    def test_the_limit_bounds_a_check_and_every_process_is_ended(self):
        gate = checks.Gate(self.bundle, types.SimpleNamespace(small=False, wheels=False, limit=1))
        self.addCleanup(shutil.rmtree, gate.work, ignore_errors=True)
        # The default of --limit says nothing here.
        with unittest.mock.patch.object(checks, "LIMIT", 0.1):
            gate.begin(self.folder / "log")
            with self.assertRaises(checks.CutOff):
                gate.call("sleep", "60")
        gate.begin(self.folder / "log")
        process, wait = gate.start(["sleep", "60"], None)
        gate.deadline = time.monotonic() - 1
        with self.assertRaises(checks.CutOff):
            wait()
        self.assertIsNotNone(process.poll())


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    unittest.main()
