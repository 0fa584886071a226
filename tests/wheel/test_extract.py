"""Feature extraction, and computations beside other threads and signals."""

import multiprocessing
import os
import shutil
import signal
import threading
import time
import unittest
import warnings

import bcreid
import numpy as np
from common import FOLDER, RUN, SET
from PIL import Image


def files():
    return sorted((SET / "query").glob("*.jpg"))


class Extract(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.extractor = bcreid.Extractor(RUN, device="cpu")
        cls.expected = bcreid.read_features(FOLDER / "query.safetensors")

    def test_files_as_the_program(self):
        seen = []
        for images in [SET / "query", str(SET / "query"), files(), [str(file) for file in files()]]:
            features = self.extractor.extract(images, progress=lambda done, total: seen.append((done, total)))
            np.testing.assert_array_equal(features, self.expected.features)
            self.assertEqual(seen[-1], (12, 12))
        self.assertEqual((features.dtype, features.shape[1]), (np.float32, self.extractor.dim))
        again = bcreid.extract(RUN, files()[:3], device="cpu", batch=2)
        np.testing.assert_array_equal(again, features[:3])
        flipped = bcreid.extract(RUN, files()[:3], flip=True)
        self.assertGreater(np.abs(flipped - again).max(), 1e-3)
        np.testing.assert_allclose(np.linalg.norm(flipped, axis=1), 1, atol=1e-5)
        folder = self.extractor.extract_folder(SET / "query")
        np.testing.assert_array_equal(folder.pids, self.expected.pids)
        np.testing.assert_array_equal(folder.camids, self.expected.camids)
        self.assertEqual((folder.paths, folder.about), (self.expected.paths, self.expected.about))

    def test_arrays_as_files(self):
        folder = FOLDER / "png"
        folder.mkdir()
        pictures = []
        for i, file in enumerate(files()):
            # Of several sizes; PNG, so that two decoders agree.
            picture = Image.open(file).convert("RGB").crop((0, 0, 40 + i, 90 + 2 * i))
            picture.save(folder / f"{i:02}.png")
            pictures.append(np.asarray(picture))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            expected = self.extractor.extract(folder)
        self.assertIn("12 of 12 names give no identity", str(caught[0].message))
        np.testing.assert_array_equal(self.extractor.extract(pictures), expected)
        np.testing.assert_array_equal(self.extractor.extract(tuple(pictures)), expected)
        same = np.stack([picture[:90, :40] for picture in pictures])
        alone = self.extractor.extract([np.ascontiguousarray(picture) for picture in same])
        np.testing.assert_array_equal(self.extractor.extract(same), alone)
        # BGR to RGB is a view with steps of -1.
        np.testing.assert_array_equal(self.extractor.extract(same[..., ::-1][..., ::-1].copy()), alone)
        np.testing.assert_array_equal(self.extractor.extract(same[..., ::-1].copy()[..., ::-1]), alone)
        seen = []
        many = np.concatenate([same] * 25)
        features = self.extractor.extract(many, progress=lambda done, total: seen.append((done, total)))
        np.testing.assert_array_equal(features, np.concatenate([alone] * 25))
        self.assertEqual(seen, sorted(set(seen)))
        self.assertEqual(seen[-1], (300, 300))

    def test_unreadable_images_of_a_folder(self):
        folder = FOLDER / "some-broken"
        folder.mkdir()
        for file in files()[:2]:
            (folder / file.name).write_bytes(file.read_bytes())
        (folder / "0000_c1s1_000000_00.jpg").write_bytes(b"no image")
        for extract in [self.extractor.extract, self.extractor.extract_folder]:
            with self.assertRaisesRegex(bcreid.Error, 'extract_folder.folder, bad_images="skip"'):
                extract(folder)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            features = self.extractor.extract_folder(folder, bad_images="skip")
        self.assertIn("left out: ", str(caught[-1].message))
        self.assertIn("0000_c1s1_000000_00.jpg", str(caught[-1].message))
        np.testing.assert_array_equal(features.features, self.expected.features[:2])
        np.testing.assert_array_equal(features.pids, self.expected.pids[:2])
        # The next call refuses again.
        with self.assertRaises(bcreid.Error):
            self.extractor.extract(folder)
        with self.assertRaisesRegex(bcreid.Error, "choose refuse or skip"):
            self.extractor.extract_folder(folder, bad_images="drop")
        with self.assertRaisesRegex(bcreid.Error, "a batch of -1 images"):
            bcreid.Extractor(RUN, device="cpu", batch=-1)

    def test_wrong_images(self):
        picture = np.zeros((4, 4, 3), np.uint8)
        (FOLDER / "empty").mkdir()
        (FOLDER / "broken.png").write_bytes(b"no image")
        for images, words in [
            (FOLDER / "empty", "no image"),
            (FOLDER / "absent", "absent: No such file"),
            ([FOLDER / "broken.png"], "broken.png: not a JPEG"),
            ([], "the list is empty"),
            (picture, "images: a uint8 array [4, 4, 3]"),
            (picture[None].astype(np.float32), "images: a float32 array"),
            (picture[None][:0], "images: a uint8 array [0, 4, 4, 3]"),
            ([picture, picture[..., :2]], "images[1]: a uint8 array [4, 4, 2]"),
            ([picture, files()[0]], "images[1]: an object of type "),
            ([files()[0], picture], "images[1]: a uint8 array"),
            ([picture, picture[:0]], "images[1]: 4 x 0 pixels: the image is empty"),
            (7, "images: an object of type int"),
        ]:
            with self.assertRaises(bcreid.Error) as raised:
                self.extractor.extract(images)
            self.assertIn(words, str(raised.exception))
        for weights, keywords, words in [
            (SET, {}, "set"),
            (FOLDER / "query.safetensors", {}, "features, and no network"),
            (RUN, {"batch": 0}, "give 1 to 1024"),
            (RUN, {"device": "cuda:99"}, 'give device="cpu"'),
        ]:
            with self.assertRaises(bcreid.Error) as raised:
                bcreid.Extractor(weights, **keywords)
            self.assertIn(words, str(raised.exception))
        with self.assertRaises(TypeError):
            bcreid.Extractor(RUN, batch="many")
        self.assertEqual(len(self.extractor.extract([picture])), 1)

    def test_weights_of_an_unfinished_run_are_a_warning(self):
        folder = FOLDER / "stopped"
        shutil.copytree(RUN, folder)
        (folder / "weights.safetensors").unlink()
        with self.assertWarnsRegex(UserWarning, "step_"):
            bcreid.Extractor(folder)


class Beside(unittest.TestCase):
    def test_other_threads_run(self):
        extractor = bcreid.Extractor(RUN, device="cpu", batch=1)
        turns, done = [0], threading.Event()

        def count():
            while not done.is_set():
                turns[0] += 1
                time.sleep(0.001)

        thread = threading.Thread(target=count)
        thread.start()
        start = time.perf_counter()
        extractor.extract(files() * 40)
        spent = time.perf_counter() - start
        done.set()
        thread.join()
        # With the lock held it would have had no turn.
        self.assertGreater(turns[0], spent * 100)

    def test_two_threads_share_an_extractor(self):
        extractor = bcreid.Extractor(RUN, device="cpu")
        expected = extractor.extract(files())
        found = []
        threads = [threading.Thread(target=lambda: found.append(extractor.extract(files()))) for _ in range(4)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        self.assertEqual(len(found), 4)
        for features in found:
            np.testing.assert_array_equal(features, expected)

    def test_ctrl_c_ends_an_extraction(self):
        extractor = bcreid.Extractor(RUN, device="cpu", batch=1)
        seen = []

        def progress(done, total):
            seen.append(done)
            if done == 5:
                os.kill(os.getpid(), signal.SIGINT)

        with self.assertRaises(KeyboardInterrupt):
            extractor.extract(files() * 100, progress=progress)
        self.assertLess(seen[-1], 1200)
        # It may be used again.
        self.assertEqual(len(extractor.extract(files())), 12)

    def test_ctrl_c_ends_an_evaluation(self):
        rows = np.random.default_rng(1).random((12000, 64), np.float32)
        features = bcreid.Features(rows, np.arange(12000) % 1000)
        timer = threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGINT))
        timer.start()
        start = time.perf_counter()
        with self.assertRaises(KeyboardInterrupt):
            # A second one only if the first ended before the signal.
            for _ in range(2):
                bcreid.evaluate(features, features, rerank=True)
        self.assertLess(time.perf_counter() - start, 2)

    def test_an_exception_of_progress_ends_the_call(self):
        def progress(done, total):
            raise LookupError("enough")

        with self.assertRaisesRegex(LookupError, "enough"):
            bcreid.extract(RUN, files(), progress=progress)

    @unittest.skipUnless(hasattr(os, "fork"), "no fork")
    def test_a_forked_process_is_an_error_and_a_spawned_one_is_none(self):
        bcreid.read_features(FOLDER / "query.safetensors")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for method, words in [("fork", "was forked"), ("spawn", "12")]:
                with multiprocessing.get_context(method).Pool(1) as pool:
                    self.assertIn(words, pool.apply_async(count_in_worker).get(timeout=60))


def count_in_worker():
    try:
        return str(len(bcreid.read_features(FOLDER / "query.safetensors")))
    except bcreid.Error as error:
        return str(error)


if __name__ == "__main__":
    unittest.main()
