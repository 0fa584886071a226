"""Golden values of tests/ops/attributes.rs: run `python3 tests/golden/attributes.py`."""

from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.numpy import save_file


def attributes_loss(logits, labels, table, sizes):
    """The mean of the softmax losses of the attributes, whose `sizes` values have columns side by side; `table` has the
    values of each identity."""
    targets = table[labels]
    parts = zip(logits.split(sizes, dim=1), targets.unbind(1))
    return sum(F.cross_entropy(part, target) for part, target in parts) / len(sizes)


if __name__ == "__main__":
    generator = torch.Generator().manual_seed(1)
    sizes, n, m = [2, 5, 3, 40], 6, 9
    table = torch.stack([torch.randint(size, (n,), generator=generator) for size in sizes], dim=1)
    labels = torch.tensor([4, 0, 4, 2, 4, 0, 5, 2, 4])
    draws = torch.randn(m, sum(sizes), generator=generator, dtype=torch.float64)
    logits = (3 * draws).float().double().requires_grad_()
    loss = attributes_loss(logits, labels, table, sizes)
    (1.75 * loss).backward()
    floats = {"logits": logits.detach(), "loss": loss.detach().reshape(1), "dlogits": logits.grad}
    whole = {"labels": labels, "table": table, "sizes": torch.tensor(sizes)}
    out = {name: values.float().numpy() for name, values in floats.items()}
    out |= {name: values.int().numpy() for name, values in whole.items()}
    save_file(out, Path(__file__).with_suffix(".safetensors"))
