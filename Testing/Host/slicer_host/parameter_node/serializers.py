"""How a parameter of each type is kept in a vtkMRMLScriptedModuleNode."""

from __future__ import annotations

import enum
import pathlib
import types
import typing
from collections.abc import Callable
from typing import Any

import slicer

from .annotations import IsInstance, NotNone, Validator
from .packs import isParameterPack

_PATHS = (pathlib.Path, pathlib.PurePath, type(pathlib.Path()), type(pathlib.PurePath()))


class Stored:
    """One parameter as text under its name."""

    def __init__(self, default: Any, toText: Callable[[Any], str], fromText: Callable[[str], Any]) -> None:
        self.defaultValue, self._toText, self._fromText = default, toText, fromText
        self.validators: list[Validator] = []

    def isIn(self, node: Any, name: str) -> bool:
        return bool(node.HasParameter(name))

    def read(self, node: Any, name: str) -> Any:
        return self._fromText(node.GetParameter(name))

    def write(self, node: Any, name: str, value: Any) -> None:
        for validator in self.validators:
            validator.validate(value)
        self._put(node, name, value)

    def _put(self, node: Any, name: str, value: Any) -> None:
        node.SetParameter(name, self._toText(value))


class StoredNode(Stored):
    """A node as a node reference; its empty parameter tells a chosen None from a missing value."""

    def __init__(self, classes: tuple[type, ...]) -> None:
        super().__init__(None, str, str)
        self.validators = [IsInstance(classes)]

    def read(self, node: Any, name: str) -> Any:
        return node.GetNodeReference(name)

    def _put(self, node: Any, name: str, value: Any) -> None:
        node.SetParameter(name, "")
        node.SetNodeReferenceID(name, None if value is None else value.GetID())


class StoredPack(Stored):
    """A parameter pack as one parameter for each of its members, ``pack.member``."""

    def __init__(self, kind: type) -> None:
        super().__init__(kind(), str, str)
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


def nodeClasses(kind: Any) -> tuple[type, ...]:
    """The node classes that a type stands for (a node class, or a union of such, or with None); else ()."""
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        parts = [part for part in typing.get_args(kind) if part is not type(None)]
    else:
        parts = [kind]
    isNode = all(isinstance(part, type) and issubclass(part, slicer.vtkMRMLNode) for part in parts)
    return tuple(parts) if isNode and parts else ()


def createSerializer(kind: Any, validators: list[Validator]) -> Stored:
    """What keeps values of type ``kind``.

    Raises:
        TypeError: the type cannot be kept; the host knows nodes, str, int, float, bool, enums, paths and packs.
    """
    stored = _stored(kind)
    stored.validators = stored.validators + validators
    return stored


def _stored(kind: Any) -> Stored:
    if nodeClasses(kind):
        return StoredNode(nodeClasses(kind))
    if isParameterPack(kind):
        return StoredPack(kind)
    plain = {
        bool: (False, lambda v: "True" if v else "False", lambda t: t == "True", bool),
        int: (0, str, int, int),
        float: (0.0, str, float, (int, float)),
        str: ("", str, str, str),
    }
    if kind in plain:
        default, toText, fromText, accepted = plain[kind]
    elif isinstance(kind, type) and issubclass(kind, enum.Enum):
        default, toText, fromText, accepted = next(iter(kind)), lambda v: v.name, lambda t: kind[t], kind
    elif kind in _PATHS:
        default, toText, fromText, accepted = kind(), str, kind, kind
    else:
        raise TypeError(f"Unable to create serializer for type {kind}")
    stored = Stored(default, toText, fromText)
    stored.validators = [NotNone(), IsInstance(accepted)]
    return stored
