"""What the computer has left, and how fast it is."""

from __future__ import annotations

from typing import Any

import qt

from JointRegistrationLib.core.plan import Plan
from JointRegistrationLib.core.system.memory import available_bytes

_KEY = "JointRegistration/secondsPerWork/"

availableMemoryBytes = available_bytes


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
        """Estimate how long ``plan`` is likely to take; None if nothing is known."""
        known = self._settings.value(_KEY + device)
        return plan.seconds if known is None else plan.work * float(known)
