"""A small ResNet-50 as a Caffe model, and what must come of it: python3 tools/convert/tests/golden/caffe.py

Writes caffe.caffemodel (width 2; the layer names of He's release; made in protobuf's wire format by hand, from the
field numbers of the public caffe.proto), v1.caffemodel (a few layers in the older form), mean.binaryproto, and
caffe.safetensors: the tensors under torchvision's names, the pixels of the test images and their features in Caffe's
wiring (stride on the 1x1, pool1 without padding and rounded up, BGR levels less the mean), in float64.

Every way of writing a blob occurs: packed or not, float or double, four dims or a shape, with gradients. Three layers
are unusual: one convolution has a bias, one batch norm an epsilon of its own, one no Scale layer.
"""

import itertools
import struct

import common
import numpy as np
import resnet
import torch
from common import HERE
from safetensors.numpy import save_file

WIDTH, CLASSES, FACTOR = 2, 10, 999.98
BIASED, OWN_EPS, UNSCALED = "layer2.1.conv2", "layer3.2.bn1", "layer1.2.bn2"
MEAN_BGR = [103.062623801, 115.902882574, 123.151630838]


# --- protobuf -------------------------------------------------------------------------------------------------------


def varint(value):
    value &= (1 << 64) - 1
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out + bytes([value]))


def integer(number, value):
    return varint(number << 3) + varint(value)


def data(number, value):
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def real(number, value):
    return varint(number << 3 | 5) + struct.pack("<f", value)


def blob(values, style="packed", legacy=False):
    """BlobProto. A legacy blob has four dims, ones in front."""
    values = np.asarray(values)
    dims = values.shape
    if legacy:
        dims = (1,) * (4 - len(dims)) + dims
        out = b"".join(integer(1 + at, dim) for at, dim in enumerate(dims))
    elif style == "raw":
        out = data(7, b"".join(integer(1, dim) for dim in dims))
    else:
        out = data(7, data(1, b"".join(varint(dim) for dim in dims)))
    flat = values.astype(np.float64).ravel()
    if style == "packed":
        return out + data(5, flat.astype("<f4").tobytes())
    if style == "raw":
        return out + b"".join(real(5, v) for v in flat)
    if style == "diff":
        return data(6, np.full(flat.size, 7, "<f4").tobytes()) + out + data(5, flat.astype("<f4").tobytes())
    assert style == "double"
    return out + data(8, flat.astype("<f8").tobytes()) + data(9, flat.astype("<f8").tobytes())


def layer(name, kind, blobs=(), settings=b""):
    """LayerParameter, as a field of NetParameter."""
    wires = data(3, "bottom") + data(4, name)
    return data(100, data(1, name) + data(2, kind) + wires + b"".join(data(7, b) for b in blobs) + settings)


def v1_layer(name, kind, blobs=(), settings=b""):
    """V1LayerParameter, as a field of NetParameter."""
    wires = data(2, "bottom") + data(3, name)
    return data(2, wires + data(4, name) + integer(5, kind) + b"".join(data(6, b) for b in blobs) + settings)


def convolution_param(conv, bias):
    out = integer(1, conv.out_channels) + integer(2, bias)
    pad, kernel, stride = conv.padding[0], conv.kernel_size[0], conv.stride[0]
    return out + (integer(3, pad) if pad else b"") + integer(4, kernel) + (integer(6, stride) if stride > 1 else b"")


# --- the network ----------------------------------------------------------------------------------------------------


def caffe_names(conv):
    """He's names of the convolution, the batch norm and the scale."""
    if conv == "conv1":
        return "conv1", "bn_conv1", "scale_conv1"
    stage, block, part = conv.removeprefix("layer").split(".")[:3]
    branch = "branch1" if part == "downsample" else "branch2" + "abc"[int(part[-1]) - 1]
    stem = f"{int(stage) + 1}{'abcdef'[int(block)]}_{branch}"
    return f"res{stem}", f"bn{stem}", f"scale{stem}"


def f32(tensor):
    return tensor.detach().numpy().astype(np.float32)


torch.manual_seed(20151210)
net = resnet.ResNet("resnet50", width=WIDTH, caffe=True).double()
pixels = common.pixels()
bgr = torch.from_numpy(pixels[..., ::-1].astype(np.float64)) - torch.tensor(MEAN_BGR, dtype=torch.float64)
bgr = bgr.permute(0, 3, 1, 2)

for conv_name, bn_name, unit in net.layers():
    if conv_name == BIASED:
        unit.conv.bias = torch.nn.Parameter(torch.randn(unit.conv.out_channels, dtype=torch.float64))
    if bn_name == OWN_EPS:
        unit.bn.eps = float(np.float32(1e-3))
common.give_statistics(net, bgr)

