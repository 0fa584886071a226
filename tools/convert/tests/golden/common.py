"""What the scripts beside this one share: the test images, a network with something to say about them, its features.

Importing it also makes tests/golden/resnet.py of the engine importable.
"""

import copy
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

HERE = Path(__file__).resolve().parent
HEIGHT, WIDTH = 128, 64

sys.path.append(str(HERE.parents[3] / "tests/golden"))


def pixels():
    """../images/*.jpg in the order of their names, decoded and resized by Pillow: RGB, uint8 [8, 128, 64, 3]."""
    files = sorted((HERE.parent / "images").glob("*.jpg"))
    assert len(files) == 8
    resized = (Image.open(f).convert("RGB").resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR) for f in files)
    return np.stack([np.asarray(image) for image in resized])


@torch.no_grad()
def give_statistics(net, x):
    """Random scales and shifts, and the statistics of x, somewhat off, so that every layer has something to say. The
    last scale of a block is small, as training leaves it: without that, rounding grows from block to block."""
    for _, bn_name, unit in net.layers():
        unit.bn.momentum = 1.0
        low, high = (0.2, 0.5) if bn_name.endswith("bn3") else (0.5, 1.5)
        torch.nn.init.uniform_(unit.bn.weight, low, high)
        torch.nn.init.uniform_(unit.bn.bias, -0.1, 0.5)
    net.train()(x)
    for _, _, unit in net.layers():
        unit.bn.running_mean += 0.1 * torch.randn_like(unit.bn.running_mean)
        unit.bn.running_var *= torch.empty_like(unit.bn.running_var).uniform_(1, 2)


@torch.no_grad()
def features(net, x):
    """pool5 in float64. They must differ between images, and float32 must come close to them."""
    exact = net.eval()(x).numpy()
    rounded = copy.deepcopy(net).float()(x.float()).numpy()
    alive, stray = (exact.std(0) > 1e-2).mean(), np.abs(rounded - exact).max() / exact.mean()
    print(f"features {exact.shape}: {exact.min():.3f} to {exact.max():.3f}, {alive:.0%} differ between images, ")
    print(f"float32 strays by {stray:.1e} of their mean")
    assert alive > 0.8 and stray < 1e-5
    return exact.astype(np.float32)
