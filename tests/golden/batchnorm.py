"""Golden values of batch normalisation with its tails: PyTorch's batch_norm, add and relu, one after another."""

from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

torch.manual_seed(1)
torch.set_num_threads(1)
N, H, W, C = 3, 4, 5, 22
MOMENTUM = 0.1
out = {}


def nchw(t):
    return t.permute(0, 3, 1, 2)


def nhwc(t):
    return t.permute(0, 2, 3, 1).contiguous()


x = torch.randn(N, H, W, C) * 2 + torch.linspace(-3, 3, C)
residual = torch.randn(N, H, W, C)
gamma = torch.randn(C)
gamma[5] = 0.0
beta = torch.randn(C)
mean = torch.randn(C)
var = torch.rand(C) + 0.5
dy = torch.randn(N, H, W, C)
out.update(x=x, residual=residual, gamma=gamma, beta=beta, mean=mean, var=var, dy=dy)

for mode in ["batch", "frozen"]:
    for tail in ["plain", "relu", "add", "add_relu"]:
        leaves = [t.clone().requires_grad_() for t in (x, gamma, beta, residual)]
        running_mean, running_var = mean.clone(), var.clone()
        y = nhwc(
            F.batch_norm(
                nchw(leaves[0]), running_mean, running_var, leaves[1], leaves[2],
                training=mode == "batch", momentum=MOMENTUM, eps=1e-5,
            )
        )
        if "add" in tail:
            y = y + leaves[3]
        if "relu" in tail:
            y = F.relu(y)
        y.backward(dy)
        key = f"{mode}.{tail}"
        out[f"{key}.y"] = y.detach()
        for name, leaf in zip(["dx", "dgamma", "dbeta", "dresidual"], leaves):
            if leaf.grad is not None:
                out[f"{key}.{name}"] = leaf.grad
        if key == "batch.plain":
            out["moved_mean"], out["moved_var"] = running_mean, running_var

save_file({k: v.contiguous() for k, v in out.items()}, Path(__file__).with_suffix(".safetensors"))
