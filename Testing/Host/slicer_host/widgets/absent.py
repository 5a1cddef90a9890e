"""Widgets that the application's own Python names when it is imported, and that the host does not have.

They can be named and compared with; making one is an error.
"""

from __future__ import annotations

from typing import Any

from PySide6 import QtWidgets


def _absent(name: str) -> type:
    def refuse(self: Any, *_: Any) -> None:
        raise NotImplementedError(f"{name}: the host does not have this widget; write a stand-in for it")

    return type(name, (QtWidgets.QWidget,), {"__init__": refuse})


_CTK = ("CheckBox", "CheckablePushButton", "ColorPickerButton", "DirectoryButton", "DoubleRangeSlider", "DoubleSlider")
CTK_WIDGETS = tuple(_absent(f"ctk{name}") for name in _CTK)
QMRML_WIDGETS = tuple(_absent(f"qMRML{name}") for name in ("SpinBox", "RangeWidget"))
