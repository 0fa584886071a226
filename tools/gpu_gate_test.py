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

import gpu_gate_bundle as bundles
import gpu_gate_checks as checks
import gpu_gate_process as processes

TOOLS = pathlib.Path(__file__).resolve().parent
# Does what the variable FAKE of this command says; by default a run writes its files, and `synth` a folder.
BCREID = """#!/bin/sh
echo "$@" >>"$CALLS"
out=$(echo "$@" | sed -n 's/.*--out \\([^ ]*\\).*/\\1/p')
case "$1" in
doctor)
    echo "driver: for CUDA 13.0, libcuda.so.1 as the loader finds it"
    [ -e "$NO_CUDNN" ] && echo "cuDNN: not found (libcudnn.so.9)" || echo "cuDNN: ${CUDNN:-9.10.0}, /opt/libcudnn.so.9"
    echo "cuBLAS: 13.0.0, libcublas.so.13 as the loader finds it"
    echo " kernel                code, bytes  registers  static shared, bytes "
    echo " relu_forward_bf16            1664         19                     0 "
    echo " relu_forward_f32             1280         18                     0 "
    [ -e "$NO_CUDNN" ] && echo "--device auto takes cpu" || echo "--device auto takes cuda:0, Fake GPU, f32"
    ;;
bench)
    case "$*" in *--one-stream*) streams=1 ;; *) streams=${STREAMS:-2} ;; esac
    sed "s/STREAMS/$streams/" "$(dirname "$0")/bench.json"
    ;;
synth) mkdir "$out" ;;
train)
    mkdir "$out" || exit 1
    if [ -e "$NO_CUDNN" ]; then echo "cuDNN: not found" >&2; exit 1; fi
    if [ -e "$FAIL_ONCE" ]; then rm "$FAIL_ONCE"; echo first line >&2; echo it failed >&2; exit 1; fi
    echo weights >"$out/weights.safetensors"
    echo "{\\"softmax\\": ${LOSS:-1}, \\"positive\\": 1, \\"hinge\\": 1, \\"center\\": 1}" >"$out/metrics.jsonl"
    [ -z "$PLAIN" ] || echo "steps run plainly, because none could be captured" >&2
    ;;
demo)
    mkdir "$out"
    sleep "${SLEEP:-0}" &
    echo $! >"$CALLS.child"
    echo "slow output"
    wait
    echo '{"rows": [{"name": "a", "report": {"rank1": 0.1, "map_market": 0}}, {"name": "b", "report":
        {"rank1": 0.2, "map_market": 0}}]}' >"$out/result.json"
    ;;
esac
"""
# Two layers without and one with a residual.
BENCH = {
    "plain": {"median_ms": 2, "images_per_second": 8000}, "graph": {"median_ms": 1, "images_per_second": 16000},
    "parts": {"forward_ms": 0.4}, "parts_captured": False, "notes": ["the parts were not captured: no memory"],
    "work": {"kinds": [{"name": "sgd", "launches": 12, "model_us": 132.0, "measured_us": 140.5}], "part_nodes": None},
    "peak_bytes": 1, "waiting_bytes": 0, "streams": "STREAMS",
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
[ "$3" != --test-threads ] || shift 2
shift 2
for test; do echo "test $test ... ok"; echo "relu.cu ran on the host build and on Fake GPU"; done
echo "test result: ok. $# passed; 0 failed; 0 ignored; 0 measured; 0 filtered out"
"""
SANITIZER = """#!/bin/sh
[ "$1" != --help ] || { echo "  --${OPTION:-kernel-name} arg"; exit 0; }
echo "$@" >>"$CALLS"
sleep "${SLEEP:-0}"
[ -z "$COMPLAINT" ] || echo "========= $COMPLAINT"
while [ -z "$(echo "$1" | grep ^/)" ]; do shift; done
[ -z "$NO_DEVICE" ] || { echo "========= Error: Device not supported" >&2; exit 1; }
"$@"
echo "========= ERROR SUMMARY: 0 errors"
sleep "${SLEEP_AFTER:-0}"
[ -z "$COMPLAINT" ] || exit 9
"""


class Gate(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="gpu-gate-test-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.bundle, self.evidence = self.folder / "bundle", self.folder / "out" / "evidence.json"
        self.evidence.parent.mkdir()
        self.calls, self.fail_once = self.folder / "calls", self.folder / "fail-once"
        self.no_cudnn = self.folder / "no-cudnn"
        self.calls.touch()
        for name, text in [("bcreid", BCREID), ("ops", OPS), ("compute-sanitizer", SANITIZER)]:
            self.script(self.bundle / "bin" / name, text)
        self.bench(BENCH)
        kernels = self.bundle / "repo/cuda/relu.cu"
        kernels.parent.mkdir(parents=True)
        kernels.write_text("\nSOFTCUDA_KERNELS(relu_forward_f32, relu_forward_bf16)\n")
        golden = self.bundle / "repo/tests/golden/train.safetensors"
        golden.parent.mkdir(parents=True)
        golden.write_text("golden")
        self.describe()

    def bench(self, report):
        (self.bundle / "bin/bench.json").write_text(json.dumps(report).replace('"STREAMS"', "STREAMS"))

    def script(self, path, text):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)

    def describe(self, **more):
        stems = {"ops": {"relu": ["relu::kernel::f32", "relu::kernel::bf16"], "bad": ["bad::one"], "sgd": ["sgd::one"]}}
        about = {
            "commit": "1234", "uncommitted_changes": False, "stems": stems, "scratch": str(self.folder / "scratch"),
            "places": {str(self.folder / "built"): ["repo", None]}, **more,
        }
        files = [file for file in self.bundle.rglob("*") if file.is_file() and file.name != "bundle.json"]
        about["files"] = {str(file.relative_to(self.bundle)): bundles.digest_of(file) for file in files}
        (self.bundle / "bundle.json").write_text(json.dumps(about))

    def command(self, *arguments):
        return [sys.executable, TOOLS / "gpu_gate.py", "run", self.bundle, self.evidence, *arguments]

    def environment(self, **variables):
        path = f"{self.bundle / 'bin'}:{os.environ['PATH']}"
        files = {"CALLS": self.calls, "FAIL_ONCE": self.fail_once, "NO_CUDNN": self.no_cudnn}
        more = {**files, "TMPDIR": self.folder, "CXX": "sh", **variables}
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
        # No log of a stage that had no check to run, and no lock.
        files = ["evidence.bits.log", "evidence.json", "evidence.parity.log"]
        self.assertEqual(sorted(file.name for file in self.evidence.parent.iterdir()), files)

    def test_results_of_another_program_or_machine_are_not_mixed(self):
        self.run_gate("--stage", "parity")
        before = self.evidence.read_text()

        def refused(what, **variables):
            status, said = self.run_gate("--stage", "bits", **variables)
            self.assertEqual(status, 1)
            self.assertIn(what, said)
            self.assertEqual(self.evidence.read_text(), before)
            self.assertEqual(list(self.evidence.parent.glob("*.lock")), [])

        refused("it has results with cuDNN '9.10.0', this run has '9.11.0'; name another file for it", CUDNN="9.11.0")
        self.no_cudnn.touch()
        refused("it has results with cuDNN '9.10.0', and now none is found")
        self.no_cudnn.unlink()
        self.describe(commit="5678")
        refused("it has results with commit '1234', this run has '5678'; name another file")
        # Another tree with uncommitted changes on the same commit.
        self.describe()
        (self.bundle / "repo/tests/golden/train.safetensors").write_text("changed")
        self.describe()
        refused("it has results with bundle '")

    def test_libraries_that_are_found_later_are_added(self):
        self.no_cudnn.touch()
        self.assertEqual(self.run_gate("--only", "doctor", "two runs f32")[0], 1)
        self.assertEqual(self.outcomes(), {"doctor": "failed", "two runs f32": "failed"})
        self.assertIsNone(self.content()["libraries"]["cuDNN"])
        self.no_cudnn.unlink()
        self.assertEqual(self.run_gate("--only", "doctor", "two runs f32")[0], 0)
        self.assertEqual(self.content()["libraries"]["cuDNN"], "9.10.0")
        self.assertEqual([check["outcome"] for check in self.content()["earlier"]], ["failed", "failed"])

    def test_a_damaged_bundle_is_not_run(self):
        # A copy without permissions is whole.
        (self.bundle / "bin/bcreid").chmod(0o644)
        self.assertEqual(self.run_gate("--only", "doctor")[0], 0)
        self.evidence.unlink()
        (self.bundle / "repo/cuda/relu.cu").write_text("half of i")
        status, said = self.run_gate("--stage", "parity")
        self.assertEqual(status, 1)
        self.assertIn("the bundle is damaged: repo/cuda/relu.cu differs from what was packed; copy it again", said)
        self.assertFalse(self.evidence.exists())

    def test_the_folder_of_the_build_must_be_the_bundles(self):
        built = self.folder / "built"
        shutil.copytree(self.bundle / "repo", built)
        self.assertEqual(self.run_gate("--only", "doctor")[0], 0)
        (built / "cuda/relu.cu").write_text("newer")
        status, said = self.run_gate("--only", "doctor")
        self.assertEqual(status, 1)
        self.assertIn("cuda/relu.cu has changed since then; make the bundle anew, or move", said)

    def test_the_captured_step_and_both_streams_must_be_there(self):
        self.assertEqual(self.run_gate("--only", "graph f32", PLAIN=1)[0], 1)
        self.assertIn("no step was captured", self.content()["checks"][0]["detail"])
        self.assertEqual(self.run_gate("--only", "bench one stream f32", "bench f32", STREAMS=1)[0], 1)
        details = {check["name"]: check["detail"] for check in self.content()["checks"]}
        self.assertEqual(details["bench f32"], "1 streams and not 2")
        self.assertIn("f32 one-stream graph 1.000 ms", details["bench one stream f32"])

    def test_other_bits_fail_and_are_counted(self):
        for name, lines in [("a", ["1", "2", "3"]), ("b", ["1", "5", "6"]), ("c", ["1", "2", "3"]), ("d", [])]:
            run = self.folder / name
            run.mkdir()
            (run / "metrics.jsonl").write_text("\n".join(lines))
            (run / "weights.safetensors").write_text(name)
        a, b, c, d = [self.folder / name for name in "abcd"]
        for other, what in [
            (b, "metrics.jsonl differs in 2 of 3 lines, first in 2"),
            (c, "weights.safetensors differs, metrics.jsonl does not"),
            (d, "3 steps and 0"),
        ]:
            with self.assertRaises(processes.Failed) as failed:
                checks.same_bits(a, other)
            self.assertEqual(str(failed.exception), what)
        with self.assertRaises(processes.Failed):
            checks.same_bits(d, d)

    def test_a_loss_that_is_no_number_fails(self):
        self.assertEqual(self.run_gate("--only", "parity bf16", LOSS="NaN")[0], 1)
        self.assertEqual(self.content()["checks"][0]["detail"], "a loss is not finite")

    @unittest.skipUnless(os.environ.get("BCREID"), "BCREID names no program")
    def test_the_program_takes_what_the_checks_ask_for(self):
        # On the CPU, where nothing is captured and there are no streams and no precisions.
        program = """#!/bin/sh
        for word; do
            shift
            case "$word" in cuda) word=cpu ;; tf32 | bf16) word=f32 ;; esac
            set -- "$@" "$word"
        done
        [ "$1" != doctor ] || { echo "--device auto takes cuda:0, Fake GPU, f32"; exit; }
        exec "$BCREID" "$@" --threads 1
        """
        self.script(self.bundle / "bin/bcreid", program)
        self.describe()
        same = ["parity f32", "two runs f32", "graph f32", "one stream f32", "resume f32", "demo"]
        status, said = self.run_gate("--small", "--only", *same)
        self.assertEqual((status, set(self.outcomes().values())), (0, {"passed"}), said)
        self.assertEqual(self.content()["checks"][0]["figures"]["largest_relative_difference"], 0)
        # All of the benchmark but what a GPU alone has.
        self.run_gate("--small", "--only", "bench one stream f32")
        self.assertEqual(self.content()["checks"][-1]["detail"], "None streams and not 1")

    def test_times_of_pytorch_are_kept_where_a_way_of_it_fails(self):
        script = self.bundle / "repo/benches/train_step_torch.py"
        script.parent.mkdir()
        module = self.folder / "python/torch.py"
        module.parent.mkdir()
        module.touch()

        def torch(failed, then):
            report = {"torch": "PyTorch 2", "device": "Fake GPU", "steps": {"eager f32": {"median_ms": 3.0}}}
            line = json.dumps({**report, "failed": failed})
            script.write_text(f"import sys, time\nprint({line!r}, flush=True)\n{then}\n")
            self.describe()
            self.evidence.unlink(missing_ok=True)
            self.assertEqual(self.run_gate("--only", "torch", "--limit", "8", PYTHONPATH=module.parent)[0], 0)
            check = self.content()["checks"][0]
            self.assertEqual(check["figures"]["steps"], {"PyTorch eager f32": {"median_ms": 3.0}})
            return check["outcome"], check["detail"]

        seen = "PyTorch 2 on Fake GPU: eager f32 3.000 ms"
        self.assertEqual(torch({}, ""), ("passed", seen))
        outcome = torch({"compiled bf16": "no triton"}, "")
        self.assertEqual(outcome, ("not run", f"{seen}; not compiled bf16: no triton"))
        outcome, detail = torch({}, "time.sleep(60)")
        self.assertEqual(outcome, "not run")
        self.assertTrue(detail.startswith(f"{seen}; the 8 s of its stage were over"), detail)
        outcome, detail = torch({}, "sys.exit('out of memory')")
        self.assertEqual(outcome, "not run")
        self.assertTrue(detail.endswith("status 1: out of memory"), detail)

    def test_a_wish_that_no_check_has_is_an_error(self):
        status, said = self.run_gate("--stage", "bits", "--only", "bench")
        self.assertEqual(status, 1)
        self.assertIn("no check of these stages begins with 'bench'; there are: two runs f32, graph f32", said)

    def started(self):
        """A call that is in the middle of its demo, and the process that the demo has started."""
        log, child = self.evidence.parent / "evidence.device.log", self.folder / "calls.child"
        child.unlink(missing_ok=True)
        process = subprocess.Popen(
            self.command("--stage", "device"), env=self.environment(SLEEP=60), stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, start_new_session=True,
        )
        # The demo's process is there, and its output is in the log.
        wait_until(lambda: child.exists() and log.read_text().rstrip().endswith("slow output"))
        return process, int(child.read_text())

    def test_a_killed_call_leaves_the_results_before_it_and_its_output(self):
        killed, stopped = "the call was killed", "the call was stopped by SIGTERM"
        for number, said in [(signal.SIGKILL, killed), (signal.SIGTERM, stopped)]:
            with self.subTest(number.name):
                self.run_gate("--stage", "parity")
                before = self.outcomes()
                process, child = self.started()
                os.killpg(process.pid, number)
                out, _ = process.communicate()
                self.assertEqual(self.outcomes(), {**before, "demo": "not run"})
                self.assertIn(said, self.content()["checks"][-1]["detail"])
                self.assertIn("slow output", self.log("device"))
                if number == signal.SIGTERM:
                    self.assertEqual(process.returncode, 128 + signal.SIGTERM)
                    self.assertIn("stopped by SIGTERM; the same call again adds to", out)
                # Nothing computes on, and nothing that it has made is left.
                wait_until(lambda: not is_alive(child))
                wait_until(lambda: not list(self.folder.glob("gpu-gate-*")))
                # The next call is not tripped by what that one has left.
                self.run_gate("--stage", "bits", "--only", "graph")
                self.assertEqual(self.outcomes()["graph f32"], "passed")
                self.evidence.unlink()

    def test_a_check_that_passed_stays_passed_when_a_later_call_is_cut_off_in_it(self):
        self.assertEqual(self.run_gate("--stage", "device")[0], 0)
        passed = self.content()["checks"]
        self.assertEqual(self.outcomes(), {"demo": "passed"})
        process, _ = self.started()
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        self.assertEqual(self.run_gate("--stage", "device", "--limit", "1", SLEEP=60)[0], 0)
        self.assertEqual(self.content()["checks"], passed)
        reasons = [check["detail"] for check in self.content()["earlier"]]
        self.assertEqual([("killed" in reason, "1 s" in reason) for reason in reasons], [(True, False), (False, True)])

    def test_a_check_that_is_too_long_does_not_keep_the_others_from_running(self):
        # Those behind the long one are reached by the second call.
        stems = {"ops": {"relu": ["relu::kernel::f32"], "sgd": ["sgd::one"]}}
        slow = OPS.replace("shift 2\nfor", "case \"$*\" in *relu*) sleep 60 ;; esac\nshift 2\nfor")
        self.script(self.bundle / "bin/ops", slow)
        self.describe(stems=stems)
        for outcome in ["not run", "passed", "passed"]:
            self.run_gate("--stage", "libraries", "--only", "test", "--limit", "3")
            self.assertEqual(self.outcomes(), {"test ops relu": "not run", "test ops sgd": outcome})
        # That the third call did not reach it again says nothing.
        earlier = [(check["name"], check.get("reached")) for check in self.content()["earlier"]]
        self.assertEqual(earlier.count(("test ops sgd", False)), 1, "that of the first call")

    def test_the_checks_without_a_result_come_first(self):
        self.run_gate("--only", "two runs", "graph f32")
        self.calls.write_text("")
        self.run_gate("--stage", "bits", "--only", "graph")
        order = [line for line in self.log("bits").splitlines() if line.startswith("==== graph") and "passed" in line]
        expected = [f"==== graph {precision}" for precision in ["tf32", "bf16", "f32"]]
        self.assertEqual([line.split(":")[0] for line in order[1:]], expected)

    def test_two_calls_at_once_do_not_overwrite_each_other(self):
        process, _ = self.started()
        status, said = self.run_gate("--stage", "parity")
        self.assertEqual(status, 1)
        self.assertIn("another call is adding to it", said)
        process.terminate()
        process.communicate()
        self.assertEqual(self.run_gate("--stage", "parity")[0], 0)

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

    def test_the_measured_times_of_the_kinds_and_what_is_missing_are_kept(self):
        self.assertEqual(self.run_gate("--only", "bench f32")[0], 0)
        check = self.content()["checks"][0]
        for key in ["parts", "parts_captured", "notes", "work"]:
            self.assertEqual(check["figures"][key], BENCH[key], key)
        self.assertTrue(check["detail"].endswith("; the parts were not captured: no memory"), check["detail"])

    def test_a_bench_without_batch_norms_fails(self):
        self.bench({**BENCH, "batchnorm": None, "notes": ["the layers are not timed: status 901"]})
        self.describe()
        self.assertEqual(self.run_gate("--only", "bench f32")[0], 1)
        self.assertEqual(self.outcomes(), {"bench f32": "failed"})
        said = "no layer of batch normalisation was timed; the layers are not timed: status 901"
        self.assertEqual(self.content()["checks"][0]["detail"], said)
        # The times that it has are kept.
        self.assertEqual(self.content()["checks"][0]["figures"]["steps"]["f32 graph"]["median_ms"], 1)

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
        for option, key in [("kernel-name", "regex"), ("kernel-regex", "kns")]:
            self.calls.write_text("")
            self.assertEqual(self.run_gate("--stage", "sanitizer", OPTION=option)[0], 0)
            lines = self.calls.read_text().splitlines()
            checked = {line.split()[1]: line for line in lines if line.startswith("--tool")}
            ours = f"--{option} {key}=^(relu_forward_f32|relu_forward_bf16)$"
            self.assertNotIn("--kernel", checked["memcheck"])
            self.assertIn(ours, checked["racecheck"])
            self.assertIn(ours, checked["initcheck"])
            self.assertTrue(checked["initcheck"].endswith("relu::kernel::f32 relu::kernel::bf16"), checked["initcheck"])

    def test_kernels_that_the_sanitizer_would_leave_out_are_an_error(self):
        (self.bundle / "repo/cuda/relu.cu").write_text("\nSOFTCUDA_KERNELS(relu_forward_f32)\n")
        self.describe()
        self.assertEqual(self.run_gate("--only", "sanitizer racecheck")[0], 1)
        self.assertIn("differ in {'relu_forward_bf16'}", self.content()["checks"][0]["detail"])

    def test_a_complaint_of_the_sanitizer_is_a_failure(self):
        complaint = "Invalid __global__ read of size 4 bytes"
        self.assertEqual(self.run_gate("--only", "sanitizer memcheck", COMPLAINT=complaint)[0], 1)
        limit = ["--limit", "3"]
        # Also where the program does not end in time.
        variables = {"COMPLAINT": complaint, "SLEEP_AFTER": 60}
        self.assertEqual(self.run_gate("--only", "sanitizer racecheck", *limit, **variables)[0], 1)
        self.assertIn(complaint, self.content()["checks"][1]["detail"])

    def test_a_sanitizer_that_does_not_begin_or_end_is_no_failure(self):
        status, _ = self.run_gate("--stage", "sanitizer", "--only", "sanitizer racecheck", "--limit", "3", SLEEP=60)
        self.assertEqual((status, self.outcomes()), (0, {"sanitizer racecheck": "not run"}))
        self.assertIn("no complaint until then", self.content()["checks"][0]["detail"])
        status, _ = self.run_gate("--stage", "sanitizer", "--only", "sanitizer memcheck", NO_DEVICE=1)
        self.assertEqual((status, self.outcomes()["sanitizer memcheck"]), (0, "not run"))
        self.assertIn("no summary: ========= Error: Device not supported", self.content()["checks"][1]["detail"])

    def test_a_link_of_another_bundle_is_replaced(self):
        (self.folder / "built").symlink_to(self.folder / "gone")
        self.assertEqual(self.run_gate("--only", "doctor")[0], 0)
        self.assertEqual((self.folder / "built").resolve(), self.bundle / "repo")

    def test_the_calls_of_the_plan_run_as_they_are_printed(self):
        odd = self.folder / "a folder"
        odd.mkdir()
        self.evidence = odd / "evidence.json"
        command = [TOOLS / "gpu-gate.sh", "plan", self.bundle, self.evidence]

        def planned():
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=self.environment())
            return done.stdout.splitlines()

        calls = [line for line in planned() if not line.startswith("#")]
        stages = ["libraries", "parity", "bits", "torch", "device", "sanitizer"]
        self.assertEqual([call.split("--stage ")[1] for call in calls], stages)
        self.assertIn("# parity, 0 of 12 checks have a result", "\n".join(planned()))
        subprocess.run(calls[1], shell=True, check=True, env=self.environment(), stdout=subprocess.DEVNULL)
        self.assertIn("# parity, 12 of 12 checks have a result", "\n".join(planned()))

    def test_the_limit_bounds_a_check_and_every_process_is_ended(self):
        options = types.SimpleNamespace(small=False, wheels=False, limit=1)
        gate = checks.Gate(bundles.Bundle(self.bundle), options)
        self.addCleanup(gate.clean_up, keep=False)
        # The default of --limit says nothing here.
        with unittest.mock.patch.object(checks, "LIMIT", 0.1):
            gate.begin(self.folder / "log")
            with self.assertRaises(processes.CutOff):
                gate.call("sleep", "60")
        gate.begin(self.folder / "log")
        process, wait = gate.start(["sleep", "60"], None)
        gate.deadline = time.monotonic() - 1
        with self.assertRaises(processes.CutOff):
            wait()
        self.assertIsNotNone(process.poll())


def is_alive(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    # One that has ended and that nobody has waited for.
    return ") Z " not in pathlib.Path(f"/proc/{process}/stat").read_text()


def wait_until(condition):
    for _ in range(600):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("it did not come about within 30 s")


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    unittest.main()
