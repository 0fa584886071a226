"""Golden values of tests/ops/triplet.rs: run `python3 tests/golden/triplet.py`.

The mining is written with masks on the whole distance matrix, the gradient is autograd's.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file


def triplet(x, labels, margin, squared, mining="hard"):
    d = ((x[:, None, :] - x[None, :, :]) ** 2).sum(-1)
    if not squared:
        d = (d + 1e-12).sqrt()
    same = labels[:, None] == labels[None, :]
    positives = same & ~torch.eye(len(x), dtype=torch.bool)
    anchor = positives.any(1) & (~same).any(1)
    if mining == "hard":
        positive = d.masked_fill(~positives, -torch.inf).max(1).values[anchor]
        negative = d.masked_fill(same, torch.inf).min(1).values[anchor]
    else:
        of_positives = d.masked_fill(~positives, -torch.inf)[anchor].softmax(1)
        of_negatives = (-d).masked_fill(same, -torch.inf)[anchor].softmax(1)
        positive, negative = (of_positives * d[anchor]).sum(1), (of_negatives * d[anchor]).sum(1)
    gap = positive - negative
    losses = F.softplus(gap) if margin is None else (gap + margin).clamp(min=0)
    terms = [anchor.sum(), (losses > 1e-5).double().mean(), positive.mean(), negative.mean()]
    return losses.mean(), torch.stack([torch.as_tensor(t).double() for t in terms])


if __name__ == "__main__":
    torch.manual_seed(1)
    # Three images of identity 0, two of most others, one of 5 and of 4: these two are no anchors.
    labels = torch.tensor([0, 1, 0, 2, 1, 0, 3, 5, 3, 4, 2])
    out = {"labels": labels.int()}
    for name, spread in [("wide", 1.0), ("tight", 0.05)]:
        x = 1 + spread * torch.randn(11, 21)
        out[f"{name}.x"] = x
        for kind, margin, squared, mining in [
            ("hard", 0.3, False, "hard"),
            ("soft", None, False, "hard"),
            ("squared", 0.3, True, "hard"),
            ("soft_squared", None, True, "hard"),
            ("weighted", 0.3, False, "weighted"),
            ("weighted_soft", None, False, "weighted"),
            ("weighted_squared", 0.3, True, "weighted"),
        ]:
            leaf = x.double().requires_grad_()
            loss, terms = triplet(leaf, labels, margin, squared, mining)
            (1.75 * loss).backward()
            key = f"{name}.{kind}"
            out |= {f"{key}.loss": loss.detach().float().reshape(1), f"{key}.terms": terms.detach().float()}
            out |= {f"{key}.dx": leaf.grad.float()}
    save_file(out, Path(__file__).with_suffix(".safetensors"))
