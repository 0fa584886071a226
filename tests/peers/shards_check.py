"""Two shards of a gallery in three programs that search beyond one machine: shards_check.py QUERY.npy FOUND.json SHARD...

FOUND.json is what `bcreid query --json` found in the whole gallery. FAISS takes the shards one by one, LanceDB as a table
that is added to, DuckDB by SQL over both. Each must find the same images at all ranks, in the same order but for images
that are equally far away up to the rounding of its float32 sums."""

import json
import sys
import tempfile

import duckdb
import faiss
import lancedb
import numpy as np
import pyarrow
import pyarrow.ipc

ROUNDING = 1e-5


def read(path):
    with pyarrow.ipc.open_file(path) as file:
        return file.read_all()


def values(table):
    column = table["feature"].combine_chunks()
    return column.flatten().to_numpy(zero_copy_only=False).reshape(len(table), -1)


def in_faiss(shards, query, count):
    index = faiss.IndexFlatL2(query.shape[1])
    for shard in shards:
        index.add(values(shard))
    return index.search(query, count)[1]


def in_lancedb(shards, query, count):
    with tempfile.TemporaryDirectory() as folder:
        # The number of a row stands for its place in the whole gallery.
        table = lancedb.connect(folder).create_table("gallery", shards[0])
        for shard in shards[1:]:
            table.add(shard)
        found = [table.search(one, vector_column_name="feature").limit(count).to_arrow() for one in query]
    return found


def in_duckdb(shards, query, count):
    connection = duckdb.connect()
    for number, shard in enumerate(shards):
        connection.register(f"shard_{number}", shard)
    names = " union all ".join(f"select path, feature from shard_{number}" for number in range(len(shards)))
    dim = query.shape[1]
    sql = f"select path from ({names}) order by array_distance(feature, ?::float[{dim}]), path limit {count}"
    return [[row[0] for row in connection.execute(sql, [one.tolist()]).fetchall()] for one in query]


def main(query, found, *paths):
    query, shards = np.load(query), [read(path) for path in paths]
    with open(found, encoding="utf-8") as file:
        ours = json.load(file)
    count = len(ours[0]["hits"])
    gallery = np.concatenate([values(shard) for shard in shards])
    names = [path for shard in shards for path in shard["path"].to_pylist()]
    assert len(set(names)) == len(names)
    exact = np.sqrt(((query[:, None].astype(np.float64) - gallery[None]) ** 2).sum(2))

    def check(program, theirs):
        alike = 0
        for row, (one, hits) in enumerate(zip(ours, theirs, strict=True)):
            own = [hit["index"] for hit in one["hits"]]
            assert len(hits) == count
            assert np.abs(exact[row, own] - exact[row, hits]).max() < ROUNDING, program
            alike += np.sum(own == np.array(hits))
        share = alike / (len(ours) * count)
        print(f"{program}: the same image at {share:.1%} of {count} ranks, and as near a one elsewhere")
        assert share > 0.9

    numbers = {name: number for number, name in enumerate(names)}
    check("FAISS", in_faiss(shards, query, count).tolist())
    tables = in_lancedb(shards, query, count)
    check("LanceDB", [[numbers[name] for name in table["path"].to_pylist()] for table in tables])
    check("DuckDB", [[numbers[name] for name in hits] for hits in in_duckdb(shards, query, count)])


main(*sys.argv[1:])
