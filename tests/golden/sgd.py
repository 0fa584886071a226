"""Golden values of tests/ops/sgd.rs: run `python3 tests/golden/sgd.py`.

Six steps of two parameters, the rate divided by ten half-way: by torch.optim.SGD without and with Nesterov momentum, and by Caffe's solver
written out in NumPy (history = momentum * history + rate * gradient; weights -= history).
"""

from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file

RATES = [0.1, 0.1, 0.1, 0.01, 0.01, 0.01]
MOMENTUM, DECAY = 0.9, 0.05
# Name, size, lr_mult, decay_mult.
GROUPS = [("weight", 12, 1.0, 1.0), ("bias", 5, 2.0, 0.0)]

rng = np.random.default_rng(1)
start = {name: rng.standard_normal(size).astype(np.float32) for name, size, _, _ in GROUPS}
grads = {name: rng.standard_normal((len(RATES), size)).astype(np.float32) for name, size, _, _ in GROUPS}


def torchs(nesterov):
    """Parameters of float64 and their solver."""
    params = {name: torch.tensor(start[name], dtype=torch.float64) for name, *_ in GROUPS}
    groups = [
        {"params": [params[name]], "lr": 0.0, "lr_mult": lr_mult, "weight_decay": DECAY * decay_mult}
        for name, _, lr_mult, decay_mult in GROUPS
    ]
    return params, torch.optim.SGD(groups, momentum=MOMENTUM, nesterov=nesterov)


solvers = {"pytorch": torchs(False), "nesterov": torchs(True)}
history = {name: np.zeros(size) for name, size, _, _ in GROUPS}
caffe = {name: start[name].astype(np.float64) for name, *_ in GROUPS}
steps = {f"{kind}.{name}": [] for kind in [*solvers, "caffe"] for name, *_ in GROUPS}
for step, rate in enumerate(RATES):
    for kind, (params, solver) in solvers.items():
        for group in solver.param_groups:
            group["lr"] = rate * group["lr_mult"]
        for name, p in params.items():
            p.grad = torch.tensor(grads[name][step], dtype=torch.float64)
        solver.step()
        for name, p in params.items():
            steps[f"{kind}.{name}"].append(p.numpy().copy())
    for name, _, lr_mult, decay_mult in GROUPS:
        gradient = grads[name][step] + DECAY * decay_mult * caffe[name]
        history[name] = MOMENTUM * history[name] + rate * lr_mult * gradient
        caffe[name] = caffe[name] - history[name]
        steps[f"caffe.{name}"].append(caffe[name].copy())

out = {key: np.stack(values).astype(np.float32) for key, values in steps.items()}
for name, *_ in GROUPS:
    out |= {f"start.{name}": start[name], f"grads.{name}": grads[name]}
save_file(out, Path(__file__).with_suffix(".safetensors"))
