"""The optimisers of `bcreid train`: SGD in two conventions, written here, and the Adam family, which is `torch.optim`'s.

Both take the gradients of a step and its learning rate, and name their states as checkpoints do.
"""

import numpy as np
import torch

from batches import Fault

# Kinds of state in a checkpoint, each a folder of names: momentum/conv1.weight.
KINDS = ("momentum", "exp_avg", "exp_avg_sq", "max_exp_avg_sq")


def is_new(name):
    """Whether a parameter has the learning rate of the classifier."""
    return name.startswith(("fc.", "bottleneck.", "embedding.", "pool.", "verification.", "attributes."))


def f32(value):
    return float(np.float32(value))


class Momentum:
    def __init__(self, named, solver):
        if solver.get("nesterov", False):
            raise Fault("solver.nesterov is true, which this program does not compute")
        self.named, self.solver = named, solver
        self.velocities = {name: torch.zeros_like(p) for name, p in named}

    def states(self):
        for name, velocity in self.velocities.items():
            yield f"momentum/{name}", velocity

    def begin(self, step):
        """The states are those before step `step`, from 0."""

    @torch.no_grad()
    def step(self, gradients, rate):
        momentum, decay, head_rate = (f32(self.solver[key]) for key in ("momentum", "weight_decay", "head_rate"))
        for (name, parameter), gradient in zip(self.named, gradients):
            own_rate = rate * head_rate if is_new(name) else rate
            gradient = gradient + decay * parameter
            velocity = self.velocities[name]
            if self.solver["convention"] == "caffe":
                velocity.mul_(momentum).add_(own_rate * gradient)
                parameter -= velocity
            else:
                velocity.mul_(momentum).add_(gradient)
                parameter -= own_rate * velocity


class Adam:
    """torch.optim.Adam or AdamW, whose states are filled so that they can be loaded before the first step."""

    def __init__(self, named, solver):
        self.named, kind = named, solver["optimizer"]
        groups = [
            {"params": [p for name, p in self.named if is_new(name) == new], "share": share}
            for new, share in ((False, 1.0), (True, f32(solver["head_rate"])))
        ]
        constants = {
            "betas": (solver["beta1"], solver["beta2"]),
            "eps": f32(solver["epsilon"]),
            "weight_decay": f32(solver["weight_decay"]),
            "foreach": False,
        }
        if kind == "adamw":
            self.own = torch.optim.AdamW(groups, **constants)
        else:
            self.own = torch.optim.Adam(groups, amsgrad=kind == "amsgrad", **constants)
        self.kinds = KINDS[1:4] if kind == "amsgrad" else KINDS[1:3]
        for _, parameter in self.named:
            self.own.state[parameter] = {kind: torch.zeros_like(parameter) for kind in self.kinds}

    def states(self):
        for kind in self.kinds:
            for name, parameter in self.named:
                yield f"{kind}/{name}", self.own.state[parameter][kind]

    def begin(self, step):
        for _, parameter in self.named:
            self.own.state[parameter]["step"] = torch.tensor(float(step))

    def step(self, gradients, rate):
        for (_, parameter), gradient in zip(self.named, gradients):
            parameter.grad = gradient
        for group in self.own.param_groups:
            group["lr"] = rate * group["share"]
        self.own.step()


def of(named, solver):
    """The optimiser of the settings [solver] for (name, parameter)s."""
    kind = solver.get("optimizer", "sgd")
    if kind == "sgd":
        return Momentum(named, solver)
    if kind in ("adam", "amsgrad", "adamw"):
        return Adam(named, solver)
    raise Fault(f"solver.optimizer is {kind}, which this program does not compute")
