"""The report of one registration as a single HTML file that needs nothing else, made with the standard library and VTK.

Desktop Slicer's export and ``joint-registration report`` fill the same :class:`Report`; only who draws differs.
"""

from __future__ import annotations

import base64
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

import numpy as np
import numpy.typing as npt
import vtk
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

from .pauses import finished
from .report_style import STYLE
from .translation import _

Picture = npt.NDArray[np.uint8]

_ORIENTATIONS = {"Sagittal": _("Sagittal"), "Coronal": _("Coronal"), "Axial": _("Axial")}
_BEFORE_AND_AFTER = _(
    "Before: the two images as their scanners placed them. After: the moving image carried onto the fixed one."
)


@dataclass(frozen=True)
class PictureRow:
    """One thing to look at: (height, width, 3) uint8 pictures, by orientation or another name, and how to read them."""

    key: str
    title: str
    caption: str
    pictures: Mapping[str, Picture]


@dataclass(frozen=True)
class Section:
    """Rows of pictures under one heading."""

    title: str
    text: str
    rows: Sequence[PictureRow]


@dataclass(frozen=True)
class KeyFigure:
    """A number worth a large font: ("Cartilage overlap", "0.41 → 0.86", "Dice")."""

    name: str
    value: str
    remark: str = ""


@dataclass(frozen=True)
class Measure:
    """One line of the table; ``judgement`` is "good", "bad" or "" and colours the second value."""

    name: str
    before: str
    after: str
    meaning: str
    judgement: str = ""


@dataclass(frozen=True)
class MeasureGroup:
    """Measures under one heading of the table."""

    title: str
    measures: Sequence[Measure]


@dataclass(frozen=True)
class Table:
    """A table of its own under a heading: a name and numbers in each row, and how to read them."""

    title: str
    text: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Drawing:
    """A plot with its title, drawn as an ``<svg>`` element that is trusted as it is."""

    key: str
    title: str
    svg: str


@dataclass(frozen=True)
class ColorBar:
    """A colour scale: CSS colours from low to high and what its ends mean."""

    colors: Sequence[str]
    low: str
    high: str


@dataclass(frozen=True)
class Report:
    """Everything the report says.

    ``bars`` are colour scales by the key of the row they belong to; ``positions`` where the slices lie, by
    orientation, and what else is to be known of a picture, by its name; ``facts`` and ``files`` are (name, text).
    """

    title: str
    subtitle: str
    verdict: str
    figures: Sequence[KeyFigure]
    notices: Sequence[str]
    sections: Sequence[Section]
    bars: Mapping[str, ColorBar]
    positions: Mapping[str, str]
    measures: Sequence[MeasureGroup]
    facts: Sequence[tuple[str, str]]
    files: Sequence[tuple[str, str]]
    footer: str
    tables: Sequence[Table] = field(default=())
    plots: Sequence[Drawing] = field(default=())


def renderReport(report: Report) -> str:
    """The report as HTML, pictures embedded, no reference to anything outside."""
    return finished(renderSteps(report))


def renderSteps(report: Report) -> Generator[None, None, str]:
    """:func:`renderReport` with pauses: it takes a while to compress the pictures."""
    lines = []
    for line in _lines(report):
        lines.append(line)
        yield
    return "\n".join(lines) + "\n"


def pngBase64(picture: Picture) -> str:
    """An (h, w, 3) picture as base64 PNG."""
    image = vtk.vtkImageData()
    image.SetDimensions(picture.shape[1], picture.shape[0], 1)
    values = numpy_to_vtk(np.ascontiguousarray(picture[::-1]).reshape(-1, 3), deep=True)  # VTK counts rows from below
    image.GetPointData().SetScalars(values)
    writer = vtk.vtkPNGWriter()
    writer.SetWriteToMemory(True)
    writer.SetInputData(image)
    writer.Write()
    return base64.b64encode(vtk_to_numpy(writer.GetResult()).tobytes()).decode("ascii")


def _lines(report: Report) -> Iterator[str]:
    title = escape(report.title)
    yield '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>"
    yield f'<p class="lead">{escape(report.subtitle)}</p>\n<p><strong>{escape(report.verdict)}</strong></p>'
    figures = (
        f"<li><span>{escape(figure.name)}</span><b>{escape(figure.value)}</b><span>{escape(figure.remark)}</span></li>"
        for figure in report.figures
    )
    yield f'<ul class="figures">{"".join(figures)}</ul>'
    yield from (f'<p class="notice">{escape(notice)}</p>' for notice in report.notices)
    for section in report.sections:
        yield from _section(section, report)
    yield from _measures(report.measures)
    for table in report.tables:
        yield from _table(table)
    if report.plots:
        yield from _plots(report.plots)
    yield from _facts(_("How it was made"), report.facts, "th")
    if report.files:
        yield from _facts(_("Files beside this report"), report.files, "code")
    yield f"<footer>{escape(report.footer)}</footer>\n</body>\n</html>"


