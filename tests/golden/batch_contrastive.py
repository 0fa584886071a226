"""Golden values of tests/ops/batch_contrastive.rs: run `python3 tests/golden/batch_contrastive.py`.

The loss is written as the paper's equations (3) and (4) with the partner samples as an argument of their
own: passing them detached gives the paper's gradient (8), passing the samples themselves the exact one.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file


def squared_distances(a, b):
    return ((a[:, None, :] - b[None, :, :]) ** 2).sum(-1)


def loss_parts(x, partners, labels, centers, tau):
    d = squared_distances(x, partners)
    same = labels[:, None] == labels[None, :]
    positive = 0.5 * d[same].sum()
    nearest = d.masked_fill(same, torch.inf).min(1).values
    hinge = 0.5 * (tau - nearest).clamp(min=0).sum()
    center = 0.5 * ((x - centers[labels]) ** 2).sum()
    return positive, hinge, center


def terms(x, labels, centers, tau):
    parts = loss_parts(x, x, labels, centers, tau)
    i, j = torch.triu_indices(len(x), len(x), offset=1)
    d = (x[i] - x[j]).norm(dim=1)
    same = labels[i] == labels[j]
    figure = [same.sum(), d[same].mean(), d[~same].mean(), d[~same].min()]
    return torch.stack([torch.as_tensor(t, dtype=torch.float64) for t in [*parts, *figure]])


torch.manual_seed(1)
out = {}
labels = torch.tensor([0, 1, 0, 2, 1, 0, 3, 5, 3, 4])
for name, spread, tau in [("wide", 1.0, 1.0), ("tight", 0.1, 1.0), ("margin", 0.6, 0.3)]:
    # Non-negative like pooled features after a rectifier; a small spread puts all of them close together.
    x = F.normalize((1 + spread * torch.randn(10, 21)).clamp(min=0))
    centers = 0.3 * torch.randn(6, 21)
    out |= {f"{name}.x": x, f"{name}.centers": centers, f"{name}.tau": torch.tensor([tau])}
    centers, tau = centers.double(), torch.tensor([tau]).double()
    out[f"{name}.terms"] = terms(x.double(), labels, centers, tau).float()
    for gradient in ["paper", "exact"]:
        leaf = x.double().requires_grad_()
        partners = leaf.detach() if gradient == "paper" else leaf
        loss = sum(loss_parts(leaf, partners, labels, centers, tau))
        loss.backward()
        out[f"{name}.loss"] = loss.detach().float().reshape(1)
        out[f"{name}.dx.{gradient}"] = leaf.grad.float()
out["labels"] = labels.int()
save_file(out, Path(__file__).with_suffix(".safetensors"))
