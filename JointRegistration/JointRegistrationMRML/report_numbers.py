"""The numbers of a run as the report shows them: tables, plots, and cartilage surfaces coloured by their change."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass

from .measure.folds import Fold
from .measure.graphs import graphsOf
from .measure.measurement import Figures
from .report_page import Drawing, Table
from .report_pictures import ReportPictures
from .report_plots import plotSvg
from .report_surfaces import surfaceSteps
from .report_tables import numberTables


@dataclass(frozen=True)
class ReportNumbers:
    """What :func:`reportNumberSteps` made; a list is empty where nothing is known."""

    tables: list[Table]
    plots: list[Drawing]
    surfaces: ReportPictures


def reportNumberSteps(figures: Figures, folds: Sequence[Fold]) -> Generator[None, None, ReportNumbers]:
    """Tables, plots and surfaces, with pauses.

    Args:
        figures: of :func:`.numbers.measure`.
        folds: of the same run, the largest first.
    """
    plots = []
    for graph in graphsOf(figures):
        yield
        plots.append(Drawing(graph.text.kind, graph.text.title, plotSvg(graph)))
    yield
    surfaces = yield from surfaceSteps(figures)
    return ReportNumbers(numberTables(figures, folds), plots, surfaces)
