"""Golden values of tests/ops/center_loss.rs: run `python3 tests/golden/center_loss.py`."""

from pathlib import Path

import torch
from safetensors.numpy import save_file


def center_loss(x, labels, centers):
    """The mean of the squared distances to the centers, as the program of Luo et al. 2019 has it; its product form loses
    digits, so the differences are squared here."""
    return ((x - centers[labels]) ** 2).sum(1).mean()


if __name__ == "__main__":
    generator = torch.Generator().manual_seed(1)
    n, m, d = 6, 9, 13
    draw = lambda rows: torch.randn(rows, d, generator=generator, dtype=torch.float64).float().double()
    centers, x = draw(n), draw(m).requires_grad_()
    labels = torch.tensor([4, 0, 4, 2, 4, 0, 5, 2, 4])
    loss = center_loss(x, labels, centers)
    (1.75 * loss).backward()
    out = {"centers": centers, "x": x.detach(), "loss": loss.detach().reshape(1), "dx": x.grad}
    out = {name: values.float().numpy() for name, values in out.items()} | {"labels": labels.int().numpy()}
    save_file(out, Path(__file__).with_suffix(".safetensors"))
