"""Runs and features as NumPy arrays, and evaluation."""

import copy
import json
import shutil
import unittest

import bcreid
import numpy as np
from common import FOLDER, RUN, SET
from safetensors.numpy import load_file


class Read(unittest.TestCase):
    def test_a_run(self):
        run = bcreid.Run(str(RUN))
        self.assertEqual((run.path, run.weights), (RUN, RUN / "weights.safetensors"))
        self.assertEqual(run.config["solver"]["iterations"], 40)
        self.assertEqual(run.config["model"]["arch"], "slim")
        self.assertEqual(run.config["solver"]["momentum"], 0.9)
        lines = [json.loads(line) for line in (RUN / "metrics.jsonl").read_text().splitlines()]
        self.assertEqual(len(lines), 40)
        self.assertLessEqual(set().union(*lines), set(run.metrics))
        for name, values in run.metrics.items():
            self.assertEqual(values.shape, (40,))
            self.assertFalse(values.flags.writeable)
            expected = [line.get(name) for line in lines]
            expected = np.array([np.nan if value is None else value for value in expected])
            np.testing.assert_array_equal(values, expected.astype(values.dtype), name)
        self.assertEqual(run.metrics["step"].dtype, np.int64)
        self.assertEqual(run.metrics["loss"].dtype, np.float32)
        self.assertIs(run.metrics, run.metrics)
        (evaluation,) = run.evaluations.values()
        self.assertEqual((evaluation.name, evaluation.note), ("set", None))
        self.assertEqual(evaluation.images, [str(SET.resolve())])
        self.assertEqual(evaluation.report, json.loads((FOLDER / "eval.json").read_text()))
        self.assertEqual(len(evaluation.query), 12)

    def test_features(self):
        path = FOLDER / "query.safetensors"
        read = bcreid.read_features(path)
        theirs = load_file(path)
        for name in ["features", "pids", "camids"]:
            ours = getattr(read, name)
            self.assertEqual(ours.dtype, theirs[name].dtype)
            np.testing.assert_array_equal(ours, theirs[name])
            with self.assertRaises(ValueError):
                ours[0] = 0
        self.assertEqual((len(read), read.dim), read.features.shape)
        self.assertEqual(read.paths, sorted(str(path) for path in (SET / "query").glob("*.jpg")))
        self.assertEqual((read.about["mirrored"], read.about["pooled"]), (False, None))
        self.assertEqual(len(read.about["network"]), 64)
        np.save(FOLDER / "own.npy", theirs["features"])
        rows = ["pid,camid"] + [f"{p},{c}" for p, c in zip(theirs["pids"], theirs["camids"])]
        (FOLDER / "own.csv").write_text("\n".join(rows) + "\n")
        np.testing.assert_array_equal(bcreid.read_features(str(FOLDER / "own.npy")).features, read.features)

    def test_features_of_arrays(self):
        rows = np.arange(6, dtype=np.float64).reshape(3, 2)[:, ::-1]
        features = bcreid.Features(rows, [1, 2, 1], np.array([0, 0, 1], np.int32), paths=["a", "b", "c"])
        np.testing.assert_array_equal(features.features, rows)
        self.assertEqual((features.pids.tolist(), features.paths), ([1, 2, 1], ["a", "b", "c"]))
        self.assertEqual(bcreid.Features(rows, [1, 2, 1]).camids.tolist(), [-1] * 3)
        for arguments, words in [
            ((rows.astype(np.float16), [1, 2, 3]), "features: a float16 array [3, 2]; give a float32 or float64"),
            ((rows[0], [1]), "[N, D]"),
            ((rows.tolist(), [1, 2, 3]), "an object of type list"),
            ((rows, [1, 2]), "3 rows, but 2 pids and 2 camids"),
            ((rows, [1, 2, 2**63]), "pids: an object of type list; give integers"),
            ((rows, np.array([1.5, 2, 3])), "pids: a float64 array [3]; give integers"),
            ((rows, [1, 2, -2]), "pids[2] is -2"),
            ((rows, [1, 2, 3], [0, 0]), "2 camids"),
            ((rows * np.nan, [1, 2, 3]), "row 0 holds NaN"),
            ((rows[:0], []), "0 images"),
        ]:
            with self.assertRaises(bcreid.Error) as raised:
                bcreid.Features(*arguments)
            self.assertIn(words, str(raised.exception))

    def test_names(self):
        rows = np.eye(3, dtype=np.float32)
        named = bcreid.Features(rows, [1, 2, 1], [0, 0, 1], pid_names={1: "eva", 2: "bob"}, camera_names={1: "gate"})
        self.assertEqual((named.pid_names, named.camera_names), ({1: "eva", 2: "bob"}, {1: "gate"}))
        self.assertEqual(bcreid.Features(rows, [1, 2, 1]).pid_names, {})
        other = bcreid.Features(rows, [1, 2, 1], [1, 1, 0], pid_names={1: "eva", 2: "ann"})
        with self.assertRaisesRegex(bcreid.Error, "bob"):
            bcreid.evaluate(named, other)
        (FOLDER / "named.csv").write_text("pid,pid_name\n1,eva\n2,bob\n1,eva\n")
        np.save(FOLDER / "named.npy", rows)
        self.assertEqual(bcreid.read_features(FOLDER / "named.npy").pid_names, {1: "eva", 2: "bob"})
        # A part of the rows comes with the names of all.
        part = bcreid.Features(rows[:1], [1], pid_names={1: "eva", 2: "bob"})
        self.assertEqual(part.pid_names, {1: "eva"})
        for names, words in [({-1: "eva"}, "-1 stands for an unknown"), ({1: " "}, "the name of 1 is empty")]:
            with self.assertRaisesRegex(bcreid.Error, words):
                bcreid.Features(rows, [1, 2, 1], pid_names=names)

    def test_wrong_files(self):
        (FOLDER / "text.safetensors").write_text("no features")
        (FOLDER / "odd\nname.npy").write_text("no array")
        for path, words in [
            (FOLDER / "absent.safetensors", "absent.safetensors: No such file"),
            (FOLDER / "text.safetensors", "text.safetensors: "),
            (FOLDER / "odd\nname.npy", "odd\\nname.npy: "),
            (FOLDER / "f.txt", "ends in .safetensors, .npy"),
        ]:
            with self.assertRaises(bcreid.Error) as raised:
                bcreid.read_features(path)
            text = str(raised.exception)
            self.assertIn(words, text)
            self.assertNotIn("\n", text)
        with self.assertRaisesRegex(bcreid.Error, "not a run folder"):
            bcreid.Run(SET)
        with self.assertRaises(TypeError):
            bcreid.Run(7)
        self.assertEqual(f"{bcreid.Error.__module__}.{bcreid.Error.__qualname__}", "bcreid.Error")
        shutil.copytree(RUN, FOLDER / "unfinished", ignore=shutil.ignore_patterns("*.safetensors", "*.jsonl"))
        run = bcreid.Run(FOLDER / "unfinished")
        self.assertIsNone(run.weights)
        with self.assertRaisesRegex(bcreid.Error, "a run writes it from its first step on"):
            run.metrics
        (FOLDER / "unfinished/metrics.jsonl").write_text('{"step": 0}\n')
        self.assertTrue(np.isnan(run.metrics["loss"]).all())
        self.assertNotIn("triplet", run.metrics)

    def test_losses_that_only_some_runs_have(self):
        copy = FOLDER / "other-losses"
        shutil.copytree(RUN, copy, ignore=shutil.ignore_patterns("*.safetensors", "*.jsonl"))
        lines = ['{"step": 0, "loss": 3}', '{"step": 1, "triplet": 0.5, "circle": 2}', '{"step": 2, "triplet": 0.25}']
        (copy / "metrics.jsonl").write_text("\n".join(lines) + "\n")
        metrics = bcreid.Run(copy).metrics
        np.testing.assert_array_equal(metrics["triplet"], [np.nan, 0.5, 0.25])
        np.testing.assert_array_equal(metrics["circle"], [np.nan, 2, np.nan])
        self.assertNotIn("contrastive", metrics)


