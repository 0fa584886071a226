"""Golden losses of 20 training steps of a slim ResNet with both losses: python3 tests/golden/train.py"""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.numpy import save_file

import philox
import resnet

SEED, STEPS, BATCH, CLASSES, HEIGHT, WIDTH = 11, 20, 8, 5, 64, 32
RATE, MOMENTUM, DECAY, DROPOUT, TAU, LAMBDA, CENTER_RATE = 0.01, 0.9, 5e-4, 0.5, 1.0, 1.0, 0.5


def run(caffe, exact, frozen):
    torch.manual_seed(0)
    torch.set_num_threads(1)
    net = resnet.ResNet("slim", width=8, depths=(1, 1, 1, 1), caffe=caffe)
    fc = torch.nn.Linear(net.features, CLASSES)
    named = list(net.named()) + [("fc.weight", fc.weight), ("fc.bias", fc.bias)]
    resnet.initialise(named, philox, SEED)
    centers = torch.zeros(CLASSES, net.features)
    sgd = torch.optim.SGD([p for _, p in named], RATE, MOMENTUM, weight_decay=DECAY)
    net.train(not frozen)
    softmax, contrastive = [], []
    for step in range(STEPS):
        pixels = 2 * philox.uniform(SEED, step, 0, philox.TEST, BATCH * HEIGHT * WIDTH * 3) - 1
        pixels = torch.from_numpy(pixels.reshape(BATCH, HEIGHT, WIDTH, 3)).permute(0, 3, 1, 2)
        labels = torch.tensor([(step + i * i) % CLASSES for i in range(BATCH)])
        pool5 = net(pixels)
        x = F.normalize(pool5)
        dropped = pool5 * torch.from_numpy(philox.dropout_mask(SEED, step, BATCH, net.features, DROPOUT))
        ls = F.cross_entropy(fc(dropped), labels)
        lbc = resnet.batch_contrastive(x, labels, centers, TAU, exact)
        sgd.zero_grad()
        (ls + LAMBDA * lbc).backward()
        with torch.no_grad():
            resnet.center_step(centers, x.detach(), labels, CENTER_RATE)
        sgd.step()
        softmax.append(ls.item())
        contrastive.append(lbc.item())
    return np.array(softmax, np.float32), np.array(contrastive, np.float32)


golden = {}
for name, arguments in {
    "torchvision": (False, False, False),
    "caffe": (True, False, False),
    "exact": (False, True, False),
    "frozen": (False, False, True),
}.items():
    golden[f"{name}.softmax"], golden[f"{name}.contrastive"] = run(*arguments)
save_file(golden, Path(__file__).with_suffix(".safetensors"))
