"""Qt properties that hold a value or hand on that of a part."""

from __future__ import annotations

from operator import attrgetter
from typing import Any

from PySide6 import QtCore


def kept(kind: Any, path: str, then: str = "") -> QtCore.Property:
    """A property of type ``kind`` in the attribute ``path``, as ``_text`` or ``_box.minimum``; lists come as tuples.

    Args:
        kind: as Qt names types.
        path: from the widget to the attribute.
        then: the method to call once it is set.
    """
    part, _, name = path.rpartition(".")

    def read(self: Any) -> Any:
        value = attrgetter(path)(self)
        return tuple(value) if isinstance(value, list) else value

    def assign(self: Any, value: Any) -> None:
        setattr(attrgetter(part)(self) if part else self, name, value)
        if then:
            getattr(self, then)()

    return QtCore.Property(kind, read, assign)
