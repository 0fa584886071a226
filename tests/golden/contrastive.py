"""Golden values of tests/ops/contrastive.rs: run `python3 tests/golden/contrastive.py`."""

from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file


def mean_of_nonzero(costs):
    costs = costs[costs > 0]
    return costs.mean() if len(costs) else costs.sum()


def contrastive(x, labels, positive_margin, negative_margin):
    i, j = torch.triu_indices(len(x), len(x), offset=1)
    d = (x[i] - x[j]).norm(dim=1)
    same = labels[i] == labels[j]
    costs = [(d[same] - positive_margin).clamp(min=0), (negative_margin - d[~same]).clamp(min=0)]
    means = [mean_of_nonzero(c) for c in costs]
    counts = [(c > 0).sum().double() for c in costs]
    return sum(means), torch.stack([*means, *counts])


if __name__ == "__main__":
    torch.manual_seed(1)
    labels = torch.tensor([0, 1, 0, 2, 1, 0, 3, 5, 3, 4, 2])
    out = {"labels": labels.int()}
    # Distances of unit vectors: up to 2, about 1, far below 1.
    for name, spread in [("wide", 3.0), ("middle", 0.7), ("tight", 0.05)]:
        x = F.normalize(1 + spread * torch.randn(11, 21))
        out[f"{name}.x"] = x
        for kind, margins in [("default", (0.0, 1.0)), ("other", (0.5, 1.25))]:
            leaf = x.double().requires_grad_()
            loss, terms = contrastive(leaf, labels, *margins)
            (1.75 * loss).backward()
            key = f"{name}.{kind}"
            out |= {f"{key}.loss": loss.detach().float().reshape(1), f"{key}.terms": terms.detach().float()}
            out |= {f"{key}.dx": leaf.grad.float()}
    save_file(out, Path(__file__).with_suffix(".safetensors"))
