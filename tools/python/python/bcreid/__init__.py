"""Runs, features, evaluation and feature extraction of bcreid: person re-identification.

Every error of bcreid is an `Error` whose text says what is wrong, where, and how to fix it; an argument of a wrong type
is Python's `TypeError`, and a number beyond 64 bits its `OverflowError`. Nothing here starts another
process; computations run without the interpreter's lock, and Ctrl-C ends them.
"""

from ._bcreid import (
    Error,
    Evaluation,
    Extractor,
    Features,
    Run,
    __version__,
    evaluate,
    extract,
    read_features,
)

__all__ = [
    "Error",
    "Evaluation",
    "Extractor",
    "Features",
    "Run",
    "__version__",
    "evaluate",
    "extract",
    "read_features",
]
