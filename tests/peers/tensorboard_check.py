"""Checks of a run in TensorBoard: tensorboard_check.py RUN BCREID

RUN was trained with --tensorboard and evaluated. Its curves must be the numbers of metrics.jsonl, also after `bcreid
tensorboard` has written them anew under the eyes of a reader, and TensorBoard's own server must list them."""

import io
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import numpy as np
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

TAGS = {
    "loss/total": "loss",
    "loss/softmax": "softmax",
    "loss/positive": "positive",
    "loss/hinge": "hinge",
    "loss/center": "center",
    "schedule/rate": "rate",
    "schedule/lambda": "lambda",
    "distance/intra": "intra",
    "distance/inter": "inter",
    "distance/inter_min": "inter_min",
}


FIGURES = ("rank1", "map_market", "map_sum", "minp")


def check_curves(events, lines):
    """Every number of metrics.jsonl once, bit for bit as float32."""
    events.Reload()
    assert set(TAGS) <= set(events.Tags()["scalars"]), events.Tags()
    for tag, key in TAGS.items():
        wanted = [(line["step"], np.float32(line[key])) for line in lines if line[key] is not None]
        found = [(event.step, np.float32(event.value)) for event in events.Scalars(tag)]
        assert wanted and found == wanted, f"{tag}: {found[:3]} ... instead of {wanted[:3]} ..."
    print(f"{len(TAGS)} curves of {len(lines)} steps are those of metrics.jsonl")


def check_evaluation(events, run):
    figures = json.loads((run / "evaluations/set/result.json").read_text())
    for figure in FIGURES:
        (event,) = events.Scalars(f"evaluation/set/{figure}")
        assert np.float32(event.value) == np.float32(figures[figure]), f"{figure}: {event.value}"
    for kind in ("same", "different"):
        (event,) = events.Histograms(f"pairs/set/{kind}")
        histogram = event.histogram_value
        counts, limits = np.array(histogram.bucket), np.array(histogram.bucket_limit)
        assert counts.sum() == histogram.num > 0 and (np.diff(limits) > 0).all()
        assert 0 <= histogram.min < histogram.sum / histogram.num < histogram.max <= 2, histogram
    images = [tag for tag in events.Tags()["images"] if tag.startswith("lists/set/")]
    assert {tag.split("/")[2] for tag in images} == {"best", "worst", "random"}, images
    for tag in images:
        (event,) = events.Images(tag)
        with Image.open(io.BytesIO(event.encoded_image_string)) as image:
            assert image.format == "PNG" and image.size == (event.width, event.height), tag
            assert np.asarray(image).std() > 10, f"{tag} shows nothing"
    print(f"distances of pairs, and {len(images)} ranked lists")


def check_projector(run, base):
    """TensorBoard's projector finds the features, their labels and images."""
    def read(what, **query):
        query = urllib.parse.urlencode({"run": ".", **query})
        with urllib.request.urlopen(f"{base}/data/plugin/projector/{what}?{query}") as answer:
            return answer.read()

    (embedding,) = json.loads(read("info"))["embeddings"]
    assert embedding["tensorName"] == "set" and embedding["sprite"]["singleImageDim"] == [32, 64], embedding
    values = np.frombuffer(read("tensor", name="set"), dtype=np.float32)
    lines = read("metadata", name="set").decode().splitlines()
    files = run / "tensorboard/projector/set"
    wanted = np.loadtxt(files / "tensors.tsv", delimiter="\t", dtype=np.float32)
    assert wanted.shape[0] == len(lines) - 1 and (values.reshape(wanted.shape) == wanted).all()
    with Image.open(io.BytesIO(read("sprite_image", name="set"))) as sprite:
        side = int(np.ceil(np.sqrt(wanted.shape[0])))
        assert sprite.size == (32 * side, 64 * side), sprite.size
    print(f"the projector shows {wanted.shape[0]} features of {wanted.shape[1]} values")


def check_provenance(events):
    """A text of step 0. A reader that follows a run does not purge texts, as it does numbers: the newest counts."""
    event = events.Tensors("run/provenance")[-1]
    (text,) = event.tensor_proto.string_val
    assert event.step == 0 and "started from: random weights" in text.decode(), text


def check_server(run):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(run / "tensorboard"), "--host", "127.0.0.1"]
    with subprocess.Popen([*command, "--port", str(port)], stderr=subprocess.PIPE, text=True) as server:
        try:
            for _ in range(600):
                assert server.poll() is None, server.stderr.read()
                try:
                    with urllib.request.urlopen(f"http://127.0.0.1:{port}/data/plugin/scalars/tags") as page:
                        tags = json.load(page)
                except (urllib.error.URLError, ConnectionError):
                    tags = {}
                if tags:
                    break
                time.sleep(0.1)
            check_projector(run, f"http://127.0.0.1:{port}")
            server_of = f"http://127.0.0.1:{port}/data/plugin/text"
            with urllib.request.urlopen(f"{server_of}/tags") as page:
                texts = json.load(page)
            with urllib.request.urlopen(f"{server_of}/text?run=.&tag=run/provenance") as page:
                (shown,) = json.load(page)
        finally:
            server.terminate()
            server.stderr.close()
    listed = {*TAGS, *(f"evaluation/set/{figure}" for figure in FIGURES)}
    assert list(tags) == ["."] and set(tags["."]) == listed, tags
    assert texts == {".": ["run/provenance"]}, texts
    assert shown["text"].startswith("<pre><code>") and "trained on: set" in shown["text"], shown
    print(f"the server lists {len(tags['.'])} curves")


def main(run, program):
    run = Path(run)
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    keep_all = {"scalars": 0, "images": 0, "histograms": 0, "tensors": 0}
    events = EventAccumulator(str(run / "tensorboard"), size_guidance=keep_all)
    check_curves(events, lines)
    check_provenance(events)

    # A later name than that of the file that was written while training.
    later = time.time() + 60
    os.utime(run / "metrics.jsonl", (later, later))
    subprocess.run([program, "tensorboard", "--projector", str(run)], check=True, capture_output=True)
    check_curves(events, lines)
    check_provenance(events)
    check_evaluation(events, run)
    check_server(run)


main(*sys.argv[1:])
