"""Golden values of tests/ops/center_step.rs: run `python3 tests/golden/center_step.py`."""

from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

rng = np.random.default_rng(1)
n, m, d = 6, 9, 13
centers = rng.standard_normal((n, d)).astype(np.float32)
x = rng.standard_normal((m, d)).astype(np.float32)
labels = np.array([4, 0, 4, 2, 4, 0, 5, 2, 4], dtype=np.int32)
rate = np.float32(0.5)
stepped = centers.astype(np.float64)
for j in range(n):
    members = x[labels == j].astype(np.float64)
    delta = (stepped[j] - members).sum(0) / (1 + len(members))
    stepped[j] = stepped[j] - rate * delta
out = {"centers": centers, "x": x, "labels": labels, "stepped": stepped.astype(np.float32)}
save_file(out, Path(__file__).with_suffix(".safetensors"))
