"""The error of a wrong input."""


class Fault(Exception):
    """A wrong input: what, where, what to do."""
