"""What the demo's report and overview say, in words and numbers."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Sequence

from JointRegistrationLib import __version__
from JointRegistrationLib.core.figures.map_statistics import displacement_statistics
from JointRegistrationLib.core.result import RegistrationResult
from JointRegistrationMRML.inspection.deformation import affineToLeaveOut, longestMm
from JointRegistrationMRML.report.captions import FOOTER, differenceBars, displacementBar, positionText, sectionsOf
from JointRegistrationMRML.report.page import KeyFigure, MeasureGroup, PictureRow, Report, ReportPictures
from JointRegistrationMRML.report.tables import ReportNumbers
from JointRegistrationMRML.report.words import (
    betweenText,
    changeText,
    compared,
    imageMeasures,
    landmarkMeasures,
    mapMeasures,
    runFacts,
    runFigures,
)
from JointRegistrationMRML.report.words import verdict as runVerdict

from .evaluation import Evaluation
from .inputs import DemoInputs

FILES = (
    ("overview.png", "The pictures and figures at a glance."),
    ("scene.mrb", "Everything as a scene. Open it in 3D Slicer: File, Add Data, or drop it on the window."),
    ("metrics.json", "The figures of this report, settings and versions, for programs."),
    ("warped.nrrd", "The moving image on the fixed image's grid."),
    ("transform.h5", "From fixed to moving points: what SimpleITK, ANTs and Slicer resample images with."),
    ("inverse_transform.h5", "From moving to fixed points."),
    ("affine.tfm", "The affine part of the transform alone."),
    ("log2_jacobian.nrrd", "Local change of volume: +1 double, -1 half in the moving image."),
)
LABELS_FILE = ("warped_labels.nrrd", "The moving knee's tissue labels on the fixed image's grid.")


def versions() -> dict[str, str]:
    """Versions of what the result depends on."""
    found = {"joint-registration": __version__, "Python": platform.python_version()}
    for package in ("torch", "SimpleITK", "numpy", "slicer-core", "vtk"):
        found[package] = importlib.metadata.version(package)
    return found


def keyFigures(result: RegistrationResult, evaluation: Evaluation) -> list[KeyFigure]:
    """The numbers for the large font."""
    figures = []
    if evaluation.tissue is not None:
        figures.append(KeyFigure("Cartilage overlap", changeText(evaluation.cartilageDice(), 2), "Dice; 1 is perfect"))
    if evaluation.truthBefore is not None and evaluation.truthAfter is not None:
        errors = (evaluation.truthBefore.mean_mm, evaluation.truthAfter.mean_mm)
        figures.append(KeyFigure("Position error", f"{changeText(errors, 1)} mm", "against the known truth"))
    return [*figures, *runFigures(result)]


def buildReport(
    inputs: DemoInputs,
    result: RegistrationResult,
    evaluation: Evaluation,
    rows: Sequence[PictureRow],
    positionsMm: dict[str, float],
    drawnBy: str,
    notices: Sequence[str],
    numbers: ReportNumbers | None = None,
) -> Report:
    """All content of ``report.html``."""
    positions = {name: positionText(name, value) for name, value in positionsMm.items()}
    surfaces = ReportPictures([], {}, {}) if numbers is None else numbers.surfaces
    return Report(
        title="Knee registration: what was done, and how well",
        subtitle=inputs.description,
        verdict=verdict(result, evaluation),
        figures=keyFigures(result, evaluation),
        notices=[*notices, *result.notes],
        sections=sectionsOf([*rows, *surfaces.rows]),
        bars=differenceBars() | displacementBar(longestMm(result, affineToLeaveOut(result))) | surfaces.bars,
        positions=positions | surfaces.positions,
        measures=_measures(inputs, result, evaluation),
        tables=() if numbers is None else numbers.tables,
        plots=() if numbers is None else numbers.plots,
        facts=_facts(inputs, result, drawnBy),
        files=[*FILES[:4], *([LABELS_FILE] if evaluation.warpedLabels is not None else []), *FILES[4:]],
        footer=FOOTER,
    )


def verdict(result: RegistrationResult, evaluation: Evaluation) -> str:
    """The outcome in a sentence or two."""
    gains = []
    if evaluation.truthBefore is not None and evaluation.truthAfter is not None:
        errors = (evaluation.truthBefore.mean_mm, evaluation.truthAfter.mean_mm)
        gains.append(f"the position error at bone and cartilage went from {betweenText(errors, 1)} mm on average")
        gains.append(f"cartilage overlap rose from {betweenText(evaluation.cartilageDice(), 2)} (Dice)")
    return runVerdict(result, gains)


# -- tables ---------------------------------------------------------------------------------------------


def _measures(inputs: DemoInputs, result: RegistrationResult, evaluation: Evaluation) -> list[MeasureGroup]:
    groups = []
    if evaluation.truthBefore is not None and evaluation.truthAfter is not None:
        groups.append(_truthGroup(evaluation))
    if result.landmark_errors_mm is not None:
        groups.append(landmarkMeasures(result.landmark_errors_mm))
    groups.append(imageMeasures(result))
    groups.append(mapMeasures(result, displacement_statistics(result.displacement_field_mm)))
    return groups


def _truthGroup(evaluation: Evaluation) -> MeasureGroup:
    before, after = evaluation.truthBefore, evaluation.truthAfter
    pairs = (
        ("Mean", before.mean_mm, after.mean_mm, "how far a point of bone or cartilage is from where it belongs"),
        ("95th percentile", before.percentile95_mm, after.percentile95_mm, "19 of 20 points are better than this"),
    )
    return MeasureGroup(
        "Position error at bone and cartilage, mm", [compared(*pair, digits=2, larger=False) for pair in pairs]
    )


def _facts(inputs: DemoInputs, result: RegistrationResult, drawnBy: str) -> list[tuple[str, str]]:
    return [
        *runFacts(result, inputs.fixed.name, inputs.moving.name),
        ("Settings", "all are in metrics.json"),
        ("Pictures", drawnBy),
        ("Versions", ", ".join(f"{name} {version}" for name, version in versions().items())),
    ]
