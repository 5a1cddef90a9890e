"""``@parameterPack``: several values under one parameter."""

from __future__ import annotations

import typing
from collections.abc import Callable
from typing import Any

from .annotations import Default, Validator, findFirstAnnotation, splitAnnotations


def parameterPack(kind: type | None = None) -> Any:
    """Class decorator; members become checked properties that report their changes."""
    return _processPack if kind is None else _processPack(kind)


def isParameterPack(kind: Any) -> bool:
    return bool(getattr(kind, "_isParameterPack", False))


def _processPack(kind: type) -> type:
    hints = typing.get_type_hints(kind, include_extras=True)
    defaults = {name: _default(kind, name, hint) for name, hint in hints.items()}
    for name, hint in hints.items():
        setattr(kind, name, _member(name, splitAnnotations(hint)[1]))

    def initialise(self: Any, *arguments: Any, **named: Any) -> None:
        vars(self).update(_values=dict(defaults), _changed=None)
        for name, value in {**dict(zip(hints, arguments, strict=False)), **named}.items():
            self.setValue(name, value)

    kind.memberTypes = {name: splitAnnotations(hint)[0] for name, hint in hints.items()}
    kind.allParameters = dict(hints)
    kind._isParameterPack = True
    kind.__init__ = initialise
    kind.__eq__ = lambda self, other: isinstance(other, kind) and self._values == other._values
    kind.__hash__ = None
    kind.__setattr__ = _setAttribute
    kind.getValue = _getValue
    kind.setValue = _setValue
    kind.onChanged = _onChanged
    kind.dataType = staticmethod(lambda name: hints[name])
    return kind


def _setAttribute(self: Any, name: str, value: Any) -> None:
    if name not in self.memberTypes:
        raise AttributeError(f"{type(self).__name__} has no attribute '{name}' and attributes cannot be added")
    object.__setattr__(self, name, value)


def _getValue(self: Any, name: str) -> Any:
    return getattr(self, name)


def _setValue(self: Any, name: str, value: Any) -> None:
    if name not in self.memberTypes:
        raise ValueError(f"{type(self).__name__} has no member {name}")
    setattr(self, name, value)


def _onChanged(self: Any, report: Callable[[Any], None]) -> None:
    vars(self)["_changed"] = report


def _default(kind: type, name: str, hint: Any) -> Any:
    if hasattr(kind, name):
        return getattr(kind, name)
    from .serializers import createSerializer

    bare, annotations = splitAnnotations(hint)
    given = findFirstAnnotation(annotations, Default)
    return createSerializer(bare, []).defaultValue if given is None else given.value


def _member(name: str, annotations: list[Any]) -> property:
    checks = [a for a in annotations if isinstance(a, Validator)]

    def assign(self: Any, value: Any) -> None:
        for check in checks:
            check.validate(value)
        self._values[name] = value
        if self._changed is not None:
            self._changed(self)

    return property(lambda self: self._values[name], assign)
