"""Golden values of relu: python3 tests/golden/relu.py"""

from pathlib import Path

import torch
from safetensors.torch import save_file

torch.manual_seed(1)
x = torch.randn(3, 5, 4, 7)
x[0, 0, 0, :2] = torch.tensor([0.0, -0.0])
x.requires_grad_()
dy = torch.randn_like(x)
y = torch.relu(x)
y.backward(dy)
save_file({"x": x.detach(), "y": y.detach(), "dy": dy, "dx": x.grad}, Path(__file__).with_suffix(".safetensors"))
