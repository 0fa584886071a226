"""Yahoo's open_nsfw there and back, beside an interpreter of its prototxt; needs torch, numpy, Pillow and safetensors,
the programs built in target/release, and the two files that tools/get-open-nsfw.sh fetches:

    python3 tools/convert/tests/open_nsfw_check.py [FOLDER]

Reads deploy.prototxt and the caffemodel by itself (nothing of this repository's readers takes part), computes the
network layer by layer as Caffe defines the layers, in float64, and compares the features with those of
`bcreid extract` for the converted file, from the same pixels: made-up images stored as PNG at the network's size, so
that neither decoding nor resizing differs. They must agree to 1e-5 of the largest, at the size of the prototxt, where
the last pooling covers the map, and at that of persons, where it is taken to cover it. Any ResNet with a prototxt can
be checked so: --prototxt, --model, --mean B,G,R."""

import argparse
import math
import pathlib
import re
import struct
import subprocess
import tempfile

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

ROOT = pathlib.Path(__file__).resolve().parents[3]
BCREID, CONVERT = (str(ROOT / "target/release" / name) for name in ("bcreid", "bcreid-convert"))
IMAGES, AGREEMENT = 6, 1e-5


# --- the prototxt -----------------------------------------------------------------------------------------------------


def parse(text):
    """A message of protobuf's text format: a dictionary of lists."""
    tokens = re.findall(r'#[^\n]*|"[^"]*"|\'[^\']*\'|[{}:]|[^\s{}:#"\']+', text)
    tokens = iter([token for token in tokens if not token.startswith("#")])

    def message():
        fields = {}
        for name in tokens:
            if name == "}":
                break
            token = next(tokens)
            if token == ":":
                token = next(tokens)
            value = message() if token == "{" else scalar(token)
            fields.setdefault(name, []).append(value)
        return fields

    def scalar(token):
        if token[0] in "\"'":
            return token[1:-1]
        try:
            return float(token)
        except ValueError:
            return {"true": True, "false": False}.get(token, token)

    return message()


# --- the caffemodel ---------------------------------------------------------------------------------------------------


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        value, shift, at = value | (byte & 127) << shift, shift + 7, at + 1
        if byte < 128:
            return value, at


def fields(data):
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        if key & 7 == 0:
            value, at = varint(data, at)
        else:
            size, at = {1: (8, at), 5: (4, at)}.get(key & 7) or varint(data, at)
            value, at = data[at : at + size], at + size
        yield key >> 3, value


def blob(data):
    """BlobProto: packed floats (5), and dims (1) in a shape (7)."""
    values, dims = [], []
    for number, value in fields(data):
        if number == 5:
            values.append(np.frombuffer(value, "<f4"))
        elif number == 7:
            packed = next(value for number, value in fields(value) if number == 1)
            at = 0
            while at < len(packed):
                dim, at = varint(packed, at)
                dims.append(dim)
    return torch.from_numpy(np.concatenate(values).astype(np.float64)).reshape(dims)


def weights(path):
    """The blobs of each layer (100) by its name (1)."""
    layers = {}
    for number, layer in fields(path.read_bytes()):
        if number == 100:
            parts = list(fields(layer))
            name = next(value for number, value in parts if number == 1).decode()
            layers[name] = [blob(value) for number, value in parts if number == 7]
    return layers


# --- the layers, as Caffe computes them -------------------------------------------------------------------------------


def one(settings, name, default):
    return settings.get(name, [default])[0]


def convolution(x, settings, blobs):
    stride, pad = int(one(settings, "stride", 1)), int(one(settings, "pad", 0))
    assert not set(settings) & {"group", "dilation", "kernel_h", "stride_h", "pad_h"}
    assert list(blobs[0].shape[2:]) == [int(one(settings, "kernel_size", 0))] * 2
    return F.conv2d(x, blobs[0], blobs[1] if len(blobs) > 1 else None, stride, pad)


def batch_norm(x, settings, blobs):
    mean, var, factor = blobs
    inverse = 0 if factor.item() == 0 else 1 / factor.item()
    mean, var = (v.reshape(1, -1, 1, 1) * inverse for v in (mean, var))
    return (x - mean) / torch.sqrt(var + one(settings, "eps", float(np.float32(1e-5))))


def scale(x, settings, blobs):
    blobs = [v.reshape(1, -1, 1, 1) for v in blobs]
    return x * blobs[0] + (blobs[1] if one(settings, "bias_term", False) else 0)


def pooling(x, settings, blobs):
    kernel, stride, pad = (int(one(settings, k, d)) for k, d in (("kernel_size", 0), ("stride", 1), ("pad", 0)))
    assert pad == 0 and not set(settings) & {"global_pooling", "kernel_h", "stride_h", "pad_h"}
    out = [math.ceil((size - kernel) / stride) + 1 for size in x.shape[2:]]
    if one(settings, "pool", "MAX") == "AVE":
        return x.mean((2, 3), keepdim=True)
    more = [(o - 1) * stride + kernel - size for o, size in zip(out, x.shape[2:])]
    return F.max_pool2d(F.pad(x, (0, max(more[1], 0), 0, max(more[0], 0)), value=-math.inf), kernel, stride)


