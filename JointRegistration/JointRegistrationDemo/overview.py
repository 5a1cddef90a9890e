"""One picture of a registration: what went in, what came out, and the figures that say how good it is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from JointRegistrationMRML.report.page import ColorBar, KeyFigure, PictureRow, ReportPictures

ORIENTATIONS = ("Sagittal", "Coronal", "Axial")
_LEFT_ROWS = ("fixed", "moving", "warped")
_RIGHT_ROWS = ("outlines_after", "grid", "jacobian")
_RIGHT_WITHOUT_LABELS = ("difference_after", "grid", "jacobian")

_INK, _MUTED, _RULE = "#1b2530", "#5d6b78", "#c9d1d9"
_ROW, _GAP, _BLOCK_GAP, _MARGIN, _LABEL, _HEADER, _FOOTER = 2.7, 0.06, 0.3, 0.3, 0.34, 1.75, 0.3  # inches
_DPI = 120
_WIDEST = 1.25


def writeOverview(
    path: Path, pictures: ReportPictures, title: str, subtitle: str, figures: Sequence[KeyFigure]
) -> None:
    """Compose and save the overview as PNG.

    Args:
        path: the file to write.
        pictures: of :func:`.pictureSteps`.
        title, subtitle: above the pictures.
        figures: between title and pictures; at most six fit.
    """
    byKey = {row.key: row for row in pictures.rows}
    right = _RIGHT_ROWS if "outlines_after" in byKey else _RIGHT_WITHOUT_LABELS
    widths = [_ROW * _aspect(byKey["fixed"].pictures[orientation]) for orientation in ORIENTATIONS]
    block = _LABEL + sum(widths) + _GAP * (len(widths) - 1)
    page = _Page(2 * (_MARGIN + block) + _BLOCK_GAP, _HEADER + len(_LEFT_ROWS) * (_ROW + _GAP) + _FOOTER)
    page.drawHeader(title, subtitle, figures)
    page.drawBlock([byKey[key] for key in _LEFT_ROWS], _MARGIN, widths)
    page.drawBlock([byKey[key] for key in right], _MARGIN + block + _BLOCK_GAP, widths)
    page.drawBar(pictures.bars["jacobian"], page.width - _MARGIN - block + _LABEL)
    page.figure.savefig(path, dpi=_DPI)


class _Page:
    """A figure addressed in inches from its upper left corner."""

    def __init__(self, width: float, height: float) -> None:
        self.width, self.height = width, height
        self.figure = Figure(figsize=(width, height), dpi=_DPI, facecolor="white")
        FigureCanvasAgg(self.figure)

    def text(self, x: float, y: float, text: str, **style: Any) -> None:
        style = {"color": _INK, "ha": "left", "va": "baseline", **style}
        self.figure.text(x / self.width, 1 - y / self.height, text, **style)

    def drawHeader(self, title: str, subtitle: str, figures: Sequence[KeyFigure]) -> None:
        self.text(_MARGIN, 0.48, title, fontsize=19, weight="bold")
        self.text(self.width - _MARGIN, 0.48, subtitle, fontsize=11, color=_MUTED, ha="right")
        step = (self.width - 2 * _MARGIN) / max(len(figures), 1)
        for n, figure in enumerate(figures):
            x = _MARGIN + n * step
            self.text(x, 0.85, figure.name, fontsize=10.5, color=_MUTED)
            self.text(x, 1.17, figure.value, fontsize=18, weight="bold")
            self.text(x, 1.37, figure.remark, fontsize=9.5, color=_MUTED)

    def drawBlock(self, rows: Sequence[PictureRow], left: float, widths: Sequence[float]) -> None:
        for n, row in enumerate(rows):
            top = _HEADER + n * (_ROW + _GAP)
            self.text(
                left + _LABEL - 0.1,
                top + _ROW / 2,
                row.title,
                rotation=90,
                ha="right",
                va="center",
                fontsize=12,
                weight="bold",
            )
            x = left + _LABEL
            for orientation, width in zip(ORIENTATIONS, widths, strict=True):
                if n == 0:
                    self.text(x + width / 2, top - 0.09, orientation, ha="center", fontsize=10.5, color=_MUTED)
                self._drawPicture(row.pictures[orientation], x, top, width)
                x += width + _GAP

    def drawBar(self, bar: ColorBar, left: float) -> None:
        """The scale of the last row's colours, below it."""
        y, width = self.height - 0.13, 1.2
        self.text(left + 0.9, y, bar.low, fontsize=9.5, color=_MUTED, ha="right", va="center")
        self.text(left + 1.0 + width + 0.1, y, bar.high, fontsize=9.5, color=_MUTED, va="center")
        box = ((left + 1.0) / self.width, 0.07 / self.height, width / self.width, 0.12 / self.height)
        colors = LinearSegmentedColormap.from_list("bar", bar.colors)
        self.figure.add_axes(box, xticks=[], yticks=[]).imshow([np.linspace(0, 1, 256)], cmap=colors, aspect="auto")

    def _drawPicture(self, picture: Any, x: float, top: float, width: float) -> None:
        box = (x / self.width, 1 - (top + _ROW) / self.height, width / self.width, _ROW / self.height)
        axes = self.figure.add_axes(box, facecolor="black", adjustable="datalim", xticks=[], yticks=[])
        axes.imshow(picture, interpolation="lanczos")
        axes.spines[:].set_visible(False)


def _aspect(picture: Any) -> float:
    """Width over height of a picture's place; what is wider is shown smaller in it."""
    return min(_WIDEST, float(picture.shape[1] / picture.shape[0]))
