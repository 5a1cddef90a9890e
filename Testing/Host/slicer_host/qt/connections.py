"""``object.connect("signal(types)", f)`` and its undoing, as PythonQt has them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

from PySide6 import QtCore

from .recorded_api import signalsOf

_connectSignal = QtCore.QObject.connect
_disconnectSignal = QtCore.QObject.disconnect
#: Connections that were refused; the application only prints a line, so a test has to look here.
refused: list[str] = []
#: (object's address, signature, slot) to what is really connected, for disconnect().
_delivered: dict[tuple[int, str, Any], Callable[..., None]] = {}


def connect(sender: QtCore.QObject, signal: Any, *target: Any) -> bool:
    """Connect ``signal`` to a callable, or to a receiver and its slot's name.

    Returns:
        Whether it is connected; a signature that the object does not have gives False.
    """
    if not isinstance(signal, str):  # PySide6 itself: from one object to another, by its own signatures
        return bool(_connectSignal(signal, *target))
    signature, slot = _signature(signal), _slot(*target)
    found = _signalOf(sender, signature)
    if found is None:
        refused.append(f"no such signal {type(sender).__name__}::{signature} ({sender.objectName})")
        return False
    count = 0 if signature.endswith("()") else signature.count(",") + 1
    deliver = _deliverer(slot, count)
    found.connect(deliver)
    _delivered[(id(sender), signature, slot)] = deliver
    return True


def disconnect(sender: QtCore.QObject, signal: Any, *target: Any) -> bool:
    """Undo :func:`connect` with the same arguments; False if there was no such connection."""
    if not isinstance(signal, str):
        return bool(_disconnectSignal(signal, *target))
    signature, slot = _signature(signal), _slot(*target)
    deliver = _delivered.pop((id(sender), signature, slot), None)
    found = _signalOf(sender, signature)
    if deliver is None or found is None:
        return False
    return bool(found.disconnect(deliver))


def disconnectAll(sender: QtCore.QObject) -> None:
    """Undo every connection that was made to ``sender`` by :func:`connect`."""
    for owner, signature, slot in [key for key in _delivered if key[0] == id(sender)]:
        found = _signalOf(sender, signature)
        if found is not None:
            found.disconnect(_delivered[(owner, signature, slot)])
        del _delivered[(owner, signature, slot)]


def _signature(signal: str) -> str:
    return QtCore.QMetaObject.normalizedSignature(signal).data().decode()


def _slot(receiver: Any, name: str | None = None) -> Callable[..., Any]:
    return receiver if name is None else getattr(receiver, name.partition("(")[0])


def _signalOf(sender: QtCore.QObject, signature: str) -> Any:
    """The bound signal of that signature, or None."""
    name = signature.partition("(")[0]
    recorded = signalsOf(type(sender).__name__)
    if recorded is not None and signature not in recorded:
        return None
    declared = getattr(type(sender), "_pythonQtSignals", {})
    if signature in declared:
        return getattr(sender, declared[signature])
    if sender.metaObject().indexOfSignal(signature) < 0:
        return None
    signal = getattr(sender, name)
    if isinstance(signal, ExitCodeSignal):
        signal = signal._signal
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
        warped = arguments[:count]
        slot(*(warped if accepted is None else warped[:accepted]))

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


class ExitCodeSignal:
    """``process.finished``: by attribute PythonQt gives the overload that carries the exit code alone."""

    def __init__(self, signal: QtCore.SignalInstance) -> None:
        self._signal = signal

    def connect(self, slot: Callable[..., Any]) -> bool:
        deliver = _deliverer(slot, 1)
        self._signal.connect(deliver)
        _delivered[(id(self._signal), "finished(int)", slot)] = deliver
        return True

    def disconnect(self, slot: Callable[..., Any]) -> bool:
        deliver = _delivered.pop((id(self._signal), "finished(int)", slot), None)
        return deliver is not None and bool(self._signal.disconnect(deliver))
