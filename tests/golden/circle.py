"""Golden values of tests/ops/circle.rs: run `python3 tests/golden/circle.py`."""

from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file


def logits(s, same, margin, gamma):
    """The logits of all pairs, with the weights alpha detached from autograd."""
    positive = -gamma * (1 + margin - s.detach()).clamp(min=0) * (s - (1 - margin))
    negative = gamma * (s.detach() + margin).clamp(min=0) * (s - margin)
    return torch.where(same, positive, negative)


def circle(x, labels, margin, gamma, scope):
    s = x @ x.T
    same = labels[:, None] == labels[None, :]
    z = logits(s, same, margin, gamma)
    positives = same & ~torch.eye(len(x), dtype=torch.bool)
    anchors = positives.any(1) & (~same).any(1)
    if scope == "anchor":
        lse = [z.masked_fill(~kind, -torch.inf)[anchors].logsumexp(1) for kind in (positives, ~same)]
        loss = F.softplus(sum(lse)).mean()
    else:
        upper = torch.ones_like(same).triu(1)
        loss = F.softplus(sum(z[kind & upper].logsumexp(0) for kind in (positives, ~same))) / len(x)
    return loss, torch.stack([anchors.sum().double(), s[positives].mean(), s[~same].mean()])


if __name__ == "__main__":
    torch.manual_seed(1)
    # Three images of identity 0, two of most others, one of 5 and of 4: these two are no anchors.
    labels = torch.tensor([0, 1, 0, 2, 1, 0, 3, 5, 3, 4, 2])
    out = {"labels": labels.int()}
    # Spread 0.05: all similarities are near 1, so that positives cost nothing and negatives everything.
    for name, spread in [("wide", 3.0), ("middle", 0.7), ("tight", 0.05)]:
        x = F.normalize(1 + spread * torch.randn(11, 21))
        out[f"{name}.x"] = x
        for scope in ["anchor", "batch"]:
            for margin, gamma in [(0.25, 32.0), (0.4, 80.0)]:
                leaf = x.double().requires_grad_()
                loss, terms = circle(leaf, labels, torch.tensor(margin).double(), gamma, scope)
                (1.75 * loss).backward()
                key = f"{name}.{scope}.{gamma:.0f}"
                out |= {f"{key}.loss": loss.detach().float().reshape(1), f"{key}.terms": terms.detach().float()}
                out |= {f"{key}.dx": leaf.grad.float()}
    save_file(out, Path(__file__).with_suffix(".safetensors"))