class Evaluate(unittest.TestCase):
    def test_agrees_with_the_program(self):
        stored = bcreid.Run(RUN).evaluations["set"]
        expected = json.loads((FOLDER / "eval.json").read_text())
        folder = RUN / "evaluations/set"
        (gallery,) = folder.rglob("gallery.safetensors")
        for query, gallery in [
            (stored.query, stored.gallery),
            (FOLDER / "query.safetensors", str(gallery)),
            (stored.query, [gallery]),
        ]:
            self.assertEqual(bcreid.evaluate(query, gallery, device="cpu"), expected)
        again = bcreid.evaluate(stored.query, stored.gallery, rerank=True, k1=5, k2=2, lambda_=0.5)
        self.assertEqual(again["protocol"]["rerank"], {"k1": 5, "k2": 2, "lambda": 0.5})
        self.assertNotEqual(again["map_market"], expected["map_market"])
        halves = [slice(0, 80), slice(80, None)]
        of = stored.gallery
        parts = [
            bcreid.Features(of.features[s], of.pids[s], of.camids[s], network=of.about["network"], mirrored=False)
            for s in halves
        ]
        joined = bcreid.evaluate(stored.query, parts)
        self.assertEqual(joined["cmc"], expected["cmc"])

    def test_settings(self):
        query = bcreid.Features(np.eye(2, dtype=np.float32) * 3, [1, 2], [0, 0])
        gallery = bcreid.Features(np.eye(2, dtype=np.float32), [1, 2], [0, 1])
        self.assertEqual(bcreid.evaluate(query, gallery)["valid_queries"], 1)
        self.assertEqual(bcreid.evaluate(query, gallery, count_unmatched=True)["averaged_queries"], 2)
        self.assertEqual(bcreid.evaluate(query, gallery, ignore_cameras=True)["valid_queries"], 2)
        self.assertTrue(bcreid.evaluate(query, gallery, normalise=True)["protocol"]["normalise"])
        same_camera = bcreid.Features(np.eye(2, dtype=np.float32), [1, 2], [0, 0])
        for arguments, keywords, words in [
            ((query, same_camera), {}, "give ignore_cameras=True"),
            ((query, gallery), {"k1": 5}, "give rerank=True too"),
            ((query, gallery), {"rerank": True, "k1": 0}, "k1 is 0"),
            ((query, gallery), {"rerank": True, "k1": -1}, "k1 is -1"),
            ((query, gallery), {"rerank": True, "k2": -5}, "k2 is -5"),
            ((query, gallery), {"device": "tpu"}, "choose auto, cpu, cuda"),
            ((query, gallery), {"device": "cpu", "precision": "tf32"}, "needs a CUDA device"),
            ((query, gallery), {"precision": "f64"}, "choose f32, tf32 or bf16"),
            ((query, np.eye(2)), {}, "gallery: a float64 array [2, 2]; give bcreid.Features"),
            ((None, gallery), {}, "query: an object of type NoneType"),
            ((query, []), {}, "at least one feature file"),
            ((query, bcreid.Features(np.eye(3), [1, 2, 1])), {}, "some features have 2 values"),
        ]:
            with self.assertRaises(bcreid.Error) as raised:
                bcreid.evaluate(*arguments, **keywords)
            self.assertIn(words, str(raised.exception))

    def test_features_are_shared_and_not_changed(self):
        read = bcreid.read_features(FOLDER / "query.safetensors")
        before = copy.copy(read.features)
        bcreid.evaluate(read, bcreid.Run(RUN).evaluations["set"].gallery, normalise=True)
        np.testing.assert_array_equal(read.features, before)
        self.assertIs(read.features, read.features)


if __name__ == "__main__":
    unittest.main()
