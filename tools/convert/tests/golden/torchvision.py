"""A small ResNet-50 with torchvision's names and wiring: python3 tools/convert/tests/golden/torchvision.py

Writes resnet50_width4.safetensors, a state dict as torchvision saves it (float32, width 4, 10 classes, batch counters
included), and torchvision.safetensors: the pixels of the test images and their pool5 features in torchvision's wiring
(stride on the 3x3, pool1 padded, RGB in [0, 1] less ImageNet's mean over its deviation), in float64.
"""

import common
import numpy as np
import resnet
import torch
from common import HERE
from safetensors.numpy import save_file

WIDTH, CLASSES = 4, 10
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]

torch.manual_seed(20170101)
net = resnet.ResNet("resnet50", width=WIDTH).double()
pixels = common.pixels()
rgb = (torch.from_numpy(pixels).double() / 255 - torch.tensor(MEAN).double()) / torch.tensor(STD).double()
rgb = rgb.permute(0, 3, 1, 2)

common.give_statistics(net, rgb)
net = net.float().double()  # What the file can hold.

state = {}
for conv, bn, unit in net.layers():
    state[f"{conv}.weight"] = unit.conv.weight
    for key, value in unit.bn.state_dict().items():
        state[f"{bn}.{key}"] = value
state["fc.weight"] = torch.randn(CLASSES, net.features)
state["fc.bias"] = torch.randn(CLASSES)
state = {name: value.detach().numpy() for name, value in state.items()}
state = {name: v if v.dtype == np.int64 else v.astype(np.float32) for name, v in state.items()}
save_file(state, HERE / "resnet50_width4.safetensors")

golden = {"features": common.features(net, rgb), "pixels": pixels}
golden |= {"mean": np.float32(MEAN), "std": np.float32(STD)}
save_file(golden, HERE / "torchvision.safetensors")
