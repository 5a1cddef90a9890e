"""Plots as inline SVG, for a report that needs nothing else: lines on two axes with ticks, units and a legend."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

import numpy as np
import numpy.typing as npt

from ..measure.graphs import Curve, Graph
from ..measure.surfaces import Points
from ..nodes.colors import Color
from .captions import cssColor

_WIDTH, _HEIGHT = 520, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 506, 12, 252  # of the axes, pixels
_LEGEND_COLUMNS, _LEGEND_ROW = 2, 18
_TICKS = 6
_BRIGHTEST = 0.45  # a line on white paper must be darker than a segment in a view
#: So that lines are told apart without their colours.
_DASHES = ("", "9 4", "2 4", "9 3 2 3", "16 4", "5 2 2 2 2 2")


def plotSvg(graph: Graph) -> str:
    """An ``<svg>`` element that shows a graph."""
    values = np.concatenate([np.zeros(1), *(curve.values[np.isfinite(curve.values)] for curve in graph.curves)])
    step = _tickStep(values)
    ends = step * np.array([np.floor(values.min() / step), np.ceil(values.max() / step)])
    across, down = _Axis(graph.middles, _LEFT, _RIGHT), _Axis(ends, _BOTTOM, _TOP)
    height = _HEIGHT + _LEGEND_ROW * -(-len(graph.curves) // _LEGEND_COLUMNS)
    label, content = escape(graph.text.title), "".join([*_axes(graph, across, down), *_lines(graph, across, down)])
    return f'<svg role="img" aria-label="{label}" viewBox="0 0 {_WIDTH} {height}">{content}</svg>'


def _axes(graph: Graph, across: _Axis, down: _Axis) -> Iterator[str]:
    """Grid lines with their numbers, and what the axes are called."""
    for at, text in across.ticks():
        yield f'<path{_kind(text)} d="M{at} {_TOP}V{_BOTTOM}"/>'
        yield f'<text x="{at}" y="{_BOTTOM + 17}" text-anchor="middle">{text}</text>'
    for at, text in down.ticks():
        yield f'<path{_kind(text)} d="M{_LEFT} {at}H{_RIGHT}"/>'
        yield f'<text x="{_LEFT - 7}" y="{at + 4:.1f}" text-anchor="end">{text}</text>'
    middle, side = (_LEFT + _RIGHT) / 2, (_TOP + _BOTTOM) / 2
    yield f'<text x="{middle}" y="{_BOTTOM + 36}" text-anchor="middle">{escape(graph.text.xTitle)}</text>'
    turned = f'transform="translate(14 {side}) rotate(-90)" text-anchor="middle"'
    yield f"<text {turned}>{escape(graph.text.yTitle)}</text>"


def _kind(tick: str) -> str:
    return ' class="zero"' if float(tick) == 0 else ""


def _lines(graph: Graph, across: _Axis, down: _Axis) -> Iterator[str]:
    """The curves, and the legend below the axes."""
    for number, curve in enumerate(graph.curves):
        style = f'class="line" stroke="{_ink(curve.color)}" stroke-dasharray="{_DASHES[number % len(_DASHES)]}"'
        for run in _runs(curve):
            places = (f"{across.at(graph.middles[index])},{down.at(curve.values[index])}" for index in run)
            yield f'<polyline {style} points="{" ".join(places)}"/>'
        row, column = divmod(number, _LEGEND_COLUMNS)
        x, y = _LEFT + column * (_RIGHT - _LEFT) / _LEGEND_COLUMNS, _HEIGHT + 8 + row * _LEGEND_ROW
        yield f'<path {style} d="M{x} {y}h34"/><text x="{x + 42}" y="{y + 4}">{escape(curve.name)}</text>'


class _Axis:
    """The range of some values on pixels ``start`` to ``end``."""

    def __init__(self, values: Points, start: float, end: float) -> None:
        self._start, self._end = start, end
        self._low, self._high = float(values.min()), float(values.max())
        if self._low == self._high:  # a single bin
            self._low, self._high = self._low - 0.5, self._high + 0.5

    def at(self, value: float) -> float:
        """The pixel of a value."""
        share = (float(value) - self._low) / (self._high - self._low)
        return round(self._start + share * (self._end - self._start), 1)

    def ticks(self) -> list[tuple[float, str]]:
        """Pixels of round values, and how these are written."""
        step = _tickStep(np.array([self._low, self._high]))
        first, last = np.ceil(self._low / step - 1e-6), np.floor(self._high / step + 1e-6)
        digits = max(0, -int(np.floor(np.log10(step))))
        values = step * np.arange(first, last + 1) + 0.0  # no "-0"
        return [(self.at(value), f"{value:.{digits}f}") for value in values]


def _tickStep(values: Points) -> float:
    """1, 2 or 5 times a power of ten, so that about :data:`_TICKS` steps span the values."""
    rough = max(float(np.ptp(values)), 1e-3) / _TICKS
    power = 10.0 ** np.floor(np.log10(rough))
    return float(next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-6)))


def _runs(curve: Curve) -> Sequence[npt.NDArray[np.intp]]:
    """Bins with a value, in unbroken runs; a lone one twice, so that it is drawn as a dot."""
    known = np.flatnonzero(np.isfinite(curve.values))
    parts = np.split(known, np.flatnonzero(np.diff(known) > 1) + 1) if len(known) else []
    return [np.repeat(part, 2) if len(part) == 1 else part for part in parts]


def _ink(color: Color) -> str:
    """The colour, darkened until it is seen on white."""
    luminance = float(np.dot(color, (0.2126, 0.7152, 0.0722)))
    share = min(1.0, _BRIGHTEST / max(luminance, 1e-6))
    red, green, blue = (share * channel for channel in color)
    return cssColor((red, green, blue))
