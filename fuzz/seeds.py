"""Writes the seeds of the targets features, npy, metrics, config, image, prototxt, run_folder, report, dataset,
attributes and fast_reid, a wired ResNet for the target caffemodel and a head for safetensors: python3 fuzz/seeds.py"""

import json
import shutil
import struct
import zlib
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


# --- a small ResNet as a caffemodel and as a prototxt -----------------------------------------------------------------


def varint(value):
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out + bytes([value]))


def message(number, content):
    return varint(number << 3 | 2) + varint(len(content)) + content


def blob(shape):
    count = 1
    for size in shape:
        count *= size
    dims = message(7, message(1, b"".join(map(varint, shape))))
    return message(7, dims + message(5, struct.pack(f"<{count}f", *[1.0] * count)))


NUMBERS = {"Convolution": ("convolution_param", 106, {"bias_term": 2, "pad": 3, "stride": 6}),
           "Scale": ("scale_param", 142, {"bias_term": 4}),
           "Pooling": ("pooling_param", 121, {"pool": 1, "kernel_size": 2, "stride": 3, "global_pooling": 12})}
WORDS = {("bias_term", 0): "false", ("bias_term", 1): "true", ("pool", 1): "AVE", ("global_pooling", 1): "true"}


def resnet():
    """One basic block of width 1 in each stage, as a caffemodel and as a prototxt."""
    model, text = b"", 'name: "small"  # a seed\n'

    def add(name, kind, bottoms, top, shapes=(), **settings):
        nonlocal model, text
        wires = b"".join(message(3, b.encode()) for b in bottoms) + message(4, top.encode())
        blobs = b"".join(map(blob, shapes))
        param, number, fields = NUMBERS.get(kind, ("", 0, {}))
        values = b"".join(varint(fields[key] << 3) + varint(value) for key, value in settings.items())
        layer = message(1, name.encode()) + message(2, kind.encode()) + wires + blobs
        model += message(100, layer + (message(number, values) if settings else b""))
        reads = "".join(f' bottom: "{b}"' for b in bottoms)
        words = " ".join(f"{key}: {WORDS.get((key, value), value)}" for key, value in settings.items())
        text += f'layer {{ name: "{name}" type: "{kind}"{reads} top: "{top}"'
        text += f" {param} {{ {words} }} }}\n" if settings else " }\n"

    def unit(name, bottom, channels, kernel, stride, relu):
        add(name, "Convolution", [bottom], name, [[*channels, kernel, kernel]], bias_term=0,
            pad=kernel // 2, stride=stride)
        add(f"{name}n", "BatchNorm", [name], name, [[channels[0]], [channels[0]], [1]])
        add(f"{name}s", "Scale", [name], name, [[channels[0]], [channels[0]]], bias_term=1)
        if relu:
            add(f"{name}r", "ReLU", [name], name)
        return name

    add("data", "Input", [], "data")
    unit("a", "data", [1, 3], 7, 2, True)
    add("p", "Pooling", ["a"], "p", kernel_size=3, stride=2)
    x, before = "p", 1
    for stage, width in enumerate([1, 2, 4, 8]):
        stride = 2 if stage else 1
        side = unit(f"{stage}x", x, [width, before], 1, stride, False) if stage else x
        inner = unit(f"{stage}y", x, [width, before], 3, stride, True)
        branch = unit(f"{stage}z", inner, [width, width], 3, 1, False)
        add(f"{stage}+", "Eltwise", [side, branch], f"{stage}+")
        add(f"{stage}r", "ReLU", [f"{stage}+"], f"{stage}+")
        x, before = f"{stage}+", width
    add("m", "Pooling", [x], "m", pool=1, global_pooling=1)
    add("c", "InnerProduct", ["m"], "c", [[2, 8], [2]])
    return model, text.encode()


OLDER = b"""input: 'data' input_dim: [1, 3, 224, 224]
layers < name: "conv1" type: CONVOLUTION bottom: "data" top: "conv1" blobs_lr: 1 include: { phase: TEST }
  convolution_param { num_output: 0x40 stride_h: 02 stride_w: 2 weight_filler { std: 1e-2f } } >
layers { name: "pool5", type: POOLING; bottom: 'co' "nv\\061" top: "pool5" pooling_param: < pool: AVE > }
"""

# --- edits of a run folder, see run_folder.rs -------------------------------------------------------------------------

FILES = ["config", "metrics", "checkpoint", "weights", "query", "gallery", "result", "new", "provenance"]


def whole(file, content):
    return bytes([FILES.index(file)]) + content


def splice(file, place, dropped, new, kind=1):
    """An edit of the text or of a safetensors header, or with kind 3 of its data."""
    return bytes([FILES.index(file) + len(FILES) * kind]) + struct.pack(">HBB", place, dropped, len(new)) + new


EMPTY = b'"x":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},'
EDITS = {
    "plain": b"",
    "config": whole("config", b"[loss]\nlambda = 0.5\n"),
    "metrics": splice("metrics", 65535, 0, b'{"step":8,"loss":null}\n{"step":9,"inter":1}\n{"st'),
    "headers": b"".join(splice(file, 1, 0, EMPTY) for file in ["checkpoint", "weights", "query", "gallery"]),
    "more": splice("result", 1, 0, b'"more":["/"],'),
    "figures": splice("result", 13, 3, b"2.5"),
    "new": whole("new", b"{}"),
    "nan": splice("gallery", 0, 4, b"\0\0\xc0\x7f", kind=3) + splice("weights", 0, 4, b"\0\0\xc0\x7f", kind=3),
    "provenance": splice("provenance", 1, 0, b'"start":{"weights":"x"},"more":[1],'),
    "no_provenance": whole("provenance", b"{}"),
    "pids": splice("query", 0, 16, struct.pack("<qq", -1, 0), kind=3),
}

# --- lists of data sets, see fuzz_targets/dataset.rs: the first byte names the layout ---------------------------------


def element(kind, content):
    return struct.pack("<II", kind, len(content)) + content + b"\0" * (-len(content) % 8)


def mat(packed):
    """One tracklet: images 1 to 1, person 1, camera 1."""
    parts = element(6, struct.pack("<II", 6, 0)) + element(5, struct.pack("<ii", 1, 4)) + element(1, b"tracks")
    matrix = element(14, parts + element(9, struct.pack("<4d", 1, 1, 1, 1)))
    if packed:
        stream = zlib.compress(matrix)
        matrix = struct.pack("<II", 15, len(stream)) + stream
    return b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack("<H", 0x100) + b"IM" + matrix


LISTS = {
    "numbers": b"\0path,pid,camid\na.jpg,1,2\nb.jpg,2,1\n",
    "names": "\0Path;PID;CamID\na.jpg;anna;süd\nb.jpg;bert;nord\n".encode(),
    "tabs": b"\0camid\tpid\tpath\n1\t7\ta.jpg\n",
    "msmt17": b"\x010000/0000_000_01_0303morning_0008_1.jpg 0\n",
    "splits": b"\x02split,pid\n1,1\n2,2\n",
    "json": b'\x03[{"train":[["cam_a/001_45.bmp",0,0]],"query":[["cam_a/001_45.bmp",1,0]],"gallery":[["cam_b/001_90.bmp",1,1]]}]',
    "mat": b"\x04" + mat(False),
    "packed mat": b"\x04" + mat(True),
}

ATTRIBUTES = {
    "numbers": b"identity,hat,age\n1,yes,3\n2,no,1\n7,no,12\n9,yes,3\n",
    "tabs": b"age\tidentity\n4\t7\n5\t0002\n4\t1\n",
}
YAML = {
    "plain": b"MODEL:\n  BACKBONE:\n    LAST_STRIDE: 1\n  HEADS:\n    POOL_LAYER: GlobalAvgPool\n  PIXEL_MEAN:\n  - 123.675\n"
    b"  - 116.28\n  - 103.53\n  PIXEL_STD: [58.395, 57.12, 57.375]\n",
    "gem": b"MODEL:\n  BACKBONE: {LAST_STRIDE: 2}\n  HEADS:\n    POOL_LAYER: 'GeneralizedMeanPooling'\n",
}

# seeds_hostile.py writes into the folders of prototxt and caffemodel too.
for target in ["features", "npy", "metrics", "config", "image", "run_folder", "report", "dataset", "attributes", "fast_reid"]:
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
for target in ["run_folder", "report"]:
    for name, edits in EDITS.items():
        put(target, name, edits)
for name, content in LISTS.items():
    put("dataset", name.replace(" ", "_"), content)
for name, content in ATTRIBUTES.items():
    put("attributes", name, content)
for name, content in YAML.items():
    put("fast_reid", name, content)
one = struct.pack("<f", 1)
put("safetensors", "fast_reid", tensors([("heads.weight", "F32", [1, 1], one), ("heads.pool_layer.p", "F32", [1], one)], {}))
wired, prototxt = resnet()
put("caffemodel", "wired", wired)
put("prototxt", "resnet", prototxt)
put("prototxt", "older", OLDER)
for name, file in images():
    put("image", name, file)
