"""The optimisers of `bcreid train`: SGD in two conventions, written here, and the Adam family, which is `torch.optim`'s.

All take the gradients of a step, None for a parameter that is not trained in it, and its learning rate, and name their
states as checkpoints do.
"""

import numpy as np
import torch
from torch.optim.swa_utils import get_ema_multi_avg_fn

import groups
from fault import known

# Kinds of state in a checkpoint, each a folder of names: momentum/conv1.weight.
KINDS = ("momentum", "exp_avg", "exp_avg_sq", "max_exp_avg_sq")


def f32(value):
    return float(np.float32(value))


class Momentum:
    def __init__(self, named, solver):
        self.named, self.solver = named, solver
        self.convention = known(solver, "solver", "convention", "pytorch", "caffe")
        self.velocities = {name: torch.zeros_like(p) for name, p in named}

    def states(self):
        for name, velocity in self.velocities.items():
            yield f"momentum/{name}", velocity

    def begin(self, step):
        """The states are those before step `step`, from 0."""

    @torch.no_grad()
    def step(self, gradients, rate):
        momentum, decay = (f32(self.solver[key]) for key in ("momentum", "weight_decay"))
        for (name, parameter), gradient in zip(self.named, gradients):
            if gradient is None:
                continue
            of_rate, of_decay = groups.factors(self.solver, name)
            own_rate = rate * of_rate
            gradient = gradient + decay * of_decay * parameter
            velocity = self.velocities[name]
            if self.convention == "caffe":
                velocity.mul_(momentum).add_(own_rate * gradient)
                parameter -= velocity
            else:
                velocity.mul_(momentum).add_(gradient)
                nesterov = self.solver.get("nesterov", False)
                parameter -= own_rate * (gradient + momentum * velocity if nesterov else velocity)


class Adam:
    """torch.optim.Adam or AdamW, whose states are filled so that they can be loaded before the first step."""

    def __init__(self, named, solver):
        self.named, self.solver, kind = named, solver, solver["optimizer"]
        own = []
        for name, parameter in named:
            share, decay = groups.factors(solver, name)
            weight_decay = f32(solver["weight_decay"]) * decay
            own.append({"params": [parameter], "share": share, "weight_decay": weight_decay})
        constants = {"betas": (solver["beta1"], solver["beta2"]), "eps": f32(solver["epsilon"]), "foreach": False}
        if kind == "adamw":
            self.own = torch.optim.AdamW(own, **constants)
        else:
            self.own = torch.optim.Adam(own, amsgrad=kind == "amsgrad", **constants)
        self.kinds = KINDS[1:4] if kind == "amsgrad" else KINDS[1:3]
        for _, parameter in self.named:
            self.own.state[parameter] = {kind: torch.zeros_like(parameter) for kind in self.kinds}

    def states(self):
        for kind in self.kinds:
            for name, parameter in self.named:
                yield f"{kind}/{name}", self.own.state[parameter][kind]

    def begin(self, step):
        for name, parameter in self.named:
            done = max(step - groups.first_step(self.solver, name), 0)
            self.own.state[parameter]["step"] = torch.tensor(float(done))

    def step(self, gradients, rate):
        for (_, parameter), gradient in zip(self.named, gradients):
            parameter.grad = gradient
        for group in self.own.param_groups:
            group["lr"] = rate * group["share"]
        self.own.step()


class Averaged:
    """An optimiser, and PyTorch's exponential moving average of the parameters."""

    def __init__(self, inner, decay):
        self.inner, self.named = inner, inner.named
        self.update = get_ema_multi_avg_fn(f32(decay))
        self.averages = {name: parameter.detach().clone() for name, parameter in self.named}

    def states(self):
        yield from self.inner.states()
        for name, average in self.averages.items():
            yield f"ema/{name}", average

    def begin(self, step):
        self.inner.begin(step)

    def step(self, gradients, rate):
        self.inner.step(gradients, rate)
        parameters = [parameter.detach() for _, parameter in self.named]
        self.update(list(self.averages.values()), parameters, None)


def of(named, solver):
    """The optimiser of the settings [solver] for (name, parameter)s."""
    kind = known(solver, "solver", "optimizer", "sgd", "adam", "amsgrad", "adamw")
    decay = solver.get("ema", 0.0)
    inner = Momentum(named, solver) if kind == "sgd" else Adam(named, solver)
    return Averaged(inner, decay) if decay else inner
