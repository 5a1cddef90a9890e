"""The numbers of a run as one table: a row for each segment, cartilage, landmark, and for the whole image."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

from JointRegistrationLib.files.csv_cells import cell

from ..mrml import TableNode
from ..nodes.tables import column, tableNode
from .measurement import Measurement
from .segments import SegmentFigures

#: Title and decimals of each column after the first two. A cell is empty where the row has no such number.
COLUMNS = {
    "Dice before": 4,
    "Dice after": 4,
    "HD95 before (mm)": 3,
    "HD95 after (mm)": 3,
    "ASSD before (mm)": 3,
    "ASSD after (mm)": 3,
    "Volume, fixed (mm3)": 1,
    "Volume, moving (mm3)": 1,
    "Volume, warped (mm3)": 1,
    "Moving larger than fixed, by the map (%)": 2,
    "log2 J, mean": 3,
    "log2 J, 5 %": 3,
    "log2 J, 50 %": 3,
    "log2 J, 95 %": 3,
    "Folds (voxels)": 0,
    "Thickness, fixed (mm)": 3,
    "Thickness, moving (mm)": 3,
    "Thickness, warped (mm)": 3,
    "Thickness, moving minus fixed, mean (mm)": 3,
    "NCC before": 4,
    "NCC after": 4,
    "Inverse error, mean (mm)": 4,
    "Inverse error, max (mm)": 4,
    "Displacement, mean (mm)": 3,
    "Displacement, 95 % (mm)": 3,
    "Displacement, max (mm)": 3,
    "TRE before (mm)": 3,
    "TRE after (mm)": 3,
}
_TITLES = ("Of", "Kind", *COLUMNS)

Row = dict[str, Any]


def numbersTable(figures: Measurement, name: str) -> Any:
    """A new table node of the figures, in no scene yet. Cells are text, so that those without a number are empty."""
    rows = figureRows(figures)
    return tableNode(name, [column(title, (row.get(title, "") for row in rows)) for title in _TITLES])


def figureRows(figures: Measurement) -> list[dict[str, str]]:
    """The rows of :func:`numbersTable`: cell texts by column title, empty cells left out."""
    thickness = {item.pair.cartilage: item for item in figures.cartilage}
    rows: list[Row] = []
    for segment in figures.segments:
        row = _segmentRow(segment, "segment")
        item = thickness.get(segment.name)
        if item is not None:
            row["Thickness, fixed (mm)"] = item.fixedMeanMm
            row["Thickness, moving (mm)"] = item.movingMeanMm
            row["Thickness, warped (mm)"] = item.warpedMeanMm
            if item.change is not None:
                row["Thickness, moving minus fixed, mean (mm)"] = item.change.meanMm
        rows.append(row)
    if figures.overall is not None:
        rows.append(_segmentRow(figures.overall, "all segments"))
    rows.append(_imageRow(figures))
    rows += [
        {"Of": error.name, "Kind": "landmark", "TRE before (mm)": error.beforeMm, "TRE after (mm)": error.afterMm}
        for error in figures.landmarks
    ]
    if figures.landmarks:
        rows.append(_meanLandmarkRow(figures))
    return [_texts(row) for row in rows]


def writeCsv(tableNode: TableNode, path: Path) -> None:
    """Write any table node as comma-separated values with a header, UTF-8; an existing file is replaced.

    A name that a spreadsheet would take for a formula gets an apostrophe before it.

    Raises:
        FileError, ResourceError: if it cannot be written.
    """
    from JointRegistrationLib.files.output import atomic_file

    table = tableNode.GetTable()
    columns = [table.GetColumn(index) for index in range(table.GetNumberOfColumns())]
    rows = ([column.GetVariantValue(row).ToString() for column in columns] for row in range(table.GetNumberOfRows()))
    with atomic_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([cell(column.GetName()) for column in columns])
        writer.writerows([cell(text) for text in row] for row in rows)


def _segmentRow(segment: SegmentFigures, kind: str) -> Row:
    change = segment.change
    return {
        "Of": segment.name,
        "Kind": kind,
        "Dice before": segment.before.dice,
        "Dice after": segment.after.dice,
        "HD95 before (mm)": segment.before.hd95Mm,
        "HD95 after (mm)": segment.after.hd95Mm,
        "ASSD before (mm)": segment.before.assdMm,
        "ASSD after (mm)": segment.after.assdMm,
        "Volume, fixed (mm3)": segment.fixedMm3,
        "Volume, moving (mm3)": segment.movingMm3,
        "Volume, warped (mm3)": segment.warpedMm3,
        "Moving larger than fixed, by the map (%)": change.change_percent,
        "log2 J, mean": change.log2_mean,
        "log2 J, 5 %": change.log2_p5,
        "log2 J, 50 %": change.log2_p50,
        "log2 J, 95 %": change.log2_p95,
        "Folds (voxels)": float(change.folds),
    }


def _imageRow(figures: Measurement) -> Row:
    return {
        "Of": "Whole image",
        "Kind": "image",
        "Folds (voxels)": float(figures.folds),
        "NCC before": figures.nccBefore,
        "NCC after": figures.nccAfter,
        "Inverse error, mean (mm)": figures.inverseMeanMm,
        "Inverse error, max (mm)": figures.inverseMaxMm,
        "Displacement, mean (mm)": figures.displacement.mean_mm,
        "Displacement, 95 % (mm)": figures.displacement.p95_mm,
        "Displacement, max (mm)": figures.displacement.max_mm,
    }


def _meanLandmarkRow(figures: Measurement) -> Row:
    count = len(figures.landmarks)
    return {
        "Of": "All landmarks, mean",
        "Kind": "all landmarks",
        "TRE before (mm)": sum(error.beforeMm for error in figures.landmarks) / count,
        "TRE after (mm)": sum(error.afterMm for error in figures.landmarks) / count,
    }


def _texts(row: Row) -> dict[str, str]:
    texts = {}
    for title, value in row.items():
        if title not in COLUMNS:
            texts[title] = value
        elif math.isfinite(value):
            texts[title] = f"{value:.{COLUMNS[title]}f}"
    return texts
