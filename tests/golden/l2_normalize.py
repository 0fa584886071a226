"""Golden values of tests/ops/l2_normalize.rs: run `python3 tests/golden/l2_normalize.py`."""

from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

torch.manual_seed(1)
x = torch.randn(6, 19)
x[1] *= 1e3
x[2] *= 1e-3
x[3] = 0.0
x[4] *= 1e-15  # shorter than the lower bound 1e-12
x[5] = 0.0
x[5, 7] = 2.0  # one element is the whole length
dy = torch.randn(6, 19)
xd = x.double().requires_grad_()
y = F.normalize(xd)
y.backward(dy.double())
out = {"x": x, "dy": dy, "y": y.detach().float(), "dx": xd.grad.float()}
save_file(out, Path(__file__).with_suffix(".safetensors"))
