"""Which device to compute on, and how much memory that took."""

from __future__ import annotations

import sys

import torch

from ..core.errors import ResourceError


def choose_device(name: str = "auto") -> torch.device:
    """The device called ``name``; ``"auto"`` takes CUDA, then Apple's MPS, then the CPU.

    Raises:
        ResourceError: if a device asked for by name is not there.
    """
    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        return torch.device(next(device for device, there in available.items() if there))
    if not available[name]:
        there = ", ".join(device for device, is_there in available.items() if is_there)
        raise ResourceError(
            f"device {name!r} is not available to this PyTorch ({torch.__version__}); available: {there}; "
            "choose one of these, or 'auto'"
        )
    return torch.device(name)


def peak_memory_mb() -> float | None:
    """Peak resident memory of this process; None where the system does not tell (Windows)."""
    try:
        import resource  # noqa: PLC0415 not on Windows
    except ImportError:
        return None
    unit = 1 if sys.platform == "darwin" else 1024  # bytes on macOS, KiB on Linux
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6, 1)
