"""Colour legends that exist as long as a view is open."""

from __future__ import annotations

from typing import Any

from .nodes.colors import addLegend
from .open_view import OpenView


def addViewLegend(view: OpenView, node: Any, title: str, labelFormat: str) -> Any:
    """A colour legend for a node of the view, where the Jacobian's stands.

    Args:
        view: that is being opened.
        node: displayed node with colours.
        title: what the numbers are.
        labelFormat: of the numbers, as for ``printf``.
    """
    legend = addLegend(node)
    legend.SetSaveWithScene(False)
    legend.SetTitleText(title)
    legend.SetLabelFormat(labelFormat)
    view.nodes["legend"] = legend
    return legend
