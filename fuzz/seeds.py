"""Writes the seeds of the targets features, npy, metrics, config and image: python3 fuzz/seeds.py"""

import json
import shutil
import struct
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent

rows = [[0.5, -1.25, 3.0], [1e-3, 0.0, 2.0], [-4.0, 0.25, 1.0]]
values = b"".join(struct.pack("<3f", *row) for row in rows)


def put(target, name, content):
    folder = HERE / "seeds" / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)


def tensors(listed, metadata):
    """A safetensors file of (name, dtype, shape, bytes)."""
    header, data = {"__metadata__": metadata}, b""
    for name, dtype, shape, content in listed:
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


def features(metadata):
    return tensors(
        [
            ("camids", "I64", [3], struct.pack("<3q", 0, 1, 1)),
            ("pids", "I64", [3], struct.pack("<3q", 7, -1, 0)),
            ("features", "F32", [3, 3], values),
        ],
        metadata,
    )


def npy(descr, content, version=1):
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': (3, 3), }}\n".encode()
    length = struct.pack("<H" if version == 1 else "<I", len(header))
    return b"\x93NUMPY" + bytes([version, 0]) + length + header + content


def images():
    """Whole files of every kind that tests/golden/image.py made, a byte stored as i32."""
    file = (ROOT / "tests/golden/image.safetensors").read_bytes()
    (length,) = struct.unpack_from("<Q", file)
    for name, tensor in json.loads(file[8 : 8 + length]).items():
        if name.startswith("file."):
            start, end = (8 + length + offset for offset in tensor["data_offsets"])
            yield name.removeprefix("file."), bytes(file[start:end:4])


for target in ["features", "npy", "metrics", "config", "image"]:
    shutil.rmtree(HERE / "seeds" / target, ignore_errors=True)
paths = json.dumps(["a.jpg", "b.jpg", "c.jpg"])
put("features", "plain", features({}))
put("features", "known", features({"paths": paths, "network": "0" * 64, "mirrored": "true", "pooled": "mean"}))
put("npy", "f32", b"path,pid,camid\na.jpg,7,0\nb.jpg,-1,1\nc.jpg,0,1\n" + npy("<f4", values))
put("npy", "f64", b"pid\n7\n-1\n0\n" + npy("<f8", struct.pack("<9d", *sum(rows, [])), version=2))
step = '{"step":%d,"loss":1.5,"softmax":1.0,"positive":0.1,"hinge":0.3,"center":0.1,"rate":0.01,"lambda":1.0,'
distances = ['"intra":null,"inter":0.5,"inter_min":0.25}\n', '"intra":0.75,"inter":1e30,"inter_min":null}\n']
put("metrics", "steps", "".join(step % i + tail for i, tail in enumerate(distances)).encode())
put("metrics", "beyond", b'{"step":0,"loss":1e300}\n')
put("metrics", "unfinished", (step % 3 + distances[0] + step % 4).encode())
for config in sorted((ROOT / "configs").glob("*.toml")):
    put("config", config.stem, config.read_bytes())
for name, file in images():
    put("image", name, file)
