"""One small state dict in every container that torch.save has written, as `pytorch/NAME.pth` beside this
script, its values in `pytorch/expected.safetensors`, and the same files as seeds of the fuzzers:
python3 tools/convert/tests/golden/pytorch.py"""

import io
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy
import torch
from containers import tar, text
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
