"""Features of bcreid's files in trackers beside its own: BoxMOT and Ultralytics' BoT-SORT.

    python -m venv trackers && trackers/bin/pip install -r tools/trackers/requirements.txt
    trackers/bin/python tools/trackers/check.py --bin target/release IMAGES

Makes a ResNet-50 with random weights and uneven running statistics in torchvision, converts it with bcreid-convert,
exports it in each form, and lets each tracker's own code extract the features of the image files in IMAGES, once
resized to the network's input beforehand, which must give the features of `bcreid extract`, and once resized by the
tracker, where the difference is printed. A wrong form must be far off. The packages are too large for the tests of a
push; docs/trackers.md has the figures."""

import argparse
import subprocess
import sys
import tempfile
import types
from importlib.metadata import version
from pathlib import Path

import cv2
import numpy as np
import torch
import torchvision
from safetensors.numpy import load_file

HEIGHT, WIDTH = 256, 128
# Largest difference of a value of features of length 1.
TOLERANCE = 1e-5


def run(*command):
    command = [str(part) for part in command]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return done.stdout


def random_resnet50(file, last_stride):
    """Random weights; uneven statistics, so that every layer affects the features."""
    torch.manual_seed(5)
    model = torchvision.models.resnet50(num_classes=751)
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            # The last scale of a block is small, as training leaves it.
            low, high = (0.2, 0.5) if name.endswith("bn3") else (0.5, 1.2)
            torch.nn.init.uniform_(module.weight, low, high)
            torch.nn.init.uniform_(module.bias, -0.2, 0.4)
            torch.nn.init.uniform_(module.running_mean, -0.3, 0.3)
            torch.nn.init.uniform_(module.running_var, 0.5, 2.0)
    torch.save(model.state_dict(), file)


def boxmot(file, frames):
    """BoxMOT's own crops of whole frames, its normalisation and its backend for the file's ending."""
    from boxmot.reid.core.runtime import ReID

    backend = ReID(file, device="cpu").get_backend()
    boxes = [np.array([[0, 0, frame.shape[1], frame.shape[0]]], np.float32) for frame in frames]
    return np.concatenate([backend.get_features(box, frame) for box, frame in zip(boxes, frames)])


def ultralytics(file, frames):
    """The encoder of Ultralytics' BoT-SORT, as the tracker builds it; the tracker normalises what it gives."""
    from ultralytics.trackers.bot_sort import BOTSORT
    from ultralytics.trackers.utils.reid import smooth_feature
    from ultralytics.utils import YAML, ROOT

    settings = YAML.load(ROOT / "cfg/trackers/botsort.yaml")
    settings.update(with_reid=True, model=str(file), device="cpu")
    encoder = BOTSORT(types.SimpleNamespace(**settings)).encoder
    rows = []
    for frame in frames:
        height, width = frame.shape[:2]
        whole = np.array([[width / 2, height / 2, width, height]], np.float32)
        (feature,) = encoder(frame, whole)
        rows.append(smooth_feature(feature, None, 0.9)[0])
    return np.stack(rows)


def deployed(pth, out, last_stride):
    """The weights for BoxMOT: its ResNet-50 wants all buffers, and no classifier of another name."""
    model = torchvision.models.resnet50()
    model.fc = torch.nn.Identity()
    if last_stride == 1:
        model.layer4[0].conv2.stride = model.layer4[0].downsample[0].stride = (1, 1)
    state = torch.load(pth, weights_only=True)
    model.load_state_dict({name: value for name, value in state.items() if not name.startswith("fc.")}, strict=True)
    torch.save(model.state_dict(), out)
    return model.eval()


def plain(model, frames):
    """torchvision's ResNet on images of the network's size, as the loading snippet of the documentation has it."""
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    pixels = torch.stack([torch.from_numpy(np.ascontiguousarray(frame[..., ::-1])) for frame in frames])
    with torch.no_grad():
        features = model(((pixels / 255 - mean) / std).permute(0, 3, 1, 2))
    return torch.nn.functional.normalize(features).numpy()


