"""Rounds of decomposition, restraint and relaxation (SVDNet), with the singular value decomposition of NumPy."""

import numpy as np
import torch

import groups
import optimizers
from fault import Fault


def position(solver, step):
    """The stage of a step, the number of its round, and the first step of the stage."""
    rounds, start = len(solver.get("svd_lr", [])), solver.get("svd_start", 0)
    if rounds == 0 or step < start:
        return "plain", 0, 0
    restraint = solver["svd_restraint"]
    length = restraint + solver["svd_relaxation"]
    number = min((step - start) // length, rounds - 1)
    begin = start + number * length
    return ("restraint", number, begin) if step < begin + restraint else ("relaxation", number, begin + restraint)


def dropped(rate, solver, milestones, step):
    """The rate after the milestones up to a step, in f32."""
    for _ in range(sum(step >= milestone for milestone in milestones)):
        rate *= np.float32(solver["lr_gamma"])
    return rate


def rate(solver, step):
    """The learning rate of a restraint or a relaxation; none before them."""
    stage, number, first = position(solver, step)
    if stage == "plain":
        return None
    return dropped(np.float32(solver["svd_lr"][number]), solver, solver["svd_lr_milestones"], step - first)


def is_frozen(solver, stage, name, layer):
    if stage == "restraint":
        return name == layer
    return stage == "relaxation" and groups.is_chosen(solver["svd_freeze"], name)


def decomposed(weight):
    """U S of W = U S V^T, whose columns take the places of the nearest columns of W, and their signs. `weight` is the
    transpose of W, as is the result."""
    w = weight.numpy().astype(np.float64).T
    u, s, _ = np.linalg.svd(w, full_matrices=False)
    left, out = u * s, np.zeros_like(w)
    for k in range(w.shape[1]):
        cosines = w[:, k] @ left / np.linalg.norm(w[:, k]) / np.linalg.norm(left, axis=0)
        nearest = int(np.abs(cosines).argmax())
        out[:, k] = left[:, nearest] * np.sign(cosines[nearest])
        left = np.delete(left, nearest, axis=1)
    return torch.from_numpy(out.T.copy()).to(weight.dtype)


def begin(trainer, step, is_first):
    """Begins the stage whose first step is `step`, if there is one: decomposes the layer and starts a new optimiser."""
    solver = trainer.settings.solver
    stage, _, first = position(solver, step)
    if stage == "plain":
        return
    if first != step:
        if is_first:
            raise Fault(f"step {step} lies in a {stage}; give a checkpoint from before the rounds of solver.svd_lr")
        return
    layer = [name for name, _ in trainer.named() if name.startswith("embedding.")][-1]
    if stage == "restraint":
        with torch.no_grad():
            parameter = dict(trainer.named())[layer]
            parameter.copy_(decomposed(parameter.detach()))
    trainer.optimizer = optimizers.of(trainer.named(), solver)
    trainer.optimizer.begin(0)


def frozen(trainer, step):
    """The names of the parameters that the stage of a step freezes."""
    solver = trainer.settings.solver
    stage, _, _ = position(solver, step)
    names = [name for name, _ in trainer.named()]
    layer = [name for name in names if name.startswith("embedding.")][-1:]
    return {name for name in names if stage != "plain" and is_frozen(solver, stage, name, layer[0])}
