"""Golden values of tests/ops/ema.rs: run `python3 tests/golden/ema.py`.

Averages of two parameters after each of six changes, by torch.optim.swa_utils.AveragedModel with
get_ema_multi_avg_fn, computed in float64.
"""

from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file

STEPS, DECAY = 6, 0.9
SIZES = {"weight": 12, "bias": 5}

rng = np.random.default_rng(7)
values = {name: rng.standard_normal((1 + STEPS, n)).astype(np.float32) for name, n in SIZES.items()}
model = torch.nn.ParameterDict(
    {name: torch.nn.Parameter(torch.tensor(values[name][0], dtype=torch.float64)) for name in SIZES}
)
average = torch.optim.swa_utils.AveragedModel(
    model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(DECAY)
)
# The first call copies the weights.
average.update_parameters(model)
averages = {name: [] for name in SIZES}
for step in range(1, 1 + STEPS):
    with torch.no_grad():
        for name, p in model.items():
            p.copy_(torch.tensor(values[name][step]))
    average.update_parameters(model)
    for name in SIZES:
        averages[name].append(average.module[name].detach().numpy().copy())

out = {f"values.{name}": values[name] for name in SIZES}
out |= {f"average.{name}": np.stack(averages[name]).astype(np.float32) for name in SIZES}
save_file(out, Path(__file__).with_suffix(".safetensors"))
