"""The error of a wrong input, and settings that this program does not know."""


class Fault(Exception):
    """A wrong input: what, where, what to do."""


def known(table, section, key, *values):
    """The value of a setting, one of `values`; the first where it is absent."""
    value = table.get(key, values[0])
    if value not in values:
        raise Fault(f"{section}.{key} is {value}, which this program does not know")
    return value