SETTINGS = {"Convolution": (convolution, "convolution_param"), "BatchNorm": (batch_norm, "batch_norm_param"),
            "Scale": (scale, "scale_param"), "Pooling": (pooling, "pooling_param")}


@torch.no_grad()
def features(net, blobs, pixels):
    """What the layer that averages the map writes."""
    values = {one(net["layer"][0], "top", None): pixels}
    for layer in net["layer"][1:]:
        kind, name = layer["type"][0], layer["name"][0]
        inputs = [values[bottom] for bottom in layer["bottom"]]
        if kind in SETTINGS:
            function, key = SETTINGS[kind]
            (x,), settings = inputs, one(layer, key, {})
            values[layer["top"][0]] = function(x, settings, blobs.get(name, []))
            if one(settings, "pool", "MAX") == "AVE":
                return values[layer["top"][0]].flatten(1)
        elif kind == "ReLU":
            values[layer["top"][0]] = F.relu(inputs[0])
        elif kind == "Eltwise":
            assert "eltwise_param" not in layer
            values[layer["top"][0]] = inputs[0] + inputs[1]
        else:
            raise SystemExit(f"layer {name} is of type {kind}")
    raise SystemExit("no layer averages the map")


# --- the comparison ---------------------------------------------------------------------------------------------------


def pictures(folder, height, width):
    """Images with structure at every scale, RGB."""
    random = np.random.default_rng(7)
    for number in range(IMAGES):
        noise = 0
        for n in (2, 8, 32):
            grid = random.uniform(-1, 1, (n, n, 3))
            noise = noise + np.kron(grid, np.ones((height // n + 1, width // n + 1, 1)))[:height, :width]
        levels = np.clip(128 + 60 * noise + 20 * number - 50, 0, 255).astype(np.uint8)
        Image.fromarray(levels).save(folder / f"{number}.png")


def with_size(weights, height, width, out):
    """The weights with the size of their input, which converted weights leave to the settings."""
    with safe_open(weights, "np") as file:
        metadata = dict(file.metadata())
    metadata["config"] = metadata["config"].replace("[input]", f"[input]\nheight = {height}\nwidth = {width}")
    save_file(load_file(weights), out, metadata)


def compare(net, blobs, converted, mean, height, width, folder):
    images, sized, found = folder / "images", folder / "sized.safetensors", folder / "features.safetensors"
    images.mkdir()
    pictures(images, height, width)
    with_size(converted, height, width, sized)
    subprocess.run([BCREID, "extract", "--weights", sized, "--images", images, "--out", found], check=True,
                   stdout=subprocess.DEVNULL)
    ours = load_file(found)["features"].astype(np.float64)
    rgb = np.stack([np.asarray(Image.open(path)) for path in sorted(images.iterdir())]).astype(np.float64)

    bgr = rgb[..., ::-1] - mean
    theirs = features(net, blobs, torch.from_numpy(bgr.transpose(0, 3, 1, 2).copy()))
    theirs = F.normalize(theirs).numpy()
    assert ours.shape == theirs.shape, f"{ours.shape} features, and {theirs.shape} by the prototxt"
    apart = np.abs(theirs[0] - theirs[1:]).max() / np.abs(theirs).max()
    assert apart > 1e-2, f"the images look alike to the network ({apart:.1e}): nothing is compared"
    worst = (np.abs(ours - theirs).max(1) / np.abs(theirs).max(1)).max()
    print(f"{len(ours)} images of {height} x {width}, {ours.shape[1]} features: they differ by at most {worst:.1e} of "
          f"the largest (between images: {apart:.2f})")
    assert worst < AGREEMENT, f"more than {AGREEMENT}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=pathlib.Path, nargs="?", default=ROOT / "tools/open_nsfw/files")
    parser.add_argument("--mean", default="104,117,123")
    parser.add_argument("--out", type=pathlib.Path, help="keep the converted weights here")
    parser.add_argument("--prototxt", type=pathlib.Path)
    parser.add_argument("--model", type=pathlib.Path)
    arguments = parser.parse_args()
    prototxt = arguments.prototxt or arguments.folder / "deploy.prototxt"
    model = arguments.model or arguments.folder / "resnet_50_1by2_nsfw.caffemodel"
    net, blobs = parse(prototxt.read_text()), weights(model)
    mean = [float(level) for level in arguments.mean.split(",")]
    side = int(net["layer"][0]["input_param"][0]["shape"][0]["dim"][2])

    with tempfile.TemporaryDirectory() as temporary:
        temporary = pathlib.Path(temporary)
        converted = arguments.out or temporary / "weights.safetensors"
        subprocess.run([CONVERT, model, "--mean", arguments.mean, "--out", converted], check=True)
        for height, width in ((side, side), (256, 128)):
            folder = temporary / f"{height}x{width}"
            folder.mkdir()
            compare(net, blobs, converted, mean, height, width, folder)


main()
