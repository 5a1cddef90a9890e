"""A run's numbers and pictures as one HTML file, made of NumPy and VTK alone, as desktop Slicer has them."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import TypeVar

from ..measure.folds import foldsOf
from ..measure.measurement import Measurement, measureSteps
from ..pauses import named, telling
from ..run.registration_nodes import RegistrationOutputs
from ..translation import _
from .captions import FOOTER, sectionsOf
from .page import Report, ReportPictures, renderSteps
from .pictures import pictureSteps
from .tables import reportNumberSteps
from .words import imageMeasures, mapMeasures, runFacts, runFigures, verdict

T = TypeVar("T")

_MEASURING = 0.7  # of the whole, where the numbers are not known
_DRAWN, _WRITTEN = 0.9, 0.95
_DRAWN_BY = _("Sampled from the scene's volumes on square pixels, linearly.")


def exportReport(outputs: RegistrationOutputs, path: Path, figures: Measurement | None = None) -> None:
    """All of :func:`exportSteps` at once."""
    for _step in exportSteps(outputs, path, figures):
        pass


def exportSteps(
    outputs: RegistrationOutputs, path: Path, figures: Measurement | None = None
) -> Generator[tuple[float, str], None, None]:
    """Write the report of a run, whole or not at all, step by step.

    Args:
        outputs: the run; volumes, segmentations and points are read where they are now.
        path: the HTML file; an old one is replaced.
        figures: of :func:`.measurement.measure`, if they are known already.

    Yields:
        The fraction done and what comes next.

    Raises:
        InputError: if the fixed or moving volume holds no image any more.
        FileError, ResourceError: if the file cannot be written.
    """
    from JointRegistrationLib.files.output import atomic_file

    share = 0.0
    if figures is None:
        share = _MEASURING
        figures = yield from _scaled(measureSteps(outputs), 0.0, share)
    pictures = yield from _scaled(pictureSteps(outputs), share, _DRAWN)
    report = yield from named(reportSteps(outputs, pictures, figures), _DRAWN, _("surfaces"))
    text = yield from named(renderSteps(report), _WRITTEN, _("writing"))
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _scaled(
    steps: Generator[tuple[float, str], None, T], start: float, end: float
) -> Generator[tuple[float, str], None, T]:
    """Steps that are a part of a longer way."""
    return telling(steps, lambda told: (start + (end - start) * told[0], told[1]))


def reportSteps(
    outputs: RegistrationOutputs, pictures: ReportPictures, figures: Measurement
) -> Generator[None, None, Report]:
    """All content of the report of a run, with pauses.

    Args:
        outputs: the run.
        pictures: of :func:`.pictureSteps`.
        figures: of :func:`.measurement.measure`.
    """
    folds = foldsOf(outputs.result.jacobian_determinant, outputs.result.fixed_grid)
    numbers = yield from reportNumberSteps(figures, folds)
    result, inputs, surfaces = outputs.result, outputs.inputs, numbers.surfaces
    fixed, moving = inputs.fixed.GetName(), inputs.moving.GetName()
    return Report(
        title=_("Knee registration: what was done, and how well"),
        subtitle=_("{moving}, registered to {fixed}.").format(moving=moving, fixed=fixed),
        verdict=verdict(result),
        figures=runFigures(result),
        notices=[*result.notes, *figures.notes],
        sections=sectionsOf([*pictures.rows, *surfaces.rows]),
        bars=pictures.bars | surfaces.bars,
        positions=pictures.positions | surfaces.positions,
        measures=[imageMeasures(result), mapMeasures(result, figures.displacement)],
        tables=numbers.tables,
        plots=numbers.plots,
        facts=[*runFacts(result, fixed, moving), (_("Pictures"), _DRAWN_BY)],
        files=(),
        footer=FOOTER,
    )
