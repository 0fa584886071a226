"""Golden values of tests/eval/rerank.rs: run `python3 tests/golden/rerank.py`.

tests/peers/rerank.py in float64 on people that are clouds of images. Each tensor of final distances is called by its
settings "k1 k2 lambda".
"""

import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

# In front of this folder, which has a rerank.py too.
sys.path.insert(0, str(Path(__file__).parent.parent / "peers"))
from rerank import rerank, squared_distances

QUERIES, GALLERY, DIM, PEOPLE = 12, 40, 16, 6
SETTINGS = [(20, 6, 0.3), (7, 3, 0.5), (5, 1, 0.0), (9, 6, 1.0), (60, 2, 0.3)]

rng = np.random.default_rng(2)
centres = rng.standard_normal((PEOPLE, DIM))
images = centres[np.arange(QUERIES + GALLERY) % PEOPLE] + 0.8 * rng.standard_normal((QUERIES + GALLERY, DIM))
images = (images / np.linalg.norm(images, axis=1, keepdims=True)).astype(np.float32)
query, gallery = images[:QUERIES], images[QUERIES:]

gaps = np.diff(np.sort(squared_distances(images.astype(np.float64)), axis=1), axis=1)
assert gaps.min() > 1e-6, "neighbours that rounding could exchange: choose another seed"
out = {"query": query, "gallery": gallery}
for k1, k2, lam in SETTINGS:
    final = rerank(query.astype(np.float64), gallery.astype(np.float64), k1, k2, lam)
    out[f"{k1} {k2} {lam}"] = final.astype(np.float32)
save_file(out, Path(__file__).with_suffix(".safetensors"))
