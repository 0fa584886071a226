"""The re-ranking of benches/rerank.rs in NumPy: tests/peers/rerank.py in float32, dense as usual.

    cargo bench --bench rerank -- --save DIR
    python3 benches/rerank_numpy.py DIR [ROUNDS]

At the size of Market-1501 it needs 8 GB.
"""

import resource
import sys
import time
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "peers"))
from rerank import rerank


def main():
    query, gallery = (
        load_file(Path(sys.argv[1]) / f"{part}.safetensors")["features"] for part in ("query", "gallery")
    )
    print(f"{len(query)} x {len(gallery)} x {query.shape[1]}, NumPy {np.__version__}")
    for _ in range(int(sys.argv[2]) if len(sys.argv) > 2 else 1):
        start = time.perf_counter()
        final = rerank(query, gallery, sort="quicksort")
        whole = time.perf_counter() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
        print(f"whole {whole:.2f} s, peak {peak:.0f} MB (sum {final.sum(dtype=np.float64):.3f})")


if __name__ == "__main__":
    main()
