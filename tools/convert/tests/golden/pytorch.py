"""One small state dict in every container that torch.save has written, as `pytorch/NAME.pth` beside this
script, its values in `pytorch/expected.safetensors`, and the same files as seeds of the fuzzers:
python3 tools/convert/tests/golden/pytorch.py"""

import io
import struct
import tarfile
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy
import torch
from safetensors.torch import save_file

HERE = Path(__file__).parent / "pytorch"
SEEDS = Path(__file__).parents[4] / "fuzz" / "seeds"
torch.manual_seed(11)

shared = torch.randn(2, 6)
weights = OrderedDict(
    {
        "conv1.weight": torch.randn(4, 3, 3, 3),
        "bn1.weight": torch.randn(4).half(),
        "bn1.bias": torch.randn(4).bfloat16(),
        "bn1.running_mean": torch.randn(4, dtype=torch.float64),
        "bn1.running_var": torch.ones(1).expand(4),  # stride 0
        "bn1.num_batches_tracked": torch.tensor(70001),
        "layer1.0.conv1.weight": shared[0],  # two tensors, one storage
        "layer1.1.conv1.weight": shared[1],
        "fc.weight": torch.randn(4, 5).t(),  # read across its rows
    }
)
parallel = OrderedDict((f"module.{name}", value) for name, value in weights.items())

# The old format names a storage by its address, another one in each run; number them by first use instead.
numbers = {}
address = torch._C.StorageBase._cdata
torch.UntypedStorage._cdata = property(lambda s: numbers.setdefault(address.__get__(s), 1000 + len(numbers)))


def saved(obj, **options):
    file = io.BytesIO()
    torch.save(obj, file, **options)
    return file.getvalue()


class Unseekable(io.RawIOBase):
    """A pipe: zipfile cannot go back to fill in the sizes, so it leaves them at zero and writes data
    descriptors (flag 8) after the members."""

    def __init__(self):
        self.bytes = bytearray()

    def writable(self):
        return True

    def write(self, data):
        self.bytes += data
        return len(data)


class Utf8Info(zipfile.ZipInfo):
    """Marks even a plain name as UTF-8."""

    def _encodeFilenameFlags(self):
        return self.filename.encode(), self.flag_bits | 0x800


def streamed(file):
    """The members of a zip archive, written to a pipe, names marked as UTF-8 (flag 0x800): flags 0x808."""
    source, pipe = zipfile.ZipFile(io.BytesIO(file)), Unseekable()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_STORED) as target:
        for member in source.infolist():
            target.writestr(Utf8Info(member.filename, (2020, 1, 1, 0, 0, 0)), source.read(member))
    written = bytes(pipe.bytes)
    flags, _, _, _, _, packed, size = struct.unpack_from("<6xHHHHIII", written)
    assert (flags, packed, size) == (0x808, 0, 0)
    return written


# The tar format of PyTorch before 0.1.10, which no later version writes. Its pickles are written opcode by
# opcode, because the classes of that time are no more.


def number(n):
    return b"J" + struct.pack("<i", n)


def text(s):
    return b"X" + struct.pack("<I", len(s)) + s.encode()


def named(module, name):
    return f"c{module}\n{name}\n".encode()


def pickled(body):
    return b"\x80\x02" + body + b"."


def ordered_dict(items):
    body = b"".join(text(key) + value for key, value in items)
    return named("collections", "OrderedDict") + b")R(" + body + b"u"


def parameter(identity):
    """A Parameter as 0.1.9 wrote it: made empty, then given (data, None, hooks, requires_grad, volatile)."""
    state = b"(" + text(str(identity)) + b"Q" + b"NN\x88\x89t"
    return named("torch.nn.parameter", "Parameter") + b")\x81" + state + b"b"


def tar(state, wrap=lambda body: body):
    kinds = {torch.float32: "Float", torch.float16: "Half", torch.bfloat16: "BFloat16"}
    kinds |= {torch.float64: "Double", torch.int64: "Long"}
    storages, tensors, entries = {}, b"", []
    for identity, (name, tensor) in enumerate(state.items(), 5000):
        storage = tensor.untyped_storage()
        kind = kinds[tensor.dtype]
        storages[storage._cdata] = (kind, tensor.element_size(), bytes(storage))
        tensors += pickled(number(identity) + number(storage._cdata) + named("torch", kind + "Tensor") + b"\x87")
        layout = [*tensor.shape, *tensor.stride(), tensor.storage_offset()]
        tensors += struct.pack(f"<ii{len(layout)}q", tensor.dim(), 0, *layout)
        is_buffer = name.split(".")[-1].startswith(("running", "num"))
        entries.append((name, text(str(identity)) + b"Q" if is_buffer else parameter(identity)))
    packed = b"".join(
        pickled(number(key) + text("cpu") + named("torch", kind + "Storage") + b"\x87")
        + struct.pack("<q", len(data) // size)
        + data
        for key, (kind, size, data) in storages.items()
    )
    sizes = b"}(" + text("int") + number(4) + text("long") + number(4) + text("short") + number(2) + b"u"
    info = text("type_sizes") + sizes + text("protocol_version") + number(1000) + text("little_endian") + b"\x88"
    members = {
        "sys_info": pickled(b"}(" + info + b"u"),
        "pickle": pickled(wrap(ordered_dict(entries))),
        "tensors": pickled(number(len(state))) + tensors,
        "storages": pickled(number(len(storages))) + packed + pickled(b"]"),
    }
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size, member.mtime = len(data), 1483986443.887173  # a fraction needs a PAX header
            archive.addfile(member, io.BytesIO(data))
    return file.getvalue()


checkpoint = {
    "epoch": 60,
    "best_acc": numpy.float64(91.78),
    "arch": "resnet50",
    "optimizer": {"state": {0: {"momentum_buffer": torch.zeros(2)}}, "param_groups": [{"lr": 0.1}]},
}
old = {"_use_new_zipfile_serialization": False}
files = {
    "zip": saved(weights),
    "zip-protocol4": saved(weights, pickle_protocol=4),
    "zip-streamed": streamed(saved(weights)),
    "zip-nested": saved(checkpoint | {"state_dict": parallel}),
    "zip-parameters": saved(OrderedDict((k, torch.nn.Parameter(v, v.is_floating_point())) for k, v in weights.items())),
    "legacy": saved(weights, **old),
    "legacy-nested": saved({"model": parallel, "best_acc": torch.tensor(91.78)}, **old),
    "tar": tar(weights),
    "tar-nested": tar(parallel, lambda body: b"}" + text("net") + body + b"s"),
}

HERE.mkdir(exist_ok=True)
for name, data in files.items():
    (HERE / f"{name}.pth").write_bytes(data)
    target = SEEDS / f"torch_{name.split('-')[0]}"
    target.mkdir(parents=True, exist_ok=True)
    (target / name).write_bytes(data)
    loaded = torch.load(HERE / f"{name}.pth", weights_only=False)
    for key in ("state_dict", "model", "net"):
        loaded = loaded.get(key, loaded)
    assert list(loaded) in (list(weights), list(parallel)), name
    for got, wanted in zip(loaded.values(), weights.values()):
        assert got.dtype == wanted.dtype and torch.equal(got.detach(), wanted), name
save_file({k: v.float().contiguous() for k, v in weights.items()}, HERE / "expected.safetensors")
(SEEDS / "safetensors").mkdir(parents=True, exist_ok=True)
save_file({k: v.contiguous().clone() for k, v in weights.items()}, SEEDS / "safetensors" / "weights")
