"""Observers of connectGui that outlive their wrapper.

In the application they end the process: VTK lets Python's collector take the callback of a wrapper apart that nothing
refers to any more, and the next change of the parameter node calls it. Up to 5.10 disconnectGui does not remove them,
so that forgetting the wrapper after it is enough (seen in 5.6.2 after *Reload*). Here the call is an error.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable


def alive(method: Callable[[], None]) -> Callable[..., None]:
    """``method`` for an observer; an error once its object is gone."""
    reference = weakref.WeakMethod(method)

    def call(*_: object) -> None:
        found = reference()
        if found is None:
            raise RuntimeError("an observer of connectGui outlived its parameterNodeWrapper: Slicer crashes here")
        found()

    return call
