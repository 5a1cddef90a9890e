"""The numbers of a run as the report's tables: what the panel's table and its CSV file hold, and the folds.

Columns are called as there, in every language.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass

from ..measure.folds import COLUMNS, Fold
from ..measure.graphs import graphsOf
from ..measure.measurement import Measurement
from ..measure.table import figureRows
from ..translation import _
from .page import Drawing, ReportPictures, Table
from .plots import plotSvg
from .surfaces import surfaceSteps

_LISTED_FOLDS = 50

_AGREEMENT = ("Dice before", "Dice after", "HD95 before (mm)", "HD95 after (mm)", "ASSD before (mm)", "ASSD after (mm)")
_AGREEMENT_TEXT = _(
    "Dice: overlap, 1 is perfect. HD95: 19 of 20 surface points are closer than this. ASSD: mean distance of the "
    "surfaces. Before: as the images lay."
)
_VOLUMES = (
    "Volume, fixed (mm3)", "Volume, moving (mm3)", "Volume, warped (mm3)", "Moving larger than fixed, by the map (%)",
    "log2 J, mean", "log2 J, 5 %", "log2 J, 50 %", "log2 J, 95 %", "Folds (voxels)",
)  # fmt: skip
_VOLUMES_TEXT = _(
    "Above 0: the moving anatomy is larger than the fixed one. The map's own change is the Jacobian determinant J "
    "integrated over the fixed segment; log2 J is +1 where it is twice as large, -1 where it is half as large."
)
_THICKNESS = (
    "Thickness, fixed (mm)", "Thickness, moving (mm)", "Thickness, warped (mm)",
    "Thickness, moving minus fixed, mean (mm)",
)  # fmt: skip
_THICKNESS_TEXT = _(
    "Means over the area. The difference is taken point by point along the registration: above 0, the moving cartilage "
    "is thicker."
)
_LANDMARKS = ("TRE before (mm)", "TRE after (mm)")
_LANDMARKS_TEXT = _(
    "Distance between where a pair's fixed point should come to lie and where the map puts it. Points that guided the "
    "registration are no test of it."
)


def numberTables(figures: Measurement, folds: Sequence[Fold]) -> list[Table]:
    """All tables that have a row; that of the folds always.

    Args:
        figures: of :func:`.measurement.measure`.
        folds: of the same run, the largest first.
    """
    rows = figureRows(figures)
    segments = [row for row in rows if row["Kind"] in ("segment", "all segments")]
    landmarks = [row for row in rows if "landmark" in row["Kind"]]
    tables = [
        _table(_("Agreement of segments"), _AGREEMENT_TEXT, _("Segment"), _AGREEMENT, segments),
        _table(_("Volumes and their change"), _VOLUMES_TEXT, _("Segment"), _VOLUMES, segments),
        _table(_("Thickness of cartilage"), _THICKNESS_TEXT, _("Cartilage"), _THICKNESS, segments),
        _table(_("Landmark pairs"), _LANDMARKS_TEXT, _("Pair"), _LANDMARKS, landmarks),
    ]
    return [*(table for table in tables if table.rows), _foldsTable(folds)]


def _table(title: str, text: str, first: str, columns: Sequence[str], rows: Sequence[dict[str, str]]) -> Table:
    """The rows that have any of the columns, and the columns that have any cell."""
    shown = [row for row in rows if any(column in row for column in columns)]
    used = [column for column in columns if any(column in row for row in shown)]
    return Table(title, text, [first, *used], [[row["Of"], *(row.get(column, "") for column in used)] for row in shown])


def _foldsTable(folds: Sequence[Fold]) -> Table:
    if not folds:
        return Table(_("Folds"), _("The map folds nowhere: it turns space inside out at no voxel."), (), ())
    text = _("Where the map turns space inside out, which tissue cannot do: nothing near it can be trusted.")
    if len(folds) > _LISTED_FOLDS:
        text += " " + _("The {listed} largest of {count}.").format(listed=_LISTED_FOLDS, count=len(folds))
    rows = [_foldRow(index, fold) for index, fold in enumerate(folds[:_LISTED_FOLDS], start=1)]
    return Table(_("Folds"), text, COLUMNS, rows)


def _foldRow(index: int, fold: Fold) -> list[str]:
    place = [f"{x:.1f}" for x in fold.position_ras]
    return [str(index), *place, str(fold.voxels), f"{fold.volumeMm3:.1f}", f"{fold.lowestJ:.3f}"]


@dataclass(frozen=True)
class ReportNumbers:
    """What :func:`reportNumberSteps` made; a list is empty where nothing is known."""

    tables: list[Table]
    plots: list[Drawing]
    surfaces: ReportPictures


def reportNumberSteps(figures: Measurement, folds: Sequence[Fold]) -> Generator[None, None, ReportNumbers]:
    """Tables, plots and surfaces, with pauses.

    Args:
        figures: of :func:`.measurement.measure`.
        folds: of the same run, the largest first.
    """
    plots = []
    for graph in graphsOf(figures):
        yield
        plots.append(Drawing(graph.text.kind, graph.text.title, plotSvg(graph)))
    yield
    surfaces = yield from surfaceSteps(figures)
    return ReportNumbers(numberTables(figures, folds), plots, surfaces)
