"""The numbers of a run as text in the panel; the table in the scene has all of them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from JointRegistrationMRML.measure.measurement import Measurement
from JointRegistrationMRML.measure.segments import SegmentFigures

from ..text import _, escaped, sentence


def numbersHtml(figures: Measurement) -> str:
    """The figures that matter most, as rich text for a narrow panel."""
    parts = [_segmentsTable(figures), _thicknessTable(figures), _imageTable(figures)]
    parts += [f"<p style='margin-top:6px'>{escaped(sentence(note))}</p>" for note in figures.notes]
    return "".join(parts)


def _segmentsTable(figures: Measurement) -> str:
    if not figures.segments:
        return ""
    rows = [["", _("Dice"), _("HD95, mm"), _("moving is")]]
    rows += [_segmentCells(segment) for segment in figures.segments]
    if figures.overall is not None and len(figures.segments) > 1:
        rows.append(_segmentCells(figures.overall))
    return _table(_known(rows))


def _segmentCells(segment: SegmentFigures) -> list[str]:
    return [
        segment.name,
        _change(segment.before.dice, segment.after.dice, 2),
        _change(segment.before.hd95Mm, segment.after.hd95Mm, 1),
        _sizeText(segment.change.change_percent),
    ]


def _sizeText(percent: float) -> str:
    """How much larger or smaller a segment is in the moving image, by the map."""
    if not math.isfinite(percent):
        return ""
    if abs(percent) < 0.05:
        return _("the same size")
    direction = _("larger") if percent > 0 else _("smaller")
    return _("{percent:.1f} % {direction}").format(percent=abs(percent), direction=direction)


def _thicknessTable(figures: Measurement) -> str:
    rows = [
        [item.pair.cartilage, _number(item.fixedMeanMm, 2), _number(item.movingMeanMm, 2), _changeText(item.change)]
        for item in figures.cartilage
    ]
    if not rows:
        return ""
    return _table(_known([[_("Thickness, mm"), _("fixed"), _("moving"), _("difference")], *rows]))


def _known(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    """Rows below a head, without the columns that are empty below it: without a fixed segmentation there is no Dice."""
    kept = [column for column in range(len(rows[0])) if column == 0 or any(row[column] for row in rows[1:])]
    return [[row[column] for column in kept] for row in rows]


def _changeText(change: object) -> str:
    mean = getattr(change, "meanMm", float("nan"))
    return f"{mean:+.2f}" if math.isfinite(mean) else ""


def _imageTable(figures: Measurement) -> str:
    displacement = figures.displacement
    rows = [
        [_("Likeness (NCC)"), _change(figures.nccBefore, figures.nccAfter, 3)],
        [_("Folds"), _("none") if figures.folds == 0 else _("{count} voxels").format(count=figures.folds)],
        [
            _("Displacement"),
            _("mean {mean:.1f}, most {most:.1f} mm").format(mean=displacement.mean_mm, most=displacement.max_mm),
        ],
    ]
    if math.isfinite(figures.inverseMeanMm):
        values = {"mean": figures.inverseMeanMm, "most": figures.inverseMaxMm}
        rows.append([_("Error of the inverse"), _("mean {mean:.2g}, most {most:.2g} mm").format(**values)])
    if figures.landmarks:
        count = len(figures.landmarks)
        before, after = (
            sum(getattr(error, name) for error in figures.landmarks) / count for name in ("beforeMm", "afterMm")
        )
        rows.append([_("Landmarks, mean of {count}").format(count=count), f"{_change(before, after, 2)} mm"])
    return _table([row for row in rows if row[1]])


def _table(rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells; only the first of a row may be broken into lines."""
    whole = [[row[0], *(cell.replace(" ", "\u00a0") for cell in row[1:])] for row in rows]
    lines = ["".join(f"<td style='padding-right:8px'>{escaped(cell)}</td>" for cell in row) for row in whole]
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return f"<table cellspacing='0' cellpadding='1' style='margin-top:4px'>{body}</table>"


def _change(before: float, after: float, decimals: int) -> str:
    texts = [_number(value, decimals) for value in (before, after)]
    return " → ".join(text for text in texts if text)


def _number(value: float, decimals: int) -> str:
    return f"{value:.{decimals}f}" if math.isfinite(value) else ""