def _section(section: Section, report: Report) -> Iterator[str]:
    yield f"<h2>{escape(section.title)}</h2>"
    if section.text:
        yield f"<p>{escape(section.text)}</p>"
    for row in section.rows:
        yield f'<div class="picture" id="{escape(row.key)}">\n<h3>{escape(row.title)}</h3>'
        yield f"<p>{escape(row.caption)}</p>"
        if row.key in report.bars:
            yield _bar(report.bars[row.key])
        yield '<div class="row">'
        yield from (_figure(row, name, report.positions[name]) for name in row.pictures)
        yield "</div>\n</div>"


def _bar(bar: ColorBar) -> str:
    colors = f"background: linear-gradient(to right, {', '.join(bar.colors)})"
    return (
        f'<div class="bar"><span>{escape(bar.low)}</span><i style="{colors}"></i><span>{escape(bar.high)}</span></div>'
    )


def _figure(row: PictureRow, name: str, position: str) -> str:
    picture, where = row.pictures[name], f"{_ORIENTATIONS.get(name, name)}, {position}"
    text = escape(f"{row.title}: {where}")
    return (
        f'<figure style="flex: {picture.shape[1] / picture.shape[0]:.3f} 1 0">'
        f'<img alt="{text}" src="data:image/png;base64,{pngBase64(picture)}">'
        f"<figcaption>{escape(where)}</figcaption></figure>"
    )


def _measures(groups: Sequence[MeasureGroup]) -> Iterator[str]:
    yield f"<h2>{escape(_('Figures before and after'))}</h2>"
    yield f"<p>{escape(_BEFORE_AND_AFTER)}</p>"
    yield '<div class="scroll"><table>'
    heads = ((_("Measure"), ""), (_("Before"), ' class="n"'), (_("After"), ' class="n"'), (_("What it means"), ""))
    yield f"<thead><tr>{''.join(f'<th{kind}>{escape(head)}</th>' for head, kind in heads)}</tr></thead>"
    for group in (group for group in groups if group.measures):
        yield f'<tr class="section"><td colspan="4">{escape(group.title)}</td></tr>'
        for measure in group.measures:
            after = f'<td class="n {measure.judgement}">{escape(measure.after)}</td>'
            yield (
                f'<tr><td>{escape(measure.name)}</td><td class="n">{escape(measure.before)}</td>{after}'
                f"<td>{escape(measure.meaning)}</td></tr>"
            )
    yield "</table></div>"


def _table(table: Table) -> Iterator[str]:
    yield f"<h2>{escape(table.title)}</h2>\n<p>{escape(table.text)}</p>"
    if not table.rows:
        return
    yield f'<div class="scroll"><table>\n<thead><tr>{_cells(table.head, "th")}</tr></thead>'
    yield from (f"<tr>{_cells(row, 'td')}</tr>" for row in table.rows)
    yield "</table></div>"


def _plots(plots: Sequence[Drawing]) -> Iterator[str]:
    yield f'<h2>{escape(_("Plots"))}</h2>\n<div class="plots">'
    for plot in plots:
        yield f'<div class="picture" id="{escape(plot.key)}">\n<h3>{escape(plot.title)}</h3>\n{plot.svg}</div>'
    yield "</div>"


def _cells(cells: Sequence[str], tag: str) -> str:
    """The first to the left, numbers to the right."""
    kinds = ("", *[' class="n"'] * (len(cells) - 1))
    return "".join(f"<{tag}{kind}>{escape(cell)}</{tag}>" for kind, cell in zip(kinds, cells, strict=True))


def _facts(title: str, facts: Sequence[tuple[str, Any]], tag: str) -> Iterator[str]:
    yield f'<h2>{escape(title)}</h2>\n<div class="scroll"><table>'
    for name, text in facts:
        head = f"<th>{escape(name)}</th>" if tag == "th" else f"<td><{tag}>{escape(name)}</{tag}></td>"
        yield f"<tr>{head}<td>{escape(str(text))}</td></tr>"
    yield "</table></div>"
