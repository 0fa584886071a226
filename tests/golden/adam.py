"""Golden values of tests/ops/adam.rs: run `python3 tests/golden/adam.py`.

Twenty steps of two parameters by torch.optim.Adam and AdamW in float64, with and without amsgrad; the rate is divided by
ten half-way. The gradients of the second half are smaller, so that AMSGrad's largest mean square differs from the mean
square.
"""

from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file

RATES = [0.1] * 10 + [0.01] * 10
BETAS, EPSILON, DECAY = (0.9, 0.95), 1e-3, 0.05
# Name, size, lr_mult, decay_mult.
GROUPS = [("weight", 12, 1.0, 1.0), ("bias", 5, 2.0, 0.0)]
KINDS = {
    "adam": (torch.optim.Adam, False),
    "amsgrad": (torch.optim.Adam, True),
    "adamw": (torch.optim.AdamW, False),
    "adamw_amsgrad": (torch.optim.AdamW, True),
}
STATES = ["exp_avg", "exp_avg_sq", "max_exp_avg_sq"]

rng = np.random.default_rng(1)
start = {name: rng.standard_normal(size).astype(np.float32) for name, size, _, _ in GROUPS}
size_of_step = np.where(np.arange(len(RATES)) < 10, 1, 0.2)[:, None]
grads = {
    name: (size_of_step * rng.standard_normal((len(RATES), size))).astype(np.float32) for name, size, _, _ in GROUPS
}

out = {}
for kind, (optimizer, amsgrad) in KINDS.items():
    params = {name: torch.tensor(start[name], dtype=torch.float64) for name, *_ in GROUPS}
    groups = [
        {"params": [params[name]], "lr": 0.0, "lr_mult": lr_mult, "weight_decay": DECAY * decay_mult}
        for name, _, lr_mult, decay_mult in GROUPS
    ]
    solver = optimizer(groups, betas=BETAS, eps=EPSILON, amsgrad=amsgrad)
    steps = {name: [] for name in params}
    for step, rate in enumerate(RATES):
        for group in solver.param_groups:
            group["lr"] = rate * group["lr_mult"]
        for name, p in params.items():
            p.grad = torch.tensor(grads[name][step], dtype=torch.float64)
        solver.step()
        for name, p in params.items():
            steps[name].append(p.numpy().copy())
    for name, p in params.items():
        out[f"{kind}.{name}"] = np.stack(steps[name]).astype(np.float32)
        for state in STATES:
            if state in solver.state[p]:
                out[f"{kind}.{state}/{name}"] = solver.state[p][state].numpy().astype(np.float32)
for name, *_ in GROUPS:
    out |= {f"start.{name}": start[name], f"grads.{name}": grads[name]}
save_file(out, Path(__file__).with_suffix(".safetensors"))
