"""Golden losses of 20 training steps of a slim ResNet with both losses: python3 tests/golden/train.py

They are computed in float64. Training from random weights amplifies rounding from step to step: at rate 0.001 and
lambda 1 PyTorch's own float32 losses are 6 % off after 20. So the runs take small steps, and the script also trains in
float32 and refuses a setting in which PyTorch itself strays by more than half of the test's tolerance. Small
steps move the losses little; so the file also holds the momentum of every parameter, which is the sum of all its
gradients with decay, and the running statistics and centers (the first values of each).
"""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.numpy import save_file

import philox
import resnet
from pattern import BATCH, CLASSES, SEED, batch

STEPS = 20
MOMENTUM, DECAY, DROPOUT, TAU, CENTER_RATE = 0.9, 5e-4, 0.5, 1.0, 0.5
TOLERANCE, MOMENTUM_TOLERANCE, HEAD = 1e-4, 5e-2, 24


def head(tensor):
    """The first values of a tensor, in the engine's order."""
    tensor = tensor.detach()
    if tensor.dim() == 4:
        tensor = tensor.permute(0, 2, 3, 1)
    return tensor.flatten()[:HEAD].double().numpy().copy()


def run(dtype, caffe, exact, frozen):
    rate, weight = (0.002, 0.3) if frozen else (0.00003, 0.1)
    torch.set_default_dtype(dtype)
    torch.set_num_threads(1)
    net = resnet.ResNet("slim", width=16, depths=(1, 1, 1, 1), caffe=caffe)
    fc = torch.nn.Linear(net.features, CLASSES)
    named = list(net.named()) + [("fc.weight", fc.weight), ("fc.bias", fc.bias)]
    resnet.initialise(named, philox, SEED)
    centers = torch.zeros(CLASSES, net.features)
    sgd = torch.optim.SGD([p for _, p in named], rate, MOMENTUM, weight_decay=DECAY)
    net.train(not frozen)
    softmax, contrastive = [], []
    for step in range(STEPS):
        pixels, labels = batch(step)
        pixels = torch.from_numpy(pixels).to(dtype).permute(0, 3, 1, 2)
        pool5 = net(pixels)
        x = F.normalize(pool5)
        dropped = pool5 * torch.from_numpy(philox.dropout_mask(SEED, step, BATCH, net.features, DROPOUT)).to(dtype)
        ls = F.cross_entropy(fc(dropped), labels)
        lbc = resnet.batch_contrastive(x, labels, centers, TAU, exact)
        sgd.zero_grad()
        (ls + weight * lbc).backward()
        with torch.no_grad():
            resnet.center_step(centers, x.detach(), labels, CENTER_RATE)
        sgd.step()
        softmax.append(ls.item())
        contrastive.append(lbc.item())
    momentum = {name: head(sgd.state[p]["momentum_buffer"]) for name, p in named}
    statistics = {}
    for _, name, layer in net.layers():
        statistics[f"{name}.running_mean"] = head(layer.bn.running_mean)
        statistics[f"{name}.running_var"] = head(layer.bn.running_var)
    return np.array([softmax, contrastive]), momentum, {**statistics, "centers": head(centers)}


golden = {}
for name, arguments in {
    "torchvision": (False, False, False),
    "caffe": (True, False, False),
    "exact": (False, True, False),
    "frozen": (False, False, True),
}.items():
    exact, momentum, state = run(torch.float64, *arguments)
    rounded, rounded_momentum, _ = run(torch.float32, *arguments)
    stray = np.abs(rounded / exact - 1).max()
    length = np.linalg.norm
    # What rounding decides proves nothing: a bias in front of batch statistics, say, has no other gradient.
    astray = {k: length(rounded_momentum[k] - m) / length(m) for k, m in momentum.items()}
    sound = {k: m for k, m in momentum.items() if astray[k] < MOMENTUM_TOLERANCE / 2}
    print(
        f"{name}: softmax {exact[0, 0]:.4f} to {exact[0, -1]:.4f}, float32 strays {stray:.1e}; "
        f"{len(sound)} of {len(momentum)} momenta are sound"
    )
    assert stray < TOLERANCE / 2 and len(sound) > 0.8 * len(momentum)
    golden[f"{name}.softmax"], golden[f"{name}.contrastive"] = exact.astype(np.float32)
    for key, values in sound.items():
        golden[f"{name}.momentum.{key}"] = values.astype(np.float32)
    for key, values in state.items():
        golden[f"{name}.state.{key}"] = values.astype(np.float32)
save_file(golden, Path(__file__).with_suffix(".safetensors"))
