"""The learning rate of a step, as src/train/schedule.rs computes it."""

import math

import numpy as np

import rounds
from fault import known

f32 = np.float32


def ramp(step, length):
    """1/n, 2/n, ..., 1."""
    return f32(step + 1) / f32(length) if step < length else f32(1)


def decay(solver, step):
    """The factor of the learning rate without the warm-up."""
    kind = known(solver, "solver", "schedule", "steps", "cosine", "exponential")
    if kind == "steps":
        return rounds.dropped(f32(1), solver, solver["lr_milestones"], step)
    flat = solver.get("lr_flat", 0)
    way = max(step - flat, 0) / max(solver["iterations"] - flat, 1)
    default = {"cosine": 0.0, "exponential": 1e-3}
    end = float(f32(solver["lr_end"])) / float(f32(solver["lr"])) if "lr_end" in solver else default[kind]
    if kind == "cosine":
        return f32(end + (1 - end) * 0.5 * (1 + math.cos(math.pi * way)))
    return f32(end**way)


def rate(solver, step):
    of_round = rounds.rate(solver, step)
    if of_round is not None:
        return of_round
    start, warmup = solver.get("lr_warmup_start"), solver["lr_warmup"]
    if start is None or step >= warmup:
        warm = ramp(step, warmup)
    else:
        warm = f32(start) + (f32(1) - f32(start)) * (f32(step) / f32(warmup))
    return f32(solver["lr"]) * decay(solver, step) * warm
