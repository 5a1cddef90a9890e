"""How a parameter of each type is kept in a vtkMRMLScriptedModuleNode."""

from __future__ import annotations

import enum
import pathlib
import types
import typing
from collections.abc import Callable
from typing import Any

import slicer

from ..qt.version import emulatedVersion
from .annotations import Default, IsInstance, NotNone, Validator, findFirstAnnotation, splitAnnotations

_PATHS = (pathlib.Path, pathlib.PurePath, type(pathlib.Path()), type(pathlib.PurePath()))


class Stored:
    """One parameter as text under its name."""

    def __init__(
        self, default: Any, toText: Callable[[Any], str], fromText: Callable[[str], Any], accepted: Any
    ) -> None:
        self.defaultValue, self._toText, self._fromText = default, toText, fromText
        self.accepted = accepted  # what a union tries to write here
        self.validators: list[Validator] = []

    def isIn(self, node: Any, name: str) -> bool:
        return bool(node.HasParameter(name))

    def read(self, node: Any, name: str) -> Any:
        return self._fromText(node.GetParameter(name))

    def validate(self, value: Any) -> None:
        for validator in self.validators:
            validator.validate(value)

    def write(self, node: Any, name: str, value: Any) -> None:
        self.validate(value)
        self._put(node, name, value)

    def remove(self, node: Any, name: str) -> None:
        node.UnsetParameter(name)

    def _put(self, node: Any, name: str, value: Any) -> None:
        node.SetParameter(name, self._toText(value))


class StoredNode(Stored):
    """A node as a node reference; its empty parameter tells a chosen None from a missing value."""

    def __init__(self, kind: type) -> None:
        super().__init__(None, str, str, slicer.vtkMRMLNode)
        self.validators = [IsInstance(kind)]

    def read(self, node: Any, name: str) -> Any:
        return node.GetNodeReference(name)

    def _put(self, node: Any, name: str, value: Any) -> None:
        node.SetParameter(name, "")
        node.SetNodeReferenceID(name, None if value is None else value.GetID())

    def remove(self, node: Any, name: str) -> None:
        super().remove(node, name)
        node.RemoveNodeReferenceIDs(name)


class StoredNone(Stored):
    """The None of a union; nothing else has room for it there."""

    def __init__(self) -> None:
        super().__init__(None, lambda _: "True", lambda _: None, type(None))


class StoredUnion(Stored):
    """One of several types, as ``name.0``, ``name.1`` and so on by the type's place; None only where it is named."""

    def __init__(self, members: list[Stored]) -> None:
        optional = len(members) == 2 and isinstance(members[1], StoredNone)
        super().__init__(None if optional else members[0].defaultValue, str, str, object)
        self.members = dict(enumerate(members))

    def isIn(self, node: Any, name: str) -> bool:
        return any(member.isIn(node, f"{name}.{key}") for key, member in self.members.items())

    def read(self, node: Any, name: str) -> Any:
        held = (key for key, member in self.members.items() if member.isIn(node, f"{name}.{key}"))
        key = next(held)
        return self.members[key].read(node, f"{name}.{key}")

    def _put(self, node: Any, name: str, value: Any) -> None:
        key = self._place(value)
        changing = node.StartModify()
        self.remove(node, name)
        self.members[key].write(node, f"{name}.{key}", value)
        node.EndModify(changing)

    def _place(self, value: Any) -> int:
        refused: Exception = TypeError(f"Unable to write value '{value}' of type '{type(value)}'")
        for key, member in self.members.items():
            if isinstance(value, member.accepted):
                try:
                    member.validate(value)
                    return key
                except (TypeError, ValueError) as error:
                    refused = error
        raise refused

    def remove(self, node: Any, name: str) -> None:
        for key, member in self.members.items():
            member.remove(node, f"{name}.{key}")


class StoredPack(Stored):
    """A parameter pack as one parameter for each of its members, ``pack.member``."""

    def __init__(self, kind: type) -> None:
        super().__init__(kind(), str, str, kind)
        self.kind = kind
        self.members = {name: createSerializer(m, []) for name, m in kind.memberTypes.items()}
        self.validators = [NotNone(), IsInstance(kind)]

    def isIn(self, node: Any, name: str) -> bool:
        return all(member.isIn(node, f"{name}.{key}") for key, member in self.members.items())

    def read(self, node: Any, name: str) -> Any:
        value = self.kind()
        for key, member in self.members.items():
            value.setValue(key, member.read(node, f"{name}.{key}"))
        value.onChanged(lambda changed: self.write(node, name, changed))
        return value

    def _put(self, node: Any, name: str, value: Any) -> None:
        changing = node.StartModify()
        for key, member in self.members.items():
            member.write(node, f"{name}.{key}", value.getValue(key))
        node.EndModify(changing)


def isUnion(kind: Any) -> bool:
    """Whether a type is a union; before Slicer 5.10 only one that is written ``typing.Union[...]``."""
    written = typing.get_origin(kind)
    return written is typing.Union or (written is types.UnionType and emulatedVersion() >= (5, 10))


def nodeClasses(kind: Any) -> tuple[type, ...]:
    """The node classes that a type stands for (a node class, or a union of such, or with None); else ()."""
    parts = [part for part in typing.get_args(kind) if part is not type(None)] if isUnion(kind) else [kind]
    isNode = all(isinstance(part, type) and issubclass(part, slicer.vtkMRMLNode) for part in parts)
    return tuple(parts) if isNode and parts else ()


def createSerializer(kind: Any, validators: list[Validator]) -> Stored:
    """What keeps values of type ``kind``.

    Raises:
        Exception: the type cannot be kept; the host knows nodes, str, int, float, bool, enums, paths and packs.
    """
    stored = _stored(kind)
    stored.validators = stored.validators + validators
    return stored


def _stored(kind: Any) -> Stored:
    if isUnion(kind):
        return StoredUnion([_stored(part) for part in typing.get_args(kind)])
    if kind is type(None):
        return StoredNone()
    if nodeClasses(kind):
        return StoredNode(kind)
    if isParameterPack(kind):
        return StoredPack(kind)
    plain = {
        bool: (False, lambda v: "True" if v else "False", lambda t: t == "True", bool),
        int: (0, str, int, int),
        float: (0, str, float, (int, float)),
        str: ("", str, str, str),
    }
    if kind in plain:
        default, toText, fromText, accepted = plain[kind]
    elif isinstance(kind, type) and issubclass(kind, enum.Enum):
        stored = Stored(next(iter(kind)), lambda v: v.name, lambda t: kind[t], kind)
        stored.validators = [IsInstance(kind)]  # so that None fails as an attribute error
        return stored
    elif kind in _PATHS:
        default, toText, fromText, accepted = kind(), str, kind, kind
    else:
        raise Exception(f"Unable to create serializer for type: {kind}")
    stored = Stored(default, toText, fromText, accepted)
    stored.validators = [NotNone(), IsInstance(accepted)]
    return stored


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
    pass

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
