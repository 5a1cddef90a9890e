"""A run's numbers and pictures as one HTML file, made of NumPy and VTK alone, as desktop Slicer has them.

``joint-registration report`` writes the same report with pictures that Slicer's own slice views draw off-screen.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from JointRegistrationLib.errors import FileError

from .folds import foldsOf
from .numbers import Figures, measure
from .report_page import Report, renderReport
from .report_pictures import ReportPictures, reportPictures
from .report_tables import numberTables
from .report_texts import FOOTER, sectionsOf
from .report_words import imageMeasures, mapMeasures, runFacts, runFigures, verdict

if TYPE_CHECKING:
    from .publish import RegistrationOutputs

_DRAWN_BY = "Sampled from the scene's volumes on square pixels, linearly."


def exportReport(scene: Any, outputs: RegistrationOutputs, path: Path, figures: Figures | None = None) -> None:
    """Write the report of a run, whole or not at all.

    Args:
        scene: the run's; volumes, segmentations and points are read where they are now.
        outputs: the run.
        path: the HTML file; an old one is replaced.
        figures: of :func:`.numbers.measure`, if they are known already.

    Raises:
        InputError: if the fixed or moving volume holds no image any more.
        FileError: if the file cannot be written.
    """
    pictures = reportPictures(outputs)
    text = renderReport(_report(outputs, pictures, figures or measure(outputs)))
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise FileError(f"{path}: the report cannot be written: {error.strerror}; choose another place") from error


def _report(outputs: RegistrationOutputs, pictures: ReportPictures, figures: Figures) -> Report:
    result, inputs = outputs.result, outputs.inputs
    fixed, moving = inputs.fixed.GetName(), inputs.moving.GetName()
    return Report(
        title="Knee registration: what was done, and how well",
        subtitle=f"{moving}, registered to {fixed}.",
        verdict=verdict(result),
        figures=runFigures(result),
        notices=[*result.notes, *figures.notes],
        sections=sectionsOf(pictures.rows, letters=False),
        bars=pictures.bars,
        positions=pictures.positions,
        measures=[imageMeasures(result), mapMeasures(result)],
        tables=numberTables(figures, foldsOf(result.jacobian_determinant, result.fixed_grid)),
        facts=[*runFacts(result, fixed, moving), ("Pictures", _DRAWN_BY)],
        files=(),
        footer=FOOTER,
    )
