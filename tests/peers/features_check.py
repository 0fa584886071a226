"""Features in other formats beside this program's own: features_check.py F.safetensors F.npy F.arrow

NumPy, pyarrow and Polars must read the very bits, in their order, with nulls for what is not known."""

import csv
import json
import sys
from pathlib import Path

import numpy as np
import polars
import pyarrow
import pyarrow.ipc
from safetensors import safe_open


def bits(array):
    assert array.dtype == np.float32, array.dtype
    return np.ascontiguousarray(array).view(np.uint32)


def main(own, npy, arrow):
    with safe_open(own, "numpy") as file:
        features, pids, camids = (file.get_tensor(name) for name in ("features", "pids", "camids"))
        metadata = file.metadata()
    paths = json.loads(metadata["paths"])
    known = [None if camid == -1 else int(camid) for camid in camids]
    assert None in known and len(set(known)) > 2

    array = np.load(npy, allow_pickle=False)
    assert array.flags.c_contiguous and np.array_equal(bits(array), bits(features))
    with Path(npy).with_suffix(".csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["path"] for row in rows] == paths
    assert [int(row["pid"]) for row in rows] == pids.tolist()
    assert [int(row["camid"]) if row["camid"] else None for row in rows] == known
    # With NumPy's own header, whose length may differ from ours.
    again = Path(npy).with_name("again.npy")
    np.save(again, array.astype(np.float64))
    again.with_suffix(".csv").write_bytes(Path(npy).with_suffix(".csv").read_bytes())

    with pyarrow.ipc.open_file(arrow) as file:
        batches = file.num_record_batches
        table = file.read_all()
    table.validate(full=True)
    assert batches > 1
    assert table.schema.metadata[b"network"].decode() == metadata["network"]
    assert table.column_names == ["path", "pid", "camid", "feature"]
    assert table["feature"].type == pyarrow.list_(pyarrow.field("item", pyarrow.float32(), False), features.shape[1])
    flat = pyarrow.concat_arrays(table["feature"].chunks).flatten().to_numpy(zero_copy_only=False)
    assert np.array_equal(bits(flat.reshape(features.shape)), bits(features))
    assert (table["path"].to_pylist(), table["camid"].to_pylist()) == (paths, known)
    assert table["pid"].to_pylist() == pids.tolist()

    frame = polars.read_ipc(arrow)
    assert frame.schema["feature"] == polars.Array(polars.Float32, features.shape[1]), frame.schema
    assert np.array_equal(bits(frame["feature"].to_numpy()), bits(features))
    assert (frame["path"].to_list(), frame["camid"].to_list()) == (paths, known)
    matches = frame.group_by("pid").len().sort("pid")["len"].to_list()
    assert matches == np.unique(pids, return_counts=True)[1].tolist()
    print(f"{len(pids)} features of {features.shape[1]}: NumPy, pyarrow ({batches} batches) and Polars read the same "
          "bits")


main(*sys.argv[1:])
