"""Golden values of conv2d: outputs and gradients of PyTorch in float64, stored as float32, NHWC and KRSC.

python3 conv2d.py writes conv2d.safetensors beside itself. Cases: NAME.{x,w,b,dy,y,dx,dw,db} and NAME.conv = [stride,
pad].
"""
import pathlib

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

CASES = {  # N, H, W, C, K, R, S, stride, pad
    "stem": (2, 15, 11, 3, 6, 7, 7, 2, 3),
    "pointwise": (2, 5, 3, 20, 18, 1, 1, 1, 0),
    "pointwise_stride_2": (2, 6, 5, 9, 17, 1, 1, 2, 0),
    "three": (1, 6, 5, 7, 9, 3, 3, 1, 1),
    "three_stride_2": (2, 7, 6, 8, 10, 3, 3, 2, 1),
    "three_many_channels": (2, 5, 7, 33, 34, 3, 3, 1, 1),
    "flat_kernel": (2, 4, 9, 5, 6, 1, 3, 3, 1),
}


def main():
    generator = torch.Generator().manual_seed(2018)
    noise = lambda *shape: torch.rand(*shape, generator=generator).mul(2).sub(1).double()
    out = {}
    for name, (n, h, w, c, k, r, s, stride, pad) in CASES.items():
        x, filters, bias = noise(n, c, h, w), noise(k, c, r, s), noise(k)
        for t in (x, filters, bias):
            t.requires_grad_()
        y = F.conv2d(x, filters, bias, stride, pad)
        dy = noise(*y.shape)
        y.backward(dy)
        nhwc = lambda t: t.detach().permute(0, 2, 3, 1).float().contiguous()
        for key, t in (("x", x), ("w", filters), ("dy", dy), ("y", y), ("dx", x.grad), ("dw", filters.grad)):
            out[f"{name}.{key}"] = nhwc(t)
        out[f"{name}.b"], out[f"{name}.db"] = bias.detach().float(), bias.grad.float()
        out[f"{name}.conv"] = torch.tensor([stride, pad], dtype=torch.int32)
    save_file(out, pathlib.Path(__file__).with_suffix(".safetensors"))


main()
