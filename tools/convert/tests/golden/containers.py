"""The tar format of PyTorch before 0.1.10, which no later version writes. Its pickles are written opcode by
opcode, because the classes of that time are no more."""

import io
import struct
import tarfile

import torch

# The old format names a storage by its address, another one in each run; number them by first use instead.
numbers = {}
address = torch._C.StorageBase._cdata
torch.UntypedStorage._cdata = property(lambda s: numbers.setdefault(address.__get__(s), 1000 + len(numbers)))


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
        values = torch.tensor([], dtype=torch.uint8).set_(storage).numpy().tobytes()
        storages[storage._cdata] = (kind, tensor.element_size(), values)
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
