"""What may stand in ``Annotated[type, ...]`` of a parameter, and the checks that follow from it."""

from __future__ import annotations

import typing
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


class Validator:
    """Base of the checks; ``validate`` raises ValueError or TypeError for a value that is not allowed."""

    def validate(self, value: Any) -> None:
        raise NotImplementedError


class NotNone(Validator):
    def validate(self, value: Any) -> None:
        if value is None:
            raise ValueError("Value must not be None")


class IsInstance(Validator):
    def __init__(self, classtype: Any) -> None:
        self.classtype = classtype

    def validate(self, value: Any) -> None:
        if value is not None and not isinstance(value, self.classtype):
            raise TypeError(f"Value must be of type {self.classtype}, is {type(value)}: {value!r}")


class WithinRange(Validator):
    def __init__(self, minimum: float, maximum: float) -> None:
        if minimum > maximum:
            raise ValueError(f"minimum {minimum} is above maximum {maximum}")
        self.minimum, self.maximum = minimum, maximum

    def validate(self, value: Any) -> None:
        if not self.minimum <= value <= self.maximum:
            raise ValueError(f"Value {value} is not within {self.minimum} to {self.maximum}")


class Minimum(Validator):
    def __init__(self, minimum: float) -> None:
        self.minimum = minimum

    def validate(self, value: Any) -> None:
        if value < self.minimum:
            raise ValueError(f"Value {value} is below {self.minimum}")


class Maximum(Validator):
    def __init__(self, maximum: float) -> None:
        self.maximum = maximum

    def validate(self, value: Any) -> None:
        if value > self.maximum:
            raise ValueError(f"Value {value} is above {self.maximum}")


class Choice(Validator):
    def __init__(self, choices: Iterable[Any]) -> None:
        self.choices = list(choices)

    def validate(self, value: Any) -> None:
        if value not in self.choices:
            raise ValueError(f"Value {value!r} is not one of {self.choices}")


@dataclass
class Default:
    value: Any


@dataclass
class Decimals:
    value: int


@dataclass
class SingleStep:
    value: float


@dataclass
class Label:
    value: str


def splitAnnotations(kind: Any) -> tuple[Any, list[Any]]:
    """The type and its annotations."""
    if typing.get_origin(kind) is typing.Annotated:
        bare, *annotations = typing.get_args(kind)
        return bare, list(annotations)
    return kind, []


def unannotatedType(kind: Any) -> Any:
    return splitAnnotations(kind)[0]


def findFirstAnnotation(annotations: Iterable[Any], kind: type) -> Any:
    return next((a for a in annotations if isinstance(a, kind)), None)
