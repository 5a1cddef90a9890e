"""Which device to compute on, and how much memory that took."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ..core.errors import OutOfMemory, ResourceError


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


@contextmanager
def memory_errors(device: torch.device, advice: str) -> Iterator[None]:
    """Within this block, out of memory is an :class:`.OutOfMemory` that says what to do: ``advice``."""
    try:
        yield
    except torch.cuda.OutOfMemoryError as error:
        raise OutOfMemory(f"the GPU ran out of memory; {advice}, or use --device cpu") from error
    except MemoryError as error:
        raise OutOfMemory(f"memory ran out on {device}; {advice}") from error
    except RuntimeError as error:
        if "allocate memory" in str(error) or "out of memory" in str(error):
            raise OutOfMemory(f"memory ran out on {device}; {advice}") from error
        raise


def peak_memory_mb() -> float | None:
    """Peak resident memory of this process; None where the system does not tell (Windows)."""
    try:
        import resource  # noqa: PLC0415 not on Windows
    except ImportError:
        return None
    unit = 1 if sys.platform == "darwin" else 1024  # bytes on macOS, KiB on Linux
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6, 1)
