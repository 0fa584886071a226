"""Pillow's brightness, contrast and saturation of a picture, in this order: writes jitter.safetensors.

    python3 tests/golden/jitter.py

Bytes are stored as i32: `source` [H, W, 3] and `out.I` for row I of `factors` f32 [n, 3].
"""

from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance
from safetensors.numpy import save_file

rng = np.random.default_rng(1)
y, x = np.mgrid[0:37, 0:23]
waves = np.stack([128 + 100 * np.sin(x / 3 + c) * np.cos(y / (4 + c)) for c in range(3)], -1)
source = np.clip(waves + rng.normal(0, 20, waves.shape), 0, 255).astype(np.uint8)

ends = [[1, 1, 1], [0, 1, 1], [1, 0, 1], [1, 1, 0], [2.5, 1, 1], [1, 2.5, 1], [1, 1, 2.5]]
factors = np.concatenate([np.array(ends), rng.uniform(0.5, 1.5, (8, 3))]).astype(np.float32)
out = {"source": source.astype(np.int32), "factors": factors}
for i, row in enumerate(factors):
    image = Image.fromarray(source)
    for enhance, factor in zip([ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color], row):
        image = enhance(image).enhance(float(factor))
    out[f"out.{i}"] = np.asarray(image).astype(np.int32)

save_file(out, Path(__file__).with_suffix(".safetensors"))
