"""The test images as a network takes them: ../images/*.jpg, in the order of their names, at the test size."""

from pathlib import Path

import numpy as np
from PIL import Image

HEIGHT, WIDTH = 128, 64


def read():
    """RGB levels, uint8 [N, HEIGHT, WIDTH, 3], decoded and resized by Pillow."""
    files = sorted((Path(__file__).parents[1] / "images").glob("*.jpg"))
    assert len(files) == 8
    resized = (Image.open(f).convert("RGB").resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR) for f in files)
    return np.stack([np.asarray(image) for image in resized])
