"""The report of one registration as a single HTML file that needs nothing else."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2
import numpy as np
import numpy.typing as npt
from PIL import Image as PillowImage

from .overview import KeyFigure
from .pictures import PictureRow

_TEMPLATE = "report.html.j2"


@dataclass(frozen=True)
class Section:
    """Rows of pictures under one heading."""

    title: str
    text: str
    rows: Sequence[PictureRow]


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
class ColorBar:
    """A colour scale: CSS colours from low to high and what its ends mean."""

    colors: Sequence[str]
    low: str
    high: str


@dataclass(frozen=True)
class Report:
    """Everything the report says.

    ``bars`` are colour scales by the key of the row they belong to; ``positions`` where the slices lie,
    by orientation; ``facts`` and ``files`` are (name, text).
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


def renderReport(report: Report) -> str:
    """The report as HTML, pictures embedded, no reference to anything outside."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    environment.filters["png"] = pngBase64
    return environment.get_template(_TEMPLATE).render(report=report)


def pngBase64(picture: npt.NDArray[np.uint8]) -> str:
    """An (h, w, 3) picture as base64 PNG."""
    buffer = io.BytesIO()
    PillowImage.fromarray(picture).save(buffer, format="PNG")
    return base64.b64encode(buffer.getvalue()).decode("ascii")
