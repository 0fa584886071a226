"""Golden values of max pooling: torchvision's and Caffe's window, and odd ones; values with ties."""

from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

torch.manual_seed(2)
CASES = {  # kernel, stride, pad, ceil, [N, H, W, C]
    "torchvision": (3, 2, 1, False, (2, 9, 6, 21)),
    "caffe": (3, 2, 0, True, (2, 10, 7, 5)),
    "caffe_even": (3, 2, 0, True, (1, 8, 8, 17)),
    "dropped": (2, 2, 1, True, (1, 5, 6, 3)),
    "apart": (1, 3, 0, True, (1, 6, 7, 2)),
}
out = {}
for name, (kernel, stride, pad, ceil, shape) in CASES.items():
    # Halves between -2 and 2: many ties.
    x = (torch.randn(shape) * 2).round().clamp(-4, 4) / 2
    x.requires_grad_()
    y = F.max_pool2d(x.permute(0, 3, 1, 2), kernel, stride, pad, ceil_mode=ceil).permute(0, 2, 3, 1)
    dy = torch.randn(y.shape)
    y.backward(dy)
    out[f"{name}.window"] = torch.tensor([kernel, stride, pad, int(ceil)], dtype=torch.int32)
    out.update({f"{name}.x": x.detach(), f"{name}.y": y.detach(), f"{name}.dy": dy, f"{name}.dx": x.grad})

save_file({k: v.contiguous() for k, v in out.items()}, Path(__file__).with_suffix(".safetensors"))
