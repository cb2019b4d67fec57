"""Where a network runs and in which precision: what the machine has."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import TYPE_CHECKING

from txt2img._types import StrPath

if TYPE_CHECKING:
    import torch

PRECISIONS = ("auto", "float32", "bfloat16", "float16")


def choose_device(device: str) -> torch.device:
    """Return the torch device of that name; of ``"auto"`` the first of CUDA, MPS and the processor."""
    import torch

    if device != "auto":
        return torch.device(device)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def choose_precision(precision: str, device: torch.device) -> str:
    """Return the name of the type in which a device computes.

    Parameters
    ----------
    precision : {"auto", "float32", "bfloat16", "float16"}
        ``"auto"`` takes ``"bfloat16"`` where the device has instructions for it, ``"float16"`` on other
        devices than the processor, and else ``"float32"``.
    device : torch.device
        Device.

    Returns
    -------
    {"float32", "bfloat16", "float16"}
        Name of a torch dtype.
    """
    import torch

    if precision != "auto":
        return precision
    if device.type == "cpu":
        return "bfloat16" if processor_has_bfloat16() else "float32"
    is_recent = device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)
    return "bfloat16" if is_recent else "float16"


@functools.cache
def processor_has_bfloat16(cpuinfo: StrPath = "/proc/cpuinfo") -> bool:
    """Whether Linux says that the processor multiplies bfloat16; elsewhere it is not known, thus False.

    Without such instructions bfloat16 is emulated and slower than single precision.
    """
    try:
        text = Path(cpuinfo).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    flags = re.search(r"^(?:flags|Features)\s*:(.*)$", text, re.MULTILINE)
    return flags is not None and not {"avx512_bf16", "amx_bf16", "bf16"}.isdisjoint(flags[1].split())
