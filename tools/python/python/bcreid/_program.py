"""The programs `bcreid` and `bcreid-convert`.

They run in this process, on the library of the module. Before they start, the process gets what a program without
Python has, so that signals, exit statuses and closed files are the same."""

from __future__ import annotations

import os
import signal
import sys

from ._bcreid import run_program


def _run(name: str) -> None:
    # Python raises KeyboardInterrupt at Ctrl-C, which a program that does not return to Python would never see. A
    # signal that the parent ignores (nohup, a background job) stays ignored.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    # Python ignores the signal of a file beyond the limit of its size.
    if hasattr(signal, "SIGXFSZ"):
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    # A file that is opened while standard output is closed must not become standard output.
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    run_program(name, [name, *sys.argv[1:]])


def bcreid() -> None:
    """Runs `bcreid` with the arguments of the command line and ends the process."""
    _run("bcreid")


def bcreid_convert() -> None:
    """Runs `bcreid-convert` with the arguments of the command line and ends the process."""
    _run("bcreid-convert")
