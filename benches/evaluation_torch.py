"""The evaluation of benches/evaluation.rs with PyTorch distances and a numpy evaluator.

    cargo bench --bench evaluation -- --save DIR
    python3 benches/evaluation_torch.py DIR

The evaluator sorts the whole gallery of each query, as the Python evaluators of the usual tool-boxes do.
"""

import sys
import time

import numpy as np
import torch
from safetensors.torch import load_file


def evaluate(distances, query_pids, gallery_pids, query_camids, gallery_camids):
    order = np.argsort(distances, axis=1, kind="stable")
    trapezoids, sums = [], []
    for row, pid, camid in zip(order, query_pids, query_camids):
        pids, camids = gallery_pids[row], gallery_camids[row]
        hits = pids[(pids != pid) | (camids != camid)] == pid
        ranks = np.flatnonzero(hits) + 1
        if ranks.size == 0:
            continue
        found = np.arange(1, ranks.size + 1)
        before = np.where(ranks == 1, 1.0, (found - 1) / np.maximum(ranks - 1, 1))
        trapezoids.append(np.mean((found / ranks + before) / 2))
        sums.append(np.mean(found / ranks))
    return np.mean(trapezoids), np.mean(sums)


def main():
    query, gallery = (load_file(f"{sys.argv[1]}/{part}.safetensors") for part in ("query", "gallery"))
    q, g = query["features"], gallery["features"]
    print(f"{len(q)} x {len(g)} x {q.shape[1]}, {torch.get_num_threads()} threads")
    for _ in range(int(sys.argv[2]) if len(sys.argv) > 2 else 1):
        start = time.perf_counter()
        distances = q.pow(2).sum(1, keepdim=True) + g.pow(2).sum(1)
        distances.addmm_(q, g.T, beta=1, alpha=-2)
        distance_time = time.perf_counter() - start
        start = time.perf_counter()
        keys = ("pids", "camids")
        labels = [part[key].numpy() for key in keys for part in (query, gallery)]
        market, finite = evaluate(distances.numpy(), *labels)
        ranking_time = time.perf_counter() - start
        print(
            f"distances {distance_time:.2f} s, ranking and metrics {ranking_time:.2f} s, "
            f"whole {distance_time + ranking_time:.2f} s (mAP {market:.6f}, finite sum {finite:.6f})"
        )


if __name__ == "__main__":
    main()
