"""Golden values of a residual join, y = relu(x) + x, whose input is used twice: python3 tests/golden/add.py"""

from pathlib import Path

import torch
from safetensors.torch import save_file

torch.manual_seed(2)
x = torch.randn(2, 3, 5, 7, requires_grad=True)
dy = torch.randn_like(x)
y = torch.relu(x) + x
y.backward(dy)
save_file({"x": x.detach(), "y": y.detach(), "dy": dy, "dx": x.grad}, Path(__file__).with_suffix(".safetensors"))
