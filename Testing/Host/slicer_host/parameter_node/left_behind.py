"""Observers of connectGui that outlive the panel: up to Slicer 5.10 disconnectGui does not remove them.

After *Reload* has replaced the module's Python files, the next change of the parameter node calls one, and Slicer 5.6.2
ends by a segmentation fault. Here the call is an error, which fails the test.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any


def alive(wrapper: Any, callback: Callable[[], None]) -> Callable[..., None]:
    """``callback`` for an observer; an error once the module that ``wrapper``'s class came from was replaced."""
    name = type(wrapper).__module__
    source = sys.modules.get(name)

    def call(*_: object) -> None:
        if sys.modules.get(name) is not source:
            raise RuntimeError(f"an observer that connectGui added before {name} was reloaded: Slicer 5.6.2 crashes")
        callback()

    return call
