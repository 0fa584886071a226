"""Golden values of global average pooling."""

from pathlib import Path

import torch
from safetensors.torch import save_file

torch.manual_seed(3)
x = torch.randn(3, 8, 4, 37, requires_grad=True)
y = torch.nn.functional.adaptive_avg_pool2d(x.permute(0, 3, 1, 2), 1).flatten(1)
dy = torch.randn(y.shape)
y.backward(dy)
save_file(
    {"x": x.detach(), "y": y.detach().contiguous(), "dy": dy, "dx": x.grad.contiguous()},
    Path(__file__).with_suffix(".safetensors"),
)
