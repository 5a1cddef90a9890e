"""What a run says in numbers: the overlap of segments, and all figures as a table node."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import vtk

from JointRegistrationLib.result import RegistrationResult

from .nodes import newNode
from .segmentations import LabelLayers, labelsFromSegmentation, warpSegmentation


@dataclass(frozen=True)
class Overlap:
    """Dice of a moving segment with the fixed one of the same name: as the images lay, and registered."""

    name: str
    before: float
    after: float


def segmentOverlaps(fixed: Any, moving: Any, result: RegistrationResult, below: Any = None) -> tuple[Overlap, ...]:
    """The overlap of the segments that both segmentations have, by name, in the fixed one's order.

    Args:
        fixed, moving: segmentation nodes; none if either is None.
        result: of the registration; overlap is measured on its fixed grid.
        below: a transform node to leave out, see :func:`.nodes.worldTransform`.

    Raises:
        InputError: if a node is no segmentation, or is empty.
    """
    if fixed is None or moving is None:
        return ()
    grid = result.fixed_grid
    there = _bySegmentName(labelsFromSegmentation(fixed, grid, below=below))
    before = _bySegmentName(labelsFromSegmentation(moving, grid, below=below))
    after = _bySegmentName(warpSegmentation(moving, result.displacement_field_mm, grid, below=below))
    return tuple(
        Overlap(name, _dice(mask, before[name]), _dice(mask, after[name]))
        for name, mask in there.items()
        if name in after
    )


def _bySegmentName(labels: LabelLayers) -> dict[str, Any]:
    return {segment.name: labels.layers[segment.layer] == segment.value for segment in labels.segments}


def _dice(first: Any, second: Any) -> float:
    """2 |A and B| / (|A| + |B|); nan if both are empty."""
    size = int(np.count_nonzero(first)) + int(np.count_nonzero(second))
    return 2 * int(np.count_nonzero(first & second)) / size if size else float("nan")


def resultsTableNode(result: RegistrationResult, overlaps: Sequence[Overlap], name: str) -> Any:
    """A new table node, in no scene yet: figure, value, and what it means."""
    node = newNode("vtkMRMLTableNode", name)
    rows = tableRows(result, overlaps)
    table = vtk.vtkTable()
    for index, title in enumerate(("Figure", "Value", "Meaning")):
        column = vtk.vtkStringArray()
        column.SetName(title)
        for row in rows:
            column.InsertNextValue(row[index])
        table.AddColumn(column)
    node.SetAndObserveTable(table)
    node.SetUseColumnTitleAsColumnHeader(True)
    node.SetLocked(True)
    return node


def tableRows(result: RegistrationResult, overlaps: Sequence[Overlap] = ()) -> list[tuple[str, str, str]]:
    """Figure, value and meaning of each row."""
    values = result.summary()
    rows: list[tuple[str, Any, str]] = [
        ("method", values["method"], ""),
        ("device", values["device"], ""),
        ("NCC before", values["ncc_before"], "correlation of the images as they lay; 1 is perfect"),
        ("NCC after", values["ncc_after"], "correlation of the fixed image and the warped one"),
        ("folds", values["folds"], "lattice points with a Jacobian determinant not above 0"),
        ("folds (%)", values["folds_percent"], "of all lattice points"),
        ("Jacobian, least", values["jacobian_min"], "moving / fixed volume"),
        ("Jacobian, greatest", values["jacobian_max"], "moving / fixed volume"),
        ("displacement, mean (mm)", values["displacement_mean_mm"], "affine part included"),
        ("inverse error, mean (mm)", values["inverse_error_mean_mm"], "round trip fixed, moving, fixed"),
        ("inverse error, greatest (mm)", values["inverse_error_max_mm"], "round trip fixed, moving, fixed"),
    ]
    for overlap in overlaps:
        rows.append((f"Dice before, {overlap.name}", overlap.before, "overlap as the images lay; 1 is perfect"))
        rows.append((f"Dice after, {overlap.name}", overlap.after, "overlap with the warped segment"))
    rows += [(f"time, {stage} (s)", seconds, "") for stage, seconds in values["timings_s"].items()]
    rows += [("note", note, "") for note in values["notes"]]
    return [
        (name, f"{value:.6g}" if isinstance(value, float) else str(value), meaning) for name, value, meaning in rows
    ]
