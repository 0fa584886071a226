"""Writes seeds of files made to do harm, small: python3 fuzz/seeds_hostile.py. Their large forms are in
tools/convert/tests/hostile."""

import io
import json
import struct
import tarfile
import zipfile
from pathlib import Path

SEEDS = Path(__file__).resolve().parent / "seeds"
NAME = "a\nline\x1b[2J\u202e\u200b"


def put(target, name, content):
    (SEEDS / target).mkdir(parents=True, exist_ok=True)
    (SEEDS / target / name).write_bytes(content)


# Pickles, protocol 2.


def pickled(body):
    return b"\x80\x02" + body + b"."


def text(value):
    value = value.encode()
    return b"X" + struct.pack("<I", len(value)) + value


def number(value):
    return b"\x8a\x08" + struct.pack("<q", value)


def group(*items):
    return b"(" + b"".join(items) + b"t"


def table(items):
    return b"}(" + b"".join(text(key) + value for key, value in items) + b"u"


def tensor(elements, shape, stride, key="0"):
    storage = group(text("storage"), b"ctorch\nFloatStorage\n", text(key), text("cpu"), number(elements)) + b"Q"
    sizes = [group(*map(number, numbers)) for numbers in (shape, stride)]
    return b"ctorch._utils\n_rebuild_tensor_v2\n" + group(storage, number(0), *sizes, b"\x89", b"N") + b"R"


ELEMENTS = 16
zeros = bytes(4 * ELEMENTS)
states = {
    "strided": table((f"w.{i}", tensor(ELEMENTS, [2], [ELEMENTS - 1])) for i in range(40)),
    "repeated": table([("conv1.weight", tensor(ELEMENTS, [1000, 1000, 1000], [0, 0, 0]))]),
    "ones": table([("module." * 9 + "w", tensor(ELEMENTS, [1] * 64, [1] * 64))]),
    "names": table([(NAME, table([(NAME, tensor(ELEMENTS, [4, 2], [1, 4]))]))]),
}


def zipped(members):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name), content)
    return file.getvalue()


def legacy(state):
    magic = b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"
    pickles = [magic, b"M\xe9\x03", table([("little_endian", b"\x88")]), state, b"](" + text("0") + b"e"]
    return b"".join(map(pickled, pickles)) + struct.pack("<q", ELEMENTS) + zeros


for name, state in states.items():
    members = [("a/data.pkl", pickled(state)), ("a/byteorder", b"little"), ("a/data/0", zeros)]
    put("torch_zip", name, zipped(members))
    put("torch_legacy", name, legacy(state))

# Many entries of a directory with one local header.
archive = zipped([("a/data.pkl", pickled(states["strided"]))])
start = archive.index(b"PK\x01\x02")
end = archive.index(b"PK\x05\x06")
records = [archive[start:end].replace(b"a/data.pkl", b"a/data/%03d" % i) for i in range(40)]
directory = archive[start:end] + b"".join(records)
count = len(records) + 1
tail = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, count, count, len(directory), start, 0)
put("torch_zip", "directory", archive[:start] + directory + tail)

# Tensors of a tar archive over one storage, behind extended headers.


def tarred(size, stride, extension=None, records=b""):
    count = 8
    tensors = pickled(number(count))
    for key in range(count):
        tensors += pickled(group(number(key), number(99), b"ctorch\nFloatTensor\n"))
        tensors += struct.pack("<iiqqq", 1, 0, size, stride, 0)
    storage = pickled(group(number(99), text("cpu"), b"ctorch\nFloatStorage\n"))
    storages = pickled(number(1)) + storage + struct.pack("<q", ELEMENTS) + zeros + pickled(b"]")
    state = pickled(table((f"w.{key}", text(str(key)) + b"Q") for key in range(count)))
    info = pickled(table([("little_endian", b"\x88")]))
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        members = [("sys_info", info), ("pickle", state), ("tensors", tensors), ("storages", storages)]
        if extension:
            members.insert(0, ("extended", records))
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.type = extension if name == "extended" else tarfile.REGTYPE
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return file.getvalue()


put("torch_tar", "strided", tarred(2, ELEMENTS - 1))
put("torch_tar", "repeated", tarred(1 << 30, 0))
put("torch_tar", "times", tarred(2, 1, b"x", b"20 mtime=1480000.25\n"))
put("torch_tar", "resized", tarred(2, 1, b"g", b"11 size=99\n"))
put("torch_tar", "long-name", tarred(2, 1, b"L", b"storages\0"))

# Empty tensors with names of any kind.
header = {f"w{i}": {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]} for i in range(40)}
header |= {NAME: {"dtype": "F8_E4M3", "shape": [2, 2], "data_offsets": [0, 4]}, "__metadata__": {NAME: NAME}}
encoded = json.dumps(header).encode()
encoded += b" " * (-len(encoded) % 8)
put("safetensors", "names", struct.pack("<Q", len(encoded)) + encoded + bytes(4))

# Caffe.


def varint(value):
    out = b""
    while value >= 0x80:
        out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
    return out + bytes([value])


def data(field, value):
    value = value.encode() if isinstance(value, str) else value
    return varint(field << 3 | 2) + varint(len(value)) + value


def integer(field, value):
    return varint(field << 3) + varint(value)


def real(field, value):
    return varint(field << 3 | 5) + struct.pack("<f", value)


def blob(*dims):
    values = struct.pack("<f", 1.0)
    for dim in dims:
        values *= dim
    return data(7, data(7, data(1, b"".join(map(varint, dims)))) + data(5, values))


def layer(name, kind, *fields):
    return data(100, data(1, name) + data(2, kind) + b"".join(fields))


train = layer("train", "Data", data(4, "data"), data(8, integer(1, 0)), data(100, real(5, 104.0)))
test = layer("test", "Data", data(4, "data"), data(8, integer(1, 1)), data(100, integer(3, 224)))
settings = integer(1, 2) + integer(2, 0) + integer(3, 3) + integer(6, 2)
stem = layer("conv1", "Convolution", data(3, "data"), data(4, "conv1"), blob(2, 3, 7, 7), data(106, settings))
norm = layer("bn_conv1", "BatchNorm", blob(2), blob(2), blob(1), data(139, real(3, 1e-7)))
scale = layer("scale_conv1", "Scale", data(3, "conv1"), data(3, "factors"), blob(2), data(142, integer(4, 1)))
mean = layer("pool5", "Reduction", data(136, integer(1, 4) + integer(2, 2)))
put("caffemodel", "phases", train + test + stem + norm + mean)
put("caffemodel", "gamma", stem + norm + scale)
put("caffemodel", "names", layer(NAME, "Mine", data(3, NAME), data(4, NAME), *[blob(1)] * 40))
prototxt = """name: "a\\nline\\033[2J"
layer { name: "data" type: "Data" top: "data" include { phase: TRAIN } transform_param { mean_value: 104 scale: 0.5 } }
layer { name: "data" type: "Data" top: "data" include { phase: TEST } transform_param { crop_size: 224 } }
layer {
  name: "conv1" type: "Convolution" bottom: "data" top: "conv1" convolution_param { num_output: 2 bias_term: true }
}
layer {
  name: "scale_conv1" type: "Scale" bottom: "conv1" bottom: "factors" top: "conv1" scale_param { bias_term: true }
}
layer { name: "pool5" type: "Reduction" bottom: "conv1" reduction_param { operation: MEAN axis: 2 } }
"""
put("prototxt", "phases", prototxt.encode())