golden, layers = {}, [layer("data", "Input")]
styles = itertools.cycle(["packed", "raw", "packed", "diff", "packed"])
for conv_name, bn_name, unit in net.layers():
    conv, bn, scale = caffe_names(conv_name)
    if bn_name == UNSCALED:
        torch.nn.init.ones_(unit.bn.weight)
        torch.nn.init.zeros_(unit.bn.bias)
    for tensor in [*unit.parameters(), unit.bn.running_mean, unit.bn.running_var]:
        tensor.data.copy_(torch.from_numpy(f32(tensor)))
    weight, bias = f32(unit.conv.weight), unit.conv.bias
    blobs = [blob(weight, next(styles))] + ([] if bias is None else [blob(f32(bias), next(styles))])
    layers.append(layer(conv, "Convolution", blobs, data(106, convolution_param(unit.conv, bias is not None))))

    factor = np.float32(FACTOR)
    sums = [(f32(s) * factor).astype(np.float32) for s in (unit.bn.running_mean, unit.bn.running_var)]
    mean, var = (s.astype(np.float64) / float(factor) for s in sums)
    unit.bn.running_mean.copy_(torch.from_numpy(mean))
    unit.bn.running_var.copy_(torch.from_numpy(var))
    style = "double" if bn_name == "layer4.0.bn2" else next(styles)
    blobs = [blob(s, style) for s in sums] + [blob([factor], "packed")]
    settings = integer(1, 1) + (real(3, unit.bn.eps) if bn_name == OWN_EPS else b"")
    layers.append(layer(bn, "BatchNorm", blobs, data(139, settings)))
    gamma_beta = [f32(unit.bn.weight), f32(unit.bn.bias)]
    if bn_name != UNSCALED:
        blobs = [blob(v, next(styles), legacy=bn_name.endswith("bn3")) for v in gamma_beta]
        layers.append(layer(scale, "Scale", blobs, data(142, integer(4, 1))))
    if not conv.endswith(("branch1", "branch2c")):
        layers.append(layer(f"{conv}_relu", "ReLU"))
    if conv == "conv1":
        layers.append(layer("pool1", "Pooling", (), data(121, integer(2, 3) + integer(3, 2) + integer(1, 0))))

    golden[f"{conv_name}.weight"] = weight
    if bias is not None and conv_name != BIASED:
        golden[f"{conv_name}.bias"] = f32(bias)
    folded = mean if conv_name != BIASED else mean - bias.detach().numpy()
    golden[f"{bn_name}.weight"], golden[f"{bn_name}.bias"] = gamma_beta
    golden[f"{bn_name}.running_mean"] = folded.astype(np.float32)
    golden[f"{bn_name}.running_var"] = (var + unit.bn.eps - 1e-5).astype(np.float32)

fc = [torch.randn(CLASSES, net.features), torch.randn(CLASSES)]
golden["fc.weight"], golden["fc.bias"] = map(f32, fc)
layers.append(layer("pool5", "Pooling", (), data(121, integer(1, 1) + integer(2, 7))))
layers.append(layer("fc1000", "InnerProduct", [blob(f32(t), "packed", legacy=True) for t in fc]))
golden["loss1_ip/0"] = np.arange(6, dtype=np.float32).reshape(2, 3)
layers.append(layer("loss1_ip", "InnerProduct", [blob(golden["loss1_ip/0"])]))
layers.append(layer("prob", "Softmax"))
(HERE / "caffe.caffemodel").write_bytes(data(1, "ResNet-50") + b"".join(layers))

tensors = {f"tensors/{name}": value for name, value in golden.items()}
extra = {"features": common.features(net, bgr), "pixels": pixels, "mean_bgr": np.float32(MEAN_BGR)}

# --- the older form, and a mean image -------------------------------------------------------------------------------

old = {
    "conv1.weight": np.random.default_rng(1).normal(size=(2, 3, 7, 7)),
    "conv1.bias": [0.25, -0.5],
    "layer1.0.downsample.0.weight": np.random.default_rng(2).normal(size=(8, 2, 1, 1)),
    "fc.weight": np.random.default_rng(3).normal(size=(3, 8)),
    "fc.bias": [1, 2, 3],
}
old = {name: np.asarray(value, np.float32) for name, value in old.items()}
stem = integer(1, 2) + integer(3, 3) + integer(4, 7) + integer(6, 2)
v1 = [
    v1_layer("data", 5),
    v1_layer("conv1", 4, [blob(old[f"conv1.{x}"], "packed", True) for x in ("weight", "bias")], data(10, stem)),
    v1_layer("pool1", 17, (), data(19, integer(2, 3) + integer(3, 2))),
    v1_layer("res2a_branch1", 4, [blob(old["layer1.0.downsample.0.weight"], "raw", True)],
             data(10, integer(2, 0) + integer(4, 1))),
    v1_layer("fc1000", 14, [blob(old[f"fc.{x}"], "diff", True) for x in ("weight", "bias")]),
]
(HERE / "v1.caffemodel").write_bytes(data(1, "old") + b"".join(v1))
tensors |= {f"v1/{name}": value for name, value in old.items()}

image = np.random.default_rng(4).normal(size=(1, 3, 5, 4)) + np.reshape(MEAN_BGR, (1, 3, 1, 1))
image = image.astype(np.float32)
(HERE / "mean.binaryproto").write_bytes(blob(image, "packed", legacy=True))
extra["mean_of_image"] = image.astype(np.float64).mean((0, 2, 3)).astype(np.float32)

tensors = {name: np.ascontiguousarray(value) for name, value in (tensors | extra).items()}
save_file(tensors, HERE / "caffe.safetensors")
