#!/usr/bin/env python3
"""Dense k-reciprocal re-ranking in NumPy, the reference of `src/eval/rerank.rs`.

    tests/peers/rerank.py QUERY GALLERY [--k1 20] [--k2 6] [--lambda 0.3] --out FILE.npy

QUERY and GALLERY are files that `bcreid extract` writes; FILE.npy gets the [queries, gallery] final distances. Written
from the paper (Zhong, Zheng, Cao, Li, CVPR 2017) with the choices of its authors' program: squared Euclidean distances,
each divided by the largest one of its row; lists that begin with the image itself; half of k1 rounded to even; more
than two thirds; no mean for k2 = 1. Needs numpy and safetensors.
"""

import argparse

import numpy as np


def squared_distances(features):
    """[n, n], in the features' own type."""
    lengths = np.einsum("ij,ij->i", features, features)
    distances = features @ features.T
    distances *= -2
    distances += lengths[:, None]
    distances += lengths
    return np.maximum(distances, 0, out=distances)


def reciprocal(ranking, image, k):
    """The images among the k nearest of `image`, and itself, that have it among theirs."""
    near = ranking[image, : k + 1]
    return near[(ranking[near, : k + 1] == image).any(axis=1)]


def expanded(ranking, image, k1):
    """The reciprocal neighbours, and the half as long lists of each where they mostly agree."""
    own = reciprocal(ranking, image, k1)
    sets = [own]
    for candidate in own:
        theirs = reciprocal(ranking, candidate, round(k1 / 2))  # Python rounds halves to even
        if 3 * np.isin(theirs, own).sum() > 2 * len(theirs):
            sets.append(theirs)
    return np.unique(np.concatenate(sets))


def rerank(query, gallery, k1=20, k2=6, lam=0.3, sort="stable"):
    """The final distances [queries, gallery], computed in the features' own type.

    `sort` is NumPy's kind of sorting; "quicksort" is faster and leaves the order of equal distances open.
    """
    features = np.concatenate([query, gallery])
    n, queries = len(features), len(query)
    distances = squared_distances(features)
    farthest = distances.max(axis=1, keepdims=True)
    distances /= np.where(farthest > 0, farthest, 1)
    ranking = np.argsort(distances, axis=1, kind=sort)[:, : max(k1 + 1, k2)].copy()

    weights = np.zeros_like(distances)
    for i in range(n):
        members = expanded(ranking, i, k1)
        weight = np.exp(-distances[i, members])
        weights[i, members] = weight / weight.sum()
    distances = distances[:queries, queries:].copy()
    if k2 != 1:
        means = np.empty_like(weights)
        for i in range(n):
            weights[ranking[i, :k2]].mean(axis=0, out=means[i])
        weights = means

    holders = [np.flatnonzero(weights[:, i]) for i in range(n)]
    final = np.empty_like(distances)
    for i in range(queries):
        overlap = np.zeros(n, weights.dtype)
        for j in np.flatnonzero(weights[i]):
            overlap[holders[j]] += np.minimum(weights[i, j], weights[holders[j], j])
        jaccard = 1 - overlap / (2 - overlap)
        final[i] = (1 - lam) * jaccard[queries:] + lam * distances[i]
    return final


def main():
    from safetensors.numpy import load_file

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("query")
    parser.add_argument("gallery")
    parser.add_argument("--k1", type=int, default=20)
    parser.add_argument("--k2", type=int, default=6)
    parser.add_argument("--lambda", type=float, default=0.3, dest="lam")
    parser.add_argument("--out", required=True)
    options = parser.parse_args()
    # In float64: float32 rounding exchanges neighbours that are nearly as near.
    query, gallery = (
        load_file(path)["features"].astype(np.float64) for path in (options.query, options.gallery)
    )
    np.save(options.out, rerank(query, gallery, options.k1, options.k2, options.lam))


if __name__ == "__main__":
    main()
