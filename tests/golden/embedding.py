"""Golden values of embeddings: linear layers, batch normalisation and ReLU on features, in float64.

For each head `KEY.x`, `KEY.y`, `KEY.dy` and `KEY.dx`, `KEY.value.NAME` and `KEY.grad.NAME` of each parameter, and
`KEY.after.NAME` of the running statistics after one forward pass in training, with the names of weight files.
"""

from pathlib import Path

import torch
from safetensors.torch import save_file

BATCH, INPUTS = 6, 7
Linear, Norm, ReLU = torch.nn.Linear, torch.nn.BatchNorm1d, torch.nn.ReLU
torch.set_default_dtype(torch.float64)
torch.manual_seed(5)
HEADS = {
    "trinet": [Linear(INPUTS, 9, bias=False), Norm(9), ReLU(), Linear(9, 4)],
    "torchreid": [Linear(INPUTS, 5, bias=False), Norm(5), ReLU()],
    "layumi": [Linear(INPUTS, 5, bias=False), Norm(5)],
    "svdnet": [Linear(INPUTS, 5, bias=False)],
    "rectified": [Linear(INPUTS, 5), ReLU()],
}

golden = {}
for key, modules in HEADS.items():
    head = torch.nn.Sequential(*modules)
    for parameter in head.parameters():
        # Exact in float32, and far from the usual 1 and 0 of a normalisation.
        parameter.data = torch.randn(parameter.shape).float().double()
    x = torch.randn(BATCH, INPUTS).float().double().requires_grad_()
    for name, parameter in head.named_parameters():
        golden[f"{key}.value.embedding.{name}"] = parameter.detach().clone()
    y = head(x)
    dy = torch.randn(y.shape).float().double()
    y.backward(dy)
    golden |= {f"{key}.x": x.detach(), f"{key}.y": y.detach(), f"{key}.dy": dy, f"{key}.dx": x.grad}
    for name, parameter in head.named_parameters():
        golden[f"{key}.grad.embedding.{name}"] = parameter.grad
    for name, buffer in head.named_buffers():
        if not name.endswith("num_batches_tracked"):
            golden[f"{key}.after.embedding.{name}"] = buffer
save_file({name: tensor.float().contiguous() for name, tensor in golden.items()}, Path(__file__).with_suffix(".safetensors"))
