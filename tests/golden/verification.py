"""Golden values of tests/ops/verification.rs: run `python3 tests/golden/verification.py`."""

from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file


def squared_differences(x):
    """Of the pairs (i, i + m / 2)."""
    first, second = x.chunk(2)
    return (first - second) ** 2


def verification_loss(x, labels, classifier, mask):
    """The head of Zheng et al. 2016b: `classifier` has two classes, `mask` the factors of its dropout."""
    first, second = labels.chunk(2)
    return F.cross_entropy(classifier(squared_differences(x) * mask), (first == second).long())


if __name__ == "__main__":
    torch.manual_seed(1)
    x, dy = torch.randn(10, 7), torch.randn(5, 7)
    labels = torch.tensor([3, 0, -2, 7, 1, 3, 1, -2, 0, 1])
    leaf = x.double().requires_grad_()
    y = squared_differences(leaf)
    y.backward(dy.double())
    same = labels[:5] == labels[5:]
    out = {"x": x, "dy": dy, "y": y.detach().float(), "dx": leaf.grad.float()}
    save_file(out | {"labels": labels.int(), "same": same.int()}, Path(__file__).with_suffix(".safetensors"))
