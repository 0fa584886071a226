"""FAISS on the same features: faiss_check.py QUERY.npy GALLERY.npy FOUND.json

FOUND.json is what `bcreid query --json` found. FAISS must find the same images for every query, in the same order but
for images that are equally far away up to the rounding of its float32 sums."""

import json
import sys

import faiss
import numpy as np

ROUNDING = 1e-5


def main(query, gallery, found):
    query, gallery = np.load(query), np.load(gallery)
    with open(found, encoding="utf-8") as file:
        ours = json.load(file)
    assert len(ours) == len(query)
    count = len(ours[0]["hits"])
    index = faiss.IndexFlatL2(gallery.shape[1])
    index.add(gallery)
    squared, theirs = index.search(query, count)

    exact = ((query[:, None].astype(np.float64) - gallery[None]) ** 2).sum(2)
    alike = 0
    for row, one in enumerate(ours):
        hits = [hit["index"] for hit in one["hits"]]
        assert [hit["rank"] for hit in one["hits"]] == list(range(1, count + 1))
        # Ours are exact, and equal distances stand in the gallery's order.
        assert hits == np.argsort(exact[row], kind="stable")[:count].tolist()
        assert np.allclose([hit["distance"] for hit in one["hits"]], np.sqrt(exact[row, hits]), rtol=1e-12)
        assert np.abs(exact[row, hits] - exact[row, theirs[row]]).max() < ROUNDING
        assert np.abs(exact[row, hits] - squared[row]).max() < ROUNDING
        alike += np.sum(hits == theirs[row])
    share = alike / theirs.size
    print(f"{len(query)} queries: FAISS names the same image at {share:.1%} of {count} ranks, and as near a one "
          "elsewhere")
    assert share > 0.9


main(*sys.argv[1:])
