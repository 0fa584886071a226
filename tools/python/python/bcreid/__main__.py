"""`python -m bcreid`: the program `bcreid`."""

from ._program import bcreid

bcreid()
