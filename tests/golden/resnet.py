"""ResNet in plain PyTorch, in both wirings, with the engine's parameter names and initial values.

A reference for golden values and benchmarks: NCHW, torch.nn.functional, nothing of torchvision needed.
"""

import numpy as np
import torch
import torch.nn.functional as F

# Whether blocks are bottlenecks, blocks a stage, channels of the first stage.
PRESETS = {
    "resnet18": (False, (2, 2, 2, 2), 64),
    "resnet34": (False, (3, 4, 6, 3), 64),
    "resnet50": (True, (3, 4, 6, 3), 64),
    "resnet101": (True, (3, 4, 23, 3), 64),
    "resnet152": (True, (3, 8, 36, 3), 64),
    "slim": (True, (2, 2, 2, 2), 16),
}


class ConvBn(torch.nn.Module):
    """A convolution and batch normalisation; with `ibn` its first half of channels has an instance normalisation."""

    def __init__(self, c, k, kernel, stride, bias=False, ibn=False):
        super().__init__()
        self.conv = torch.nn.Conv2d(c, k, kernel, stride, kernel // 2, bias=bias)
        self.instance = torch.nn.InstanceNorm2d(k // 2, affine=True) if ibn else None
        self.bn = torch.nn.BatchNorm2d(k - k // 2 if ibn else k)

    def forward(self, x):
        y = self.conv(x)
        if self.instance is None:
            return self.bn(y)
        half = self.instance.num_features
        return torch.cat([self.instance(y[:, :half]), self.bn(y[:, half:])], 1)


class Block(torch.nn.Module):
    def __init__(self, bottleneck, c, inner, stride, caffe, ibn=False):
        super().__init__()
        k = inner * (4 if bottleneck else 1)
        first, second = (1, stride) if bottleneck and not caffe else (stride, 1)
        shapes = (
            [(c, inner, 1, first), (inner, inner, 3, second), (inner, k, 1, 1)]
            if bottleneck
            else [(c, inner, 3, first), (inner, k, 3, second)]
        )
        self.convs = torch.nn.ModuleList(ConvBn(*s, ibn=ibn and n == 0) for n, s in enumerate(shapes))
        self.downsample = ConvBn(c, k, 1, stride) if stride != 1 or c != k else None

    def forward(self, x):
        shortcut = x if self.downsample is None else self.downsample(x)
        for conv in self.convs[:-1]:
            x = F.relu(conv(x), inplace=True)
        y = self.convs[-1](x)
        y += shortcut
        return F.relu(y, inplace=True)


class ResNet(torch.nn.Module):
    """conv1 to pool5: pixels [N, 3, H, W] to features [N, D]."""

    def __init__(self, arch="resnet50", width=None, depths=None, caffe=False, last_stride=2, stem=None, ibn=False):
        super().__init__()
        bottleneck, default_depths, default_width = PRESETS[arch]
        width, depths = width or default_width, depths or default_depths
        self.caffe = caffe
        c = stem or width
        self.stem = ConvBn(3, c, 7, 2, bias=caffe)
        self.blocks = torch.nn.ModuleList()
        self.names = []
        for stage, depth in enumerate(depths):
            for block in range(depth):
                stride = (1, 2, 2, last_stride)[stage] if block == 0 else 1
                self.blocks.append(Block(bottleneck, c, width << stage, stride, caffe, ibn and stage < 3))
                self.names.append(f"layer{stage + 1}.{block}")
                c = (width << stage) * (4 if bottleneck else 1)
        self.features = c

    def forward(self, x):
        return self.feature_map(x).mean((2, 3))

    def feature_map(self, x):
        x = F.relu(self.stem(x), inplace=True)
        x = F.max_pool2d(x, 3, 2, 0, ceil_mode=True) if self.caffe else F.max_pool2d(x, 3, 2, 1)
        for block in self.blocks:
            x = block(x)
        return x

    def layers(self):
        """(engine's convolution name, engine's batch-norm name, ConvBn) in the engine's order."""
        yield "conv1", "bn1", self.stem
        for name, block in zip(self.names, self.blocks):
            for n, conv in enumerate(block.convs, 1):
                yield f"{name}.conv{n}", f"{name}.bn{n}{'.BN' if conv.instance else ''}", conv
            if block.downsample is not None:
                yield f"{name}.downsample.0", f"{name}.downsample.1", block.downsample

    def named(self):
        """(engine's name, parameter) in the engine's order."""
        for conv, bn, layer in self.layers():
            yield f"{conv}.weight", layer.conv.weight
            if layer.conv.bias is not None:
                yield f"{conv}.bias", layer.conv.bias
            if layer.instance:
                yield f"{bn.removesuffix('BN')}IN.weight", layer.instance.weight
                yield f"{bn.removesuffix('BN')}IN.bias", layer.instance.bias
            yield f"{bn}.weight", layer.bn.weight
            yield f"{bn}.bias", layer.bn.bias


def gem(x, p, eps=1e-6):
    """Generalised-mean pooling over the last two dimensions (Radenovic et al. 2018)."""
    return x.clamp(min=eps).pow(p).mean((2, 3)).pow(1 / p)


def batch_contrastive_terms(x, labels, centers, tau, exact=False):
    """The two sums of L_b, equation (3), and L_c, equation (4). Without `exact`, autograd gives equation (8): the
    partner samples are constants and each term counts once, as (8) has it."""
    partner = x if exact else x.detach()
    d = ((x[:, None] - partner[None]) ** 2).sum(-1)
    same = labels[:, None] == labels[None]
    positive = 0.5 * d[same].sum()
    hardest = d.masked_fill(same, float("inf")).min(1).values
    hinge = 0.5 * (tau - hardest[torch.isfinite(hardest)]).clamp(min=0).sum()
    center = 0.5 * ((x - centers[labels]) ** 2).sum()
    return positive, hinge, center


def batch_contrastive(x, labels, centers, tau, exact=False):
    """L_b + L_c: sums over the batch."""
    return sum(batch_contrastive_terms(x, labels, centers, tau, exact))


def center_step(centers, x, labels, rate):
    """Equation (5), and (6) with its sign corrected."""
    for j in labels.unique():
        own = x[labels == j]
        delta = (centers[j] - own).sum(0) / (1 + len(own))
        centers[j] -= rate * delta


@torch.no_grad()
def initialise(named, philox, seed):
    """The engine's initial values: parameter number p draws from Philox(seed, 0, p, INIT)."""
    for number, (name, parameter) in enumerate(named):
        if parameter.dim() == 1:
            parameter.fill_(1.0 if name.endswith(".weight") else 0.0)
            continue
        std = np.float32(0.001)
        if parameter.dim() == 4:
            k, _, r, s = parameter.shape
            std = np.sqrt(np.float32(2.0) / np.float32(k * r * s))
        n = parameter.numel()
        values = std * philox.normal(seed, 0, number, philox.INIT, n)
        if parameter.dim() == 4:
            k, c, r, s = parameter.shape
            values = values.reshape(k, r, s, c).transpose(0, 3, 1, 2)
        parameter.copy_(torch.from_numpy(np.ascontiguousarray(values.reshape(parameter.shape))))
