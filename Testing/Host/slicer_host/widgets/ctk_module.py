"""The module ``ctk``."""

from __future__ import annotations

import types
from typing import Any

from PySide6 import QtWidgets

from . import absent
from .buttons import ctkCollapsibleButton, ctkMenuButton
from .combos import ctkCheckableComboBox, ctkComboBox, ctkPathLineEdit
from .sliders import ctkDoubleSpinBox, ctkRangeWidget, ctkSliderWidget


class ctkMessageBox(QtWidgets.QMessageBox):
    """The message box that slicer.util shows."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)


WIDGETS = (
    ctkCheckableComboBox,
    ctkCollapsibleButton,
    ctkComboBox,
    ctkDoubleSpinBox,
    ctkMenuButton,
    ctkPathLineEdit,
    ctkRangeWidget,
    ctkSliderWidget,
)


def makeCtkModule() -> types.ModuleType:
    """The module, with the widgets that the host has."""
    module = types.ModuleType("ctk")
    for kind in (*WIDGETS, ctkMessageBox, *absent.CTK_WIDGETS):
        setattr(module, kind.__name__, kind)
    return module
