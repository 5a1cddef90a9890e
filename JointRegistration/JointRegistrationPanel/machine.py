"""What the computer has left, and how fast it is."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path
from typing import Any

import qt

from JointRegistrationLib.plan import Plan

_KEY = "JointRegistration/secondsPerWork/"


class _MemoryStatus(ctypes.Structure):
    """MEMORYSTATUSEX of Windows."""

    _fields_ = (
        ("length", ctypes.c_ulong),
        ("load", ctypes.c_ulong),
        *((name, ctypes.c_ulonglong) for name in ("total", "free", "a", "b", "c", "d", "e")),
    )


def availableMemoryBytes() -> int | None:
    """Memory that a new process could take; None where the system does not tell without a package (macOS)."""
    if sys.platform == "win32":
        status = _MemoryStatus()
        status.length = ctypes.sizeof(status)
        return int(status.free) if ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status)) else None
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    kilobytes = next((line.split()[1] for line in lines if line.startswith("MemAvailable:")), None)
    return None if kilobytes is None else 1024 * int(kilobytes)


class Speed:
    """How fast this computer is: learnt from runs and kept in the application's settings, by device.

    ``settings``: where to keep it instead, with QSettings' ``value`` and ``setValue``.
    """

    def __init__(self, settings: Any = None) -> None:
        self._settings = settings or qt.QSettings()

    def learn(self, device: str, seconds: float, plan: Plan | None) -> None:
        """A run of ``plan`` took ``seconds``."""
        if plan is not None and plan.work > 0 and seconds > 0:
            self._settings.setValue(_KEY + device, seconds / plan.work)

    def seconds(self, plan: Plan, device: str) -> float | None:
        """How long ``plan`` is likely to take; None if nothing is known."""
        known = self._settings.value(_KEY + device)
        return plan.seconds if known is None else plan.work * float(known)
