"""What the demo's report and overview say, in words and numbers."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import platform

from JointRegistrationLib import __version__
from JointRegistrationLib.core.result import RegistrationResult
from JointRegistrationMRML.report.page import KeyFigure, MeasureGroup, Report
from JointRegistrationMRML.report.words import betweenText, changeText, compared, landmarkMeasures, runFigures
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
    if evaluation.before:
        figures.append(KeyFigure("Cartilage overlap", changeText(evaluation.cartilageDice(), 2), "Dice; 1 is perfect"))
    if evaluation.truthBefore is not None and evaluation.truthAfter is not None:
        errors = (evaluation.truthBefore.mean_mm, evaluation.truthAfter.mean_mm)
        figures.append(KeyFigure("Position error", f"{changeText(errors, 1)} mm", "against the known truth"))
    return [*figures, *runFigures(result)]


def buildReport(inputs: DemoInputs, result: RegistrationResult, evaluation: Evaluation, report: Report) -> Report:
    """All content of ``report.html``: the report of any run, and what is known of the demo's inputs."""
    facts = (
        ("Settings", "all are in metrics.json"),
        ("Versions", ", ".join(f"{name} {version}" for name, version in versions().items())),
    )
    return dataclasses.replace(
        report,
        subtitle=inputs.description,
        verdict=verdict(result, evaluation),
        figures=keyFigures(result, evaluation),
        measures=[*_measures(result, evaluation), *report.measures],
        facts=[*report.facts, *facts],
        files=[*FILES[:4], *([LABELS_FILE] if evaluation.warpedLabels is not None else []), *FILES[4:]],
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


def _measures(result: RegistrationResult, evaluation: Evaluation) -> list[MeasureGroup]:
    groups = []
    if evaluation.truthBefore is not None and evaluation.truthAfter is not None:
        groups.append(_truthGroup(evaluation))
    if result.landmark_errors_mm is not None:
        groups.append(landmarkMeasures(result.landmark_errors_mm))
    return groups


def _truthGroup(evaluation: Evaluation) -> MeasureGroup:
    before, after = evaluation.truthBefore, evaluation.truthAfter
    assert before is not None and after is not None
    pairs = (
        ("Mean", before.mean_mm, after.mean_mm, "how far a point of bone or cartilage is from where it belongs"),
        ("95th percentile", before.percentile95_mm, after.percentile95_mm, "19 of 20 points are better than this"),
    )
    return MeasureGroup(
        "Position error at bone and cartilage, mm", [compared(*pair, digits=2, larger=False) for pair in pairs]
    )
