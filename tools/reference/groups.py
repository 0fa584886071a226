"""Groups of parameters by patterns of their names (src/train/groups.rs): factors, and frozen parameters."""

import re

import numpy as np

# Modules that are new, with the learning rate of the classifier.
NEW = ("fc.", "bottleneck.", "embedding.", "pool.", "verification.", "attributes.")


def matches(name, pattern):
    """* stands for any characters, ? for one; there are no others."""
    parts = (".*" if c == "*" else "." if c == "?" else re.escape(c) for c in pattern)
    return re.fullmatch("".join(parts), name) is not None


def is_chosen(patterns, name):
    """Whether the last of the patterns that match chooses the name; one that begins with ! takes it out."""
    last = [pattern for pattern in patterns if matches(name, pattern.removeprefix("!"))][-1:]
    return bool(last) and not last[0].startswith("!")


def factors(solver, name):
    """The factors on the learning rate and the weight decay of a parameter, in f32."""
    rate = np.float32(solver["head_rate"]) if name.startswith(NEW) else np.float32(1)
    decay = np.float32(1)
    for pattern, factor in solver.get("lr_factors", {}).items():
        rate *= np.float32(factor) if matches(name, pattern) else np.float32(1)
    for pattern, factor in solver.get("decay_factors", {}).items():
        decay *= np.float32(factor) if matches(name, pattern) else np.float32(1)
    return float(rate), float(decay)


def is_frozen(solver, step, name):
    """Whether `solver.freeze` freezes a parameter in a step."""
    length = solver.get("freeze_iterations", 0)
    return (length == 0 or step < length) and is_chosen(solver.get("freeze", []), name)


def first_step(solver, name):
    """The first step from which the optimiser counts for a parameter."""
    return solver.get("freeze_iterations", 0) if is_chosen(solver.get("freeze", []), name) else 0
