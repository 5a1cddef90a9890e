"""The report of one registration as a single HTML file that needs nothing else, by the standard library and VTK."""

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

from JointRegistrationLib.core.progress import finished

from ..translation import _

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


@dataclass(frozen=True)
class ReportPictures:
    """Rows of pictures, the colour scales that belong to them, and where the slices lie, by orientation.

    ``positions`` says it in words, ``positionsMm`` along the slice's normal, RAS mm.
    """

    rows: list[PictureRow]
    bars: dict[str, ColorBar]
    positions: dict[str, str]
    positionsMm: dict[str, float] = field(default_factory=dict)


STYLE = """\
:root { --ink: #1b2530; --muted: #5d6b78; --rule: #d5dce3; --tint: #f4f7fa; --good: #146c43; --bad: #a3271b; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1120px; padding: 1.6rem 1.2rem 3rem; color: var(--ink); background: #fff;
       font: 16px/1.5 system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .2rem; }
h2 { font-size: 1.3rem; margin: 2.4rem 0 .5rem; padding-top: .8rem; border-top: 1px solid var(--rule); }
h3 { font-size: 1.05rem; margin: 1.4rem 0 .15rem; }
p { margin: .3rem 0 .7rem; max-width: 75ch; }
.lead { color: var(--muted); }
.figures { display: flex; flex-wrap: wrap; gap: .6rem; margin: 1.2rem 0; padding: 0; list-style: none; }
.figures li { flex: 1 1 9.5rem; background: var(--tint); border-radius: 8px; padding: .6rem .8rem; }
.figures b { display: block; font-size: 1.3rem; line-height: 1.35; white-space: nowrap; }
.figures span { color: var(--muted); font-size: .85rem; }
.notice { border-left: 4px solid #c78a00; background: #fff8e6; padding: .5rem .9rem; }
.row { display: flex; flex-wrap: wrap; gap: 6px; margin: .4rem 0 1.2rem; }
figure { margin: 0; min-width: 0; }
figure img { display: block; width: 100%; height: auto; background: #000; border-radius: 3px; }
figcaption { color: var(--muted); font-size: .8rem; padding-top: .1rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; margin: .5rem 0 1rem; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .32rem 1.2rem .32rem 0; border-bottom: 1px solid var(--rule); vertical-align: top; }
th { font-weight: 600; color: var(--muted); }
td.n, th.n { text-align: right; white-space: nowrap; }
tr.section td { font-weight: 600; padding-top: 1rem; }
.good { color: var(--good); } .bad { color: var(--bad); }
code { font-size: .9em; background: var(--tint); padding: .05rem .3rem; border-radius: 4px; }
.bar { display: flex; align-items: center; gap: .6rem; font-size: .85rem; color: var(--muted); margin: .1rem 0 .5rem; }
.bar i { flex: 0 1 220px; height: 12px; border-radius: 3px; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(22rem, 100%), 1fr)); gap: 1rem 2rem;
         align-items: end; }
.plots svg { display: block; width: 100%; height: auto; font-size: 13px; }
.plots text { fill: var(--muted); }
.plots path:not(.line) { stroke: var(--rule); } .plots path.zero { stroke: #8b98a5; }
.plots .line { fill: none; stroke-width: 2.2; stroke-linejoin: round; stroke-linecap: round; }
footer { color: var(--muted); font-size: .85rem; margin-top: 2.5rem;
         border-top: 1px solid var(--rule); padding-top: .8rem; }
@media (max-width: 640px) {
  body { padding: 1rem .8rem 2rem; } h1 { font-size: 1.5rem; }
  .row figure { flex: 1 1 44% !important; } .row figure:first-child { flex-basis: 100% !important; }
  th, td { padding-right: .7rem; font-size: .9rem; }
}
@media print {
  body { max-width: none; padding: 0; font-size: 11pt; }
  h2, h3 { break-after: avoid; } .picture, tr { break-inside: avoid; }
  .figures li { border: 1px solid var(--rule); } .row { width: 84%; }
}
"""
