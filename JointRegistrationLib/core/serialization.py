"""JSON as the saved form of configurations, of this package's and of training's, and of what passes to the worker.

Unknown names and wrong types are errors that say what is known. Imports no PyTorch, like ``config``.
"""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from typing import Any, TypeVar

import numpy as np

from .errors import ConfigError

T = TypeVar("T")


def to_dict(config: Any) -> dict[str, Any]:
    """A configuration as plain dictionaries, lists and numbers."""
    return dataclasses.asdict(config)


def to_json(config: Any) -> str:
    """A configuration as indented JSON."""
    return json.dumps(to_dict(config), indent=2) + "\n"


def from_dict(cls: type[T], values: Any, path: str = "") -> T:
    """Build configuration ``cls`` from plain values; missing ones keep their default.

    Any other dataclass of such values is built too; a list becomes a float64 array where one is declared.

    Raises:
        ConfigError: for an unknown name, a wrong type or a value out of range.
    """
    where = path or cls.__name__
    if not isinstance(values, dict):
        raise ConfigError(f"{where}: a JSON object is needed, but {values!r} was given")
    hints = typing.get_type_hints(cls)
    unknown = sorted(set(values) - set(hints))
    if unknown:
        raise ConfigError(f"{where}: unknown setting {unknown[0]!r}; known are {', '.join(hints)}")
    return cls(**{name: converted(hints[name], value, f"{where}.{name}") for name, value in values.items()})


def from_json(cls: type[T], text: str) -> T:
    """Build configuration ``cls`` from JSON text; see :func:`from_dict`."""
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{cls.__name__}: not valid JSON: {error}") from error
    return from_dict(cls, values)


def converted(hint: Any, value: Any, path: str) -> Any:
    """A plain value as the type ``hint``.

    Raises:
        ConfigError: for a wrong type; ``path`` is what the message calls it.
    """
    if dataclasses.is_dataclass(hint):
        return from_dict(typing.cast(type, hint), value, path)
    origin = typing.get_origin(hint)
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise ConfigError(f"{path}: a list is needed, but {value!r} was given")
        arguments = typing.get_args(hint)
        return tuple(converted(arguments[0], v, path) for v in value)
    if origin is np.ndarray:
        return value if isinstance(value, np.ndarray) else np.asarray(value, dtype=np.float64)
    if origin in (typing.Union, types.UnionType):
        inner = [a for a in typing.get_args(hint) if a is not type(None)]
        return None if value is None else converted(inner[0], value, path)
    hint = origin or hint
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return _finite_float(value, path)
    if not isinstance(value, hint) or (hint in (int, float) and isinstance(value, bool)):
        raise ConfigError(f"{path}: {hint.__name__} is needed, but {value!r} was given")
    return value


def _finite_float(value: int, path: str) -> float:
    try:
        return float(value)
    except OverflowError as error:
        raise ConfigError(f"{path}: a number of {len(str(value)[:400])} digits or more is too large") from error
