"""Two evaluators from their published definitions, and `bcreid eval` on the same features.

- torchreid's (single-gallery-shot Market-1501 metric): queries without a match are skipped, AP is the finite sum.
- The Market-1501 authors' (Zheng et al., ICCV 2015): a walk down the ranking, AP is the area under the
  precision-recall curve by trapezoids, queries without a match stay in the denominator.

Both sort stably by distances in double precision. Usage: evaluators.py BCREID FOLDER
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

RANKS = 50


def ranking(query, gallery, i):
    """The gallery from the nearest on, and what each image is to query i: 1 a match, 0 another, -1 dropped."""
    difference = gallery["features"].astype(np.float64) - query["features"][i].astype(np.float64)
    order = np.argsort((difference**2).sum(axis=1), kind="stable")
    pids, camids = gallery["pids"][order], gallery["camids"][order]
    same = pids == query["pids"][i]
    dropped = (pids == -1) | (same & (camids == query["camids"][i]))
    return np.where(dropped, -1, same.astype(int))


def torchreid(query, gallery):
    curves, precisions = [], []
    for i in range(len(query["pids"])):
        kinds = ranking(query, gallery, i)
        hits = kinds[kinds >= 0]
        if not hits.any():
            continue
        found = hits.cumsum()
        # A curve of fewer images than ranks stays where it ends.
        curve = np.pad(np.minimum(found, 1), (0, RANKS), mode="edge")[:RANKS]
        curves.append(curve)
        precisions.append((found / np.arange(1, len(hits) + 1) * hits).sum() / hits.sum())
    return np.mean(curves, axis=0), np.mean(precisions), len(curves)


def market(query, gallery):
    queries = len(query["pids"])
    curve, area = np.zeros(RANKS), 0.0
    for i in range(queries):
        kinds = ranking(query, gallery, i)
        matches = (kinds == 1).sum()
        old_recall, old_precision, found, place = 0.0, 1.0, 0, 0
        for kind in kinds:
            if kind == -1:
                continue
            found += kind
            place += 1
            if kind == 1 and found == 1:
                curve[place - 1 :] += 1
            if matches:
                recall, precision = found / matches, found / place
                area += (recall - old_recall) * (old_precision + precision) / 2
                old_recall, old_precision = recall, precision
    return curve / queries, area / queries


def draw(rng, queries, images, people, values, strangers):
    """Random features; `values` small integers (many ties), or continuous ones if it is 0."""

    def part(rows, first_pid):
        shape = (rows, 6)
        features = rng.integers(0, values, shape) if values else rng.normal(size=shape)
        return {
            "features": features.astype(np.float32),
            "pids": rng.integers(first_pid, people + 1, rows).astype(np.int64),
            "camids": rng.integers(1, 4, rows).astype(np.int64),
        }

    query, gallery = part(queries, 1), part(images, -1)
    # People nobody in the gallery is.
    query["pids"][:strangers] = people + 1 + np.arange(strangers)
    return query, gallery


def ours(bcreid, folder, *more):
    result = folder / "result.json"
    command = [bcreid, "eval", "--device", "cpu", "--threads", "1", "--force", "--json", result, *more]
    command += ["--query", folder / "query.safetensors", "--gallery", folder / "gallery.safetensors"]
    subprocess.run(command, check=True, capture_output=True)
    return json.loads(result.read_text())


def main(bcreid, folder):
    rng = np.random.default_rng(0)
    largest = 0.0
    cases = [
        ("random", (40, 400, 12, 0, 0)),
        ("tied", (40, 400, 12, 3, 0)),
        ("small gallery", (20, 12, 3, 0, 0)),
        ("small and tied", (20, 30, 4, 2, 0)),
        ("queries without a match", (30, 200, 9, 2, 7)),
        ("many matches", (8, 900, 2, 4, 0)),
    ]
    for name, numbers in cases:
        query, gallery = draw(rng, *numbers)
        save_file(query, folder / "query.safetensors")
        save_file(gallery, folder / "gallery.safetensors")
        curve, mean_ap, valid = torchreid(query, gallery)
        found = ours(bcreid, folder)
        assert found["valid_queries"] == valid, (name, found["valid_queries"], valid)
        if name == "queries without a match":
            assert valid <= len(query["pids"]) - 7
        ranks = len(found["cmc"])
        differences = [np.abs(np.array(found["cmc"]) - curve[:ranks]).max(), abs(found["map_sum"] - mean_ap)]
        curve, mean_ap = market(query, gallery)
        found = ours(bcreid, folder, "--count-unmatched")
        differences += [np.abs(np.array(found["cmc"]) - curve[:ranks]).max(), abs(found["map_market"] - mean_ap)]
        assert max(differences) < 1e-6, (name, differences)
        largest = max(largest, *differences)
    print(f"two evaluators on {len(cases)} sets: the largest difference is {largest:.1e}")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
