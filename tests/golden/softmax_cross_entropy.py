"""Golden values of tests/ops/softmax_cross_entropy.rs: run `python3 tests/golden/softmax_cross_entropy.py`."""

from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

torch.manual_seed(1)
m, n = 7, 11
noise = torch.randn(m, n)
labels = torch.tensor([0, 10, 3, 3, 7, 1, 5])
out = {"labels": labels.int()}
# "huge": logits near +-1e4, where exp overflows without the maximum taken off.
for name, logits in [("flat", 0.01 * noise), ("peaked", 20 * noise), ("huge", 1e4 * noise.sign() + noise)]:
    z = logits.double().requires_grad_()
    loss = F.cross_entropy(z, labels)
    (1.75 * loss).backward()
    out |= {f"{name}.logits": logits, f"{name}.loss": loss.detach().float().reshape(1)}
    out |= {f"{name}.dlogits": z.grad.float()}
# Label smoothing: one value for all, and one for each image (1: a generated image, LSRO).
each = torch.tensor([0.0, 0.1, 1.0, 0.5, 1.0, 0.0, 0.25])
out["smoothing"] = each
for name in ["flat", "peaked", "huge"]:
    logits = out[f"{name}.logits"]
    for kind, smoothing in [("all", torch.full((m,), 0.1)), ("each", each)]:
        z = logits.double().requires_grad_()
        smoothing = smoothing.double()[:, None]
        target = (1 - smoothing) * F.one_hot(labels, n) + smoothing / n
        loss = F.cross_entropy(z, target)
        (1.75 * loss).backward()
        if kind == "all":
            library = F.cross_entropy(logits.double(), labels, label_smoothing=smoothing[0].item())
            assert torch.allclose(loss, library, rtol=1e-12)
        out |= {f"{name}.{kind}.loss": loss.detach().float().reshape(1), f"{name}.{kind}.dlogits": z.grad.float()}
save_file(out, Path(__file__).with_suffix(".safetensors"))
