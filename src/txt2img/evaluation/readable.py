"""Figures for the eye."""

import math


def readable(name: str, value: float, *, signed: bool = False) -> str:
    """Round a figure: recall in per cent, ranks to one decimal."""
    sign = "+" if signed else ""
    if name.startswith("R@"):
        return f"{100 * value:{sign}.1f} %"
    return f"{value:{sign}.3f}" if name == "MRR" else f"{value:{sign},.1f}"


def readable_ends(name: str, ends: tuple[float, float], *, signed: bool = False) -> str:
    """Write an interval; nothing if it is not known."""
    if not all(map(math.isfinite, ends)):
        return ""
    low, high = (readable(name, end, signed=signed) for end in ends)
    return f"{low.removesuffix(' %')} to {high}"


def percent(share: float) -> str:
    """Write a share in per cent."""
    return f"{100 * share:.1f} %"