def compare(what, found, expected, tolerance=None):
    worst = np.abs(found - expected).max()
    cosine = (found * expected).sum(1).min()
    print(f"{what}: values differ by at most {worst:.1e}, cosine at least {cosine:.6f}")
    if tolerance is not None and not worst <= tolerance:
        sys.exit(f"{what}: the features are others")
    return worst


def check(folder, programs, files, last_stride):
    bcreid, convert = programs
    at = lambda name: folder / name
    random_resnet50(at("random.pth"), last_stride)
    weights = at("random.safetensors")
    run(convert, at("random.pth"), "--out", weights, "--last-stride", last_stride, "--force")
    for form in ["floats", "normalised"]:
        run(bcreid, "export", "--weights", weights, "--input", form, "--out", at(f"resnet50_{form}.onnx"), "--force")
    said = run(convert, weights, "--to", "torchvision", "--out", at("torchvision.pth"), "--force")
    assert (".stride = " in said) == (last_stride == 1), said
    model = deployed(at("torchvision.pth"), at("resnet50_deployed.pt"), last_stride)

    exact, native = at("exact"), at("native")
    for place in [exact, native]:
        place.mkdir(exist_ok=True)
    for i, file in enumerate(files):
        frame = cv2.imread(str(file))
        cv2.imwrite(str(native / f"{i:03}.png"), frame)
        cv2.imwrite(str(exact / f"{i:03}.png"), cv2.resize(frame, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA))
    for place, tolerance in [(exact, TOLERANCE), (native, None)]:
        out = at("features.safetensors")
        run(bcreid, "extract", "--weights", weights, "--images", place, "--out", out, "--force", "--device", "cpu")
        ours = load_file(out)["features"]
        frames = [cv2.imread(str(path)) for path in sorted(place.iterdir())]
        spread = np.abs(ours[:, None] - ours[None]).max()
        print(f"-- last stride {last_stride}, images {place.name}: {len(ours)} features,", end=" ")
        print(f"between images values differ by up to {spread:.1e}")
        found = {
            "BoxMOT, --input normalised": boxmot(at("resnet50_normalised.onnx"), frames),
            "Ultralytics BoT-SORT, --input floats": ultralytics(at("resnet50_floats.onnx"), frames),
        }
        if last_stride == 2:
            found["BoxMOT, --to torchvision"] = boxmot(at("resnet50_deployed.pt"), frames)
        if place is exact:
            found["torchvision, --to torchvision"] = plain(model, frames)
        for what, features in found.items():
            compare(what, features, ours, tolerance)
        if place is exact:
            twice = boxmot(at("resnet50_floats.onnx"), frames)
            never = ultralytics(at("resnet50_normalised.onnx"), frames)
            for what, features in [
                ("wrong: BoxMOT, --input floats (normalised twice)", twice),
                ("wrong: Ultralytics, --input normalised (never normalised)", never),
            ]:
                if compare(what, features, ours) < 100 * TOLERANCE:
                    sys.exit("a wrong form is not seen to be wrong")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=Path, required=True, help="the folder of bcreid and bcreid-convert")
    parser.add_argument("images", type=Path, help="a folder of image files, of which the first 16 are taken")
    arguments = parser.parse_args()
    endings = {".jpg", ".jpeg", ".png"}
    files = sorted(path for path in arguments.images.rglob("*") if path.suffix.lower() in endings)[:16]
    if len(files) < 2:
        sys.exit(f"{arguments.images}: fewer than two images; give a folder with more")
    packages = ["boxmot", "ultralytics", "onnxruntime", "torch", "torchvision"]
    print(", ".join(f"{name} {version(name)}" for name in packages))
    with tempfile.TemporaryDirectory() as folder:
        for last_stride in [2, 1]:
            check(Path(folder), [arguments.bin / "bcreid", arguments.bin / "bcreid-convert"], files, last_stride)


main()
