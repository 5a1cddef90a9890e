"""``object.connect("signal(types)", f)`` and its undoing, as PythonQt has them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

from PySide6 import QtCore

_connectSignal = QtCore.QObject.connect
_disconnectSignal = QtCore.QObject.disconnect
#: Connections that were refused; the application only prints a line, so a test has to look here.
refused: list[str] = []
#: (object's address, signature, slot) to what is really connected, for disconnect().
_delivered: dict[tuple[int, str, Any], Callable[..., None]] = {}


def connect(sender: QtCore.QObject, signal: str, *target: Any) -> bool:
    """Connect ``signal`` to a callable, or to a receiver and its slot's name.

    Returns:
        Whether it is connected; a signature that the object does not have gives False.
    """
    signature = QtCore.QMetaObject.normalizedSignature(signal.lstrip("12")).data().decode()
    slot = target[0] if len(target) == 1 else getattr(target[0], target[1].lstrip("12").partition("(")[0])
    found = _signalOf(sender, signature)
    if found is None:
        refused.append(f"no such signal {type(sender).__name__}::{signature} ({sender.objectName})")
        return False
    count = 0 if signature.endswith("()") else signature.count(",") + 1
    deliver = _deliverer(slot, count)
    found.connect(deliver)
    _delivered[(id(sender), signature, slot)] = deliver
    return True


def disconnect(sender: QtCore.QObject, signal: str, *target: Any) -> bool:
    """Undo :func:`connect` with the same arguments; False if there was no such connection."""
    signature = QtCore.QMetaObject.normalizedSignature(signal.lstrip("12")).data().decode()
    slot = target[0] if len(target) == 1 else getattr(target[0], target[1].lstrip("12").partition("(")[0])
    deliver = _delivered.pop((id(sender), signature, slot), None)
    found = _signalOf(sender, signature)
    if deliver is None or found is None:
        return False
    return bool(found.disconnect(deliver))


def _signalOf(sender: QtCore.QObject, signature: str) -> Any:
    """The bound signal of that signature, or None."""
    name = signature.partition("(")[0]
    declared = getattr(type(sender), "_pythonQtSignals", {})
    if signature in declared:
        return getattr(sender, declared[signature])
    if sender.metaObject().indexOfSignal(signature) < 0:
        return None
    signal = getattr(sender, name)
    types = re.search(r"\((.*)\)", signature).group(1)
    if types and "[" not in types and not types.count(","):
        try:
            return signal[{"QString": str, "double": float, "int": int, "bool": bool}[types]]
        except (KeyError, IndexError):
            return signal
    return signal


def _deliverer(slot: Callable[..., Any], count: int) -> Callable[..., None]:
    """Calls ``slot`` with what the signature carries, or with less if the slot takes less."""
    accepted = _accepted(slot)

    def deliver(*arguments: Any) -> None:
        carried = arguments[:count]
        slot(*(carried if accepted is None else carried[:accepted]))

    return deliver


def _accepted(slot: Callable[..., Any]) -> int | None:
    """How many positional arguments ``slot`` takes; None for any number, or where Python cannot say."""
    try:
        parameters = inspect.signature(slot).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return None
    return sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)
