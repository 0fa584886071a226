"""Golden values of instance normalisation, computed in float64."""

from pathlib import Path

import torch
from safetensors.torch import save_file

torch.manual_seed(4)
x = (torch.randn(3, 4, 5, 19) * torch.linspace(0.1, 3, 19) + torch.linspace(-2, 2, 19)).float()
gamma, beta, dy = torch.randn(19), torch.randn(19), torch.randn(3, 4, 5, 19)
inputs = [tensor.double().requires_grad_() for tensor in (x, gamma, beta)]
y = torch.nn.functional.instance_norm(inputs[0].permute(0, 3, 1, 2), weight=inputs[1], bias=inputs[2], eps=1e-5)
y = y.permute(0, 2, 3, 1)
y.backward(dy.double())
golden = {"x": x, "gamma": gamma, "beta": beta, "dy": dy, "y": y.detach()}
golden |= {name: tensor.grad for name, tensor in zip(("dx", "dgamma", "dbeta"), inputs)}
save_file({name: tensor.float().contiguous() for name, tensor in golden.items()}, Path(__file__).with_suffix(".safetensors"))
