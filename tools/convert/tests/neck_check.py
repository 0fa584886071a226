"""The output of a plain ResNet in PyTorch with the weights of a file: python3 neck_check.py FILE.pth PIXELS OUTPUT N H W 3

PIXELS are float32 [N, H, W, 3], OUTPUT becomes float32 [N, rows of fc]. The network is tests/golden/resnet.py, slim, of
width 4, with a last stride of 1, its tensors by torchvision's names, all of which the file must have and no others.
"""

import sys
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "tests" / "golden"))
import resnet

file, pixels, output, *shape = sys.argv[1:]
state = torch.load(file, weights_only=True)
net = resnet.ResNet("slim", width=4, last_stride=1)
fc = torch.nn.Linear(*reversed(state["fc.weight"].shape))
own = {"fc.weight": fc.weight, "fc.bias": fc.bias}
for conv, bn, unit in net.layers():
    own[f"{conv}.weight"] = unit.conv.weight
    for key in ("weight", "bias", "running_mean", "running_var"):
        own[f"{bn}.{key}"] = getattr(unit.bn, key)
if set(state) != set(own):
    sys.exit(f"neck_check.py: {sorted(set(state) ^ set(own))[:5]} are in one of file and network only")
with torch.no_grad():
    for name, tensor in own.items():
        assert tensor.shape == state[name].shape, name
        tensor.copy_(state[name])
    net.eval()
    images = torch.from_numpy(np.fromfile(pixels, np.float32).reshape([int(size) for size in shape]))
    fc(net(images.permute(0, 3, 1, 2))).numpy().tofile(output)
