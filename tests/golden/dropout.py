"""Golden values of tests/ops/dropout.rs: run `python3 tests/golden/dropout.py`."""

from pathlib import Path

import numpy as np
from philox import dropout_mask
from safetensors.numpy import save_file

SEED, STEP = 0x0123456789ABCDEF, 70_001
rng = np.random.default_rng(1)
x = rng.standard_normal((5, 37)).astype(np.float32)
dy = rng.standard_normal((5, 37)).astype(np.float32)
out = {"x": x, "dy": dy}
for name, ratio in [("half", 0.5), ("paper", 0.9)]:
    mask = dropout_mask(SEED, STEP, 5, 37, ratio)
    out |= {f"{name}.y": x * mask, f"{name}.dx": dy * mask}
save_file(out, Path(__file__).with_suffix(".safetensors"))
