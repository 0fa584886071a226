"""Golden values of tests/ops/verification.rs: run `python3 tests/golden/verification.py`."""

from pathlib import Path

import torch
from safetensors.torch import save_file

torch.manual_seed(1)
x, dy = torch.randn(10, 7), torch.randn(5, 7)
labels = torch.tensor([3, 0, -2, 7, 1, 3, 1, -2, 0, 1])
leaf = x.double().requires_grad_()
first, second = leaf.chunk(2)
y = (first - second) ** 2
y.backward(dy.double())
same = labels[:5] == labels[5:]
out = {"x": x, "dy": dy, "y": y.detach().float(), "dx": leaf.grad.float()}
save_file(out | {"labels": labels.int(), "same": same.int()}, Path(__file__).with_suffix(".safetensors"))
