"""Table nodes from columns."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import vtk

from .arrays import newNode


def column(title: str, values: Iterable[Any], kind: Any = vtk.vtkStringArray) -> Any:
    """A named column of ``kind``, a vtkAbstractArray's class."""
    array = kind()
    array.SetName(title)
    for value in values:
        array.InsertNextValue(value)
    return array


def tableNode(name: str, columns: Iterable[Any]) -> Any:
    """A new table node, in no scene yet, that a person cannot change."""
    table = vtk.vtkTable()
    for array in columns:
        table.AddColumn(array)
    node = newNode("vtkMRMLTableNode", name)
    node.SetAndObserveTable(table)
    node.SetUseColumnTitleAsColumnHeader(True)
    node.SetLocked(True)
    return node
