"""Golden values of generalised-mean pooling, computed in float64."""

from pathlib import Path

import torch
from safetensors.torch import save_file

EPS = 1e-6

torch.manual_seed(3)
# Behind a ReLU: half of the values are 0, and channel 5 of the second image is dead.
x = torch.randn(3, 4, 4, 37).relu()
x[1, :, :, 5] = 0
dy = torch.randn(3, 37)
golden = {"x": x, "dy": dy}
for name, exponent in {"three": 3.0, "one": 1.0, "other": 4.75}.items():
    inputs = x.double().requires_grad_()
    p = torch.tensor([exponent], dtype=torch.float64, requires_grad=True)
    y = inputs.clamp(min=EPS).pow(p).mean((1, 2)).pow(1 / p)
    y.backward(dy.double())
    golden |= {f"{name}.p": p.detach(), f"{name}.y": y.detach(), f"{name}.dx": inputs.grad, f"{name}.dp": p.grad}
save_file({name: tensor.float().contiguous() for name, tensor in golden.items()}, Path(__file__).with_suffix(".safetensors"))
