"""Folds of a map, J <= 0, as a list with places and sizes, a table, and a view that can go to each."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from .nodes.jacobian import foldsSegmentation
from .open_view import OpenView, opening
from .pauses import inThread
from .translation import _

if TYPE_CHECKING:
    from .run.registration_nodes import RegistrationOutputs

from .measure.folds import foldsOf, foldsTableNode

FOLDS_TEXT = _(
    "Folds, bright yellow: there the map turns space inside out, which tissue cannot do. Neither the map nor a "
    "measure near a fold can be trusted."
)


def foldSteps(scene: Any, outputs: RegistrationOutputs) -> Generator[None, None, OpenView]:
    """Show the folds as opaque areas, and list them in a table: ``nodes["table"]`` of the view."""
    result, made = outputs.result, outputs.nodes.folds
    with opening(scene, "folds", FOLDS_TEXT) as view:
        name = f"{outputs.inputs.moving.GetName()} to {outputs.inputs.fixed.GetName()} (folds)"
        found = yield from inThread(lambda: foldsOf(result.jacobian_determinant, result.fixed_grid))
        view.add("table", foldsTableNode(found, name))
        yield
        if made is None or made.GetScene() is not scene:
            made = foldsSegmentation(result.jacobian_determinant, result.fixed_grid, name)
            view.giveDisplay(made, "vtkMRMLSegmentationDisplayNode")
            view.add("folds", made)
        display = made.GetDisplayNode()
        for get, setter, value in (
            (display.GetVisibility, display.SetVisibility, 1),
            (display.GetVisibility2DFill, display.SetVisibility2DFill, True),
            (display.GetOpacity2DFill, display.SetOpacity2DFill, 1.0),
        ):
            view.record.change(display, get, setter, value)
    return view
