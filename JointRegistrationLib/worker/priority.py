"""The worker's priority where the application has put itself last.

Slicer's background thread lowers the process it runs in, which on Linux is its main thread alone: to niceness 19, and
child processes inherit that. Beside a busy program such a process gets about a sixtieth of a core's time.
"""

from __future__ import annotations

import contextlib
import os

#: What the environment of the worker tells it: the niceness to take.
NICENESS = "JOINT_REGISTRATION_NICENESS"
_LAST = 19


def wanted_niceness() -> int | None:
    """The niceness with which this process was started, if it has put itself last since; else None.

    It is taken to be that of the parent process: who starts an application at 19 wants it there.
    """
    if not hasattr(os, "getpriority"):  # Windows
        return None
    try:
        own, started = (os.getpriority(os.PRIO_PROCESS, pid) for pid in (0, os.getppid()))
    except OSError:
        return None
    return started if own >= _LAST > started else None


def take_niceness() -> None:
    """Take the niceness that the environment names, where the system allows it: mostly not without a right to."""
    wanted = os.environ.get(NICENESS)
    if wanted is not None and hasattr(os, "setpriority"):
        with contextlib.suppress(OSError, ValueError):
            os.setpriority(os.PRIO_PROCESS, 0, int(wanted))
