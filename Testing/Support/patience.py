"""How long a test waits for what should come: a guard against hanging, never a measure of speed.

``patient(seconds)`` takes what a wait lasts at most on a machine with nothing else to do. Speed itself is measured by
``make bench`` (Testing/Benchmarks/speed_limits.py).
"""

from __future__ import annotations

import os

#: Times longer than on an idle machine. The environment variable is for somebody who wants a hang told sooner.
PATIENCE = float(os.environ.get("JOINTREG_TEST_PATIENCE", "30"))


def patient(seconds: float) -> float:
    """Seconds after which a test may say that something hangs."""
    return seconds * PATIENCE
