"""Observers of VTK objects that outlive Python's garbage collection.

VTK tells Python's collector that an object's wrapper owns the observers, which C++ owns: once nothing in
Python refers to the wrapper, the collector takes the callbacks apart though the object lives on in the
scene, and its next event ends the process. So each callback here is kept until its object is deleted.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import vtk

_kept: dict[str, list[Any]] = {}


def observe(owner: Any, event: Any, callback: Callable[..., None], priority: float = 0.0) -> int:
    """``owner.AddObserver(event, callback, priority)`` with the callback kept as long as ``owner``; returns the tag."""
    address = owner.__this__
    if address not in _kept:
        forget = _forgetter(address)
        _kept[address] = [forget]
        owner.AddObserver(vtk.vtkCommand.DeleteEvent, forget)
    _kept[address].append(callback)
    return int(owner.AddObserver(event, callback, priority))


def weakly(method: Callable[..., None]) -> Callable[..., None]:
    """A bound method for an observer or a signal, that does not keep its object alive."""
    reference = weakref.WeakMethod(method)

    def call(*arguments: Any) -> None:
        alive = reference()
        if alive is not None:
            alive(*arguments)

    return call


def _forgetter(address: str) -> Callable[..., None]:
    return lambda *_: _kept.pop(address, None)
