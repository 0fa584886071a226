"""Golden values of the fully connected layer."""

from pathlib import Path

import torch
from safetensors.torch import save_file

torch.manual_seed(4)
x, w, bias = (torch.randn(s, requires_grad=True) for s in [(5, 33), (27, 33), (27,)])
y = torch.nn.functional.linear(x, w, bias)
dy = torch.randn(y.shape)
y.backward(dy)
values = {"x": x, "w": w, "bias": bias, "y": y}
grads = {"dy": dy, "dx": x.grad, "dw": w.grad, "dbias": bias.grad}
save_file(
    {k: v.detach().contiguous() for k, v in (values | grads).items()}, Path(__file__).with_suffix(".safetensors")
)
