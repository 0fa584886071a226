"""Whole networks there and back, beside torchvision and Pillow; needs torch, torchvision, numpy, Pillow and
safetensors, and the programs built in target/release:

    python3 tools/convert/tests/torchvision_check.py

Randomly initialised ResNets with uneven running statistics go through bcreid-convert in every container of
PyTorch; `bcreid extract` describes 8 made-up JPEGs, torchvision the same ones read and resized by Pillow; the
features must agree to 1e-4 of their size. Then the way back must be bit-exact, and a run trained here must load
into a plain ResNet. Prints peak memory and the time of each conversion beside torch.load's."""

import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

import numpy as np
import torch
import torch.nn.functional as F
import torchvision
from PIL import Image
from safetensors.numpy import load_file

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(pathlib.Path(__file__).parent / "golden"))
from containers import tar  # noqa: E402

BCREID, CONVERT = (str(ROOT / "target/release" / name) for name in ("bcreid", "bcreid-convert"))
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


def run(*command):
    return subprocess.run([str(part) for part in command], check=True, capture_output=True, text=True).stdout


def peak_mib(*command):
    """Peak resident memory of a command in MiB, and its seconds."""
    code = (
        "import resource, subprocess, sys, time; t = time.time(); subprocess.run(sys.argv[1:], check=True, "
        "stdout=subprocess.DEVNULL); print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024, "
        "time.time() - t)"
    )
    return [float(v) for v in run(sys.executable, "-c", code, *command).split()]


def uneven(network):
    """Random weights and statistics under which activations stay in range."""
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.0)
            torch.nn.init.uniform_(module.bias, -0.3, 0.3)
            torch.nn.init.uniform_(module.running_mean, -0.5, 0.5)
            torch.nn.init.uniform_(module.running_var, 0.5, 2.0)
    return network.eval()


def features(network, paths):
    network.fc = torch.nn.Identity()
    images = [Image.open(p).convert("RGB").resize((128, 256), Image.BILINEAR) for p in paths]
    pixels = np.stack([(np.asarray(i) / 255 - MEAN) / STD for i in images]).astype(np.float32)
    with torch.no_grad():
        return F.normalize(network(torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy()))).numpy()


def compare(label, weights, network, images, folder):
    found = folder / "features.safetensors"
    run(BCREID, "extract", "--weights", weights, "--images", images, "--out", found, "--force")
    ours, theirs = load_file(found)["features"], features(network, sorted(images.iterdir()))
    worst = (np.abs(ours - theirs).max(1) / np.abs(theirs).max(1)).max()
    print(f"{label}: features differ by at most {worst:.1e} of the largest")
    assert worst < 1e-4, label


def containers(folder, state):
    file = folder / "zip.pth"
    torch.save(state, file)
    yield "zip", file
    file = folder / "legacy.pth"
    torch.save({"epoch": 90, "state_dict": {f"module.{k}": v for k, v in state.items()}}, file,
               _use_new_zipfile_serialization=False)
    yield "legacy, nested, DataParallel", file
    file = folder / "tar.pth"
    file.write_bytes(tar(state))
    yield "tar", file


def main(folder):
    torch.manual_seed(3)
    data, images = folder / "data", folder / "images"
    run(BCREID, "synth", "--out", data, "--train-ids", 4, "--test-ids", 4, "--images-per-camera", 2)
    images.mkdir()
    for path in sorted((data / "query").iterdir())[:8]:
        shutil.copy(path, images / path.name)

    for arch in ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152"):
        network = uneven(getattr(torchvision.models, arch)(weights=None))
        state = network.state_dict()
        every = list(containers(folder, state)) if arch == "resnet50" else [next(containers(folder, state))]
        for label, file in every:
            converted = folder / "converted.safetensors"
            memory, seconds = peak_mib(CONVERT, file, "--out", converted)
            start = time.time()
            if label != "tar":
                torch.load(file)
            loaded = time.time() - start
            size = file.stat().st_size / 2**20
            print(f"{arch} {label}: {size:.0f} MiB in {seconds:.2f} s (torch.load {loaded:.2f} s), "
                  f"peak {memory:.0f} MiB")
            compare(f"{arch} {label}", converted, network, images, folder)
        for back in ("back.pth", "back.safetensors"):
            run(CONVERT, converted, "--to", "torchvision", "--out", folder / back)
            if back.endswith("pth"):
                returned = torch.load(folder / back, weights_only=True)
            else:
                returned = {k: torch.from_numpy(v) for k, v in load_file(folder / back).items()}
            assert all(torch.equal(value, state[name]) for name, value in returned.items())
            plain = getattr(torchvision.models, arch)(weights=None)
            plain.fc = torch.nn.Identity()
            plain.load_state_dict(returned, strict=True)
        print(f"{arch}: {len(returned)} tensors came back bit for bit, .pth and .safetensors")

    run(BCREID, "train", "--data", data, "--out", folder / "run", "--set", "model.arch=resnet18", "--set",
        "solver.iterations=2", "--set", "solver.lr_milestones=[]", "--set", "input.height=64", "--set",
        "input.width=32")
    said = run(CONVERT, folder / "run/weights.safetensors", "--to", "torchvision", "--out", folder / "run.pth")
    assert "left behind: centers" in said, said
    plain = torchvision.models.resnet18(num_classes=4)
    plain.load_state_dict(torch.load(folder / "run.pth", weights_only=True), strict=True)
    print("a run trained here loads into a plain ResNet-18 with its classifier, centers left behind")


with tempfile.TemporaryDirectory() as folder:
    main(pathlib.Path(folder))
