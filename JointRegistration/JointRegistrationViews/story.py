"""What the report and the overview say, in words and numbers."""

from __future__ import annotations

import importlib.metadata
import math
import os
import platform
from collections.abc import Sequence
from typing import Any

from JointRegistrationLib import __version__
from JointRegistrationLib.config import METHOD_DESCRIPTIONS, RegistrationConfig
from JointRegistrationLib.result import LandmarkErrors, RegistrationResult
from JointRegistrationMRML.colors import DIFFERENCE_COLORS
from JointRegistrationMRML.inspect_images import DIFFERENCE_LIMIT_PERCENT

from .evaluation import Evaluation
from .inputs import CARTILAGES, DemoInputs
from .overview import KeyFigure
from .pictures import PictureRow
from .report import ColorBar, Measure, MeasureGroup, Report, Section

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

_SECTIONS = (
    (
        "The images",
        "One slice in each direction, at the same place in all pictures. Letters name the directions: S superior, "
        "A anterior, P posterior, R right, L left. Each image is shown from its 0.1 to its 99.9 percentile.",
        ("fixed", "moving", "warped"),
    ),
    ("Tissue borders", "", ("outlines_before", "outlines_after")),
    ("What is left of the difference", "", ("difference_before", "difference_after")),
    ("Checkerboards", "", ("checkerboard_before", "checkerboard_after")),
    ("The deformation", "What had to be done to the moving knee.", ("grid", "jacobian")),
)


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
        figures.append(KeyFigure("Cartilage overlap", _change(evaluation.cartilageDice(), 2), "Dice; 1 is perfect"))
    if evaluation.truthBefore is not None and evaluation.truthAfter is not None:
        errors = (evaluation.truthBefore.mean_mm, evaluation.truthAfter.mean_mm)
        figures.append(KeyFigure("Position error", f"{_change(errors, 1)} mm", "against the known truth"))
    similarity = (result.similarity_before, result.similarity_after)
    figures.append(KeyFigure("Similarity", _change(similarity, 2), "NCC; 1 is equal up to brightness"))
    figures.append(KeyFigure("Folds", str(result.folds.count), f"of {_millions(result.fixed_grid.num_voxels)} voxels"))
    figures.append(KeyFigure("Inverse error", f"{result.inverse_error_mean_mm:.3f} mm", "there and back, mean"))
    figures.append(KeyFigure("Time", f"{result.timings_s['total']:.0f} s", _hardware(result)))
    return figures


def buildReport(
    inputs: DemoInputs,
    result: RegistrationResult,
    evaluation: Evaluation,
    rows: Sequence[PictureRow],
    positionsMm: dict[str, float],
    drawnBy: str,
    notices: Sequence[str],
) -> Report:
    """All content of ``report.html``."""
    byKey = {row.key: row for row in rows}
    sections = [
        Section(title, text, [byKey[key] for key in keys if key in byKey])
        for title, text, keys in _SECTIONS
        if any(key in byKey for key in keys)
    ]
    return Report(
        title="Knee registration: what was done, and how well",
        subtitle=inputs.description,
        verdict=verdict(result, evaluation),
        figures=keyFigures(result, evaluation),
        notices=[*notices, *result.notes],
        sections=sections,
        bars=_colorBars(),
        positions={name: _position(name, value) for name, value in positionsMm.items()},
        measures=_measures(inputs, result, evaluation),
        facts=_facts(inputs, result, drawnBy),
        files=[*FILES[:4], *([LABELS_FILE] if evaluation.warpedLabels is not None else []), *FILES[4:]],
        footer=(
            f"Made by Joint Registration {__version__}. Research software: not a medical device, "
            "not for decisions about patients."
        ),
    )


def verdict(result: RegistrationResult, evaluation: Evaluation) -> str:
    """The outcome in a sentence or two."""
    if result.similarity_after <= result.similarity_before:
        return (
            "The registration did not make the images more alike "
            f"({_change((result.similarity_before, result.similarity_after), 3)} NCC): do not use it as it is."
        )
    gains = []
    if evaluation.truthBefore is not None and evaluation.truthAfter is not None:
        errors = (evaluation.truthBefore.mean_mm, evaluation.truthAfter.mean_mm)
        gains.append(f"the position error at bone and cartilage went from {_between(errors, 1)} mm on average")
        gains.append(f"cartilage overlap rose from {_between(evaluation.cartilageDice(), 2)} (Dice)")
    gains.append(f"similarity rose from {_between((result.similarity_before, result.similarity_after), 2)} (NCC)")
    folds = "The map folds nowhere" if result.folds.count == 0 else f"The map folds at {result.folds.count} voxels"
    text = ", ".join(gains[:-1]) + (" and " if len(gains) > 1 else "") + gains[-1]
    return f"{text[0].upper()}{text[1:]}. {folds}, and its inverse brings points back within " + (
        f"{result.inverse_error_mean_mm:.3f} mm on average."
    )


# -- tables ---------------------------------------------------------------------------------------------


def _measures(inputs: DemoInputs, result: RegistrationResult, evaluation: Evaluation) -> list[MeasureGroup]:
    groups = []
    if evaluation.truthBefore is not None and evaluation.truthAfter is not None:
        groups.append(_truthGroup(evaluation))
        groups.append(_labelGroup(inputs, evaluation, "dice", "Overlap (Dice)", 3, larger=True))
        groups.append(_labelGroup(inputs, evaluation, "assd_mm", "Mean distance of surfaces, mm", 2, larger=False))
        groups.append(
            _labelGroup(inputs, evaluation, "hd95_mm", "95th percentile of surface distance, mm", 2, larger=False)
        )
    if result.landmark_errors_mm is not None:
        groups.append(_landmarkGroup(result.landmark_errors_mm))
    groups.append(_imageGroup(result))
    groups.append(_mapGroup(result))
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


def _labelGroup(
    inputs: DemoInputs, evaluation: Evaluation, attribute: str, title: str, digits: int, *, larger: bool
) -> MeasureGroup:
    meaning = {
        "dice": "1: the same voxels; 0: none in common",
        "assd_mm": "0: the surfaces coincide",
        "hd95_mm": "19 of 20 surface points are closer than this",
    }[attribute]
    shown = CARTILAGES if attribute != "dice" else tuple(evaluation.after)
    return MeasureGroup(
        title,
        [
            compared(
                inputs.labelNames[label].capitalize(),
                getattr(evaluation.before[label], attribute),
                getattr(evaluation.after[label], attribute),
                meaning if label == shown[0] else "",
                digits=digits,
                larger=larger,
            )
            for label in shown
        ],
    )


def _landmarkGroup(errors: LandmarkErrors) -> MeasureGroup:
    """The mean over the pairs, then each pair."""
    names = errors.names or tuple(str(index + 1) for index in range(len(errors.before_mm)))
    means = (sum(errors.before_mm) / len(names), sum(errors.after_mm) / len(names))
    meaning = "distance between where a pair belongs and where the map puts it"
    lines = [compared("Mean", *means, meaning, digits=2, larger=False)]
    for name, before, after in zip(names, errors.before_mm, errors.after_mm, strict=True):
        lines.append(compared(f"Pair {name}", before, after, "", digits=2, larger=False))
    return MeasureGroup("Landmark pairs, mm", lines)


def _imageGroup(result: RegistrationResult) -> MeasureGroup:
    similarity = compared(
        "Similarity (NCC)",
        result.similarity_before,
        result.similarity_after,
        "1: equal up to brightness and contrast; noise keeps it below 1",
        digits=3,
        larger=True,
    )
    return MeasureGroup("Images", [similarity])


def _mapGroup(result: RegistrationResult) -> MeasureGroup:
    summary: dict[str, Any] = result.summary()
    folds = result.folds
    return MeasureGroup(
        "Transform",
        [
            Measure(
                "Folds",
                "",
                f"{folds.count} ({folds.percent:.3g} %)",
                "voxels where the map turns space inside out; should be 0",
                "good" if folds.count == 0 else "bad",
            ),
            Measure(
                "Volume ratio",
                "",
                f"{summary['jacobian_min']:.2f} to {summary['jacobian_max']:.2f}",
                "smallest and largest local volume, moving over fixed",
            ),
            Measure("Mean shift", "", f"{summary['displacement_mean_mm']:.2f} mm", "over the whole field of view"),
            Measure(
                "Inverse error",
                "",
                f"{result.inverse_error_mean_mm:.4f} mm",
                f"fixed to moving and back; at most {result.inverse_error_max_mm:.3f} mm",
            ),
        ],
    )


def compared(name: str, before: float, after: float, meaning: str, *, digits: int, larger: bool) -> Measure:
    """A line of the table that says whether it got better."""
    improved = after > before if larger else after < before
    judgement = "" if math.isnan(before + after) or before == after else ("good" if improved else "bad")
    return Measure(name, f"{before:.{digits}f}", f"{after:.{digits}f}", meaning, judgement)


def _facts(inputs: DemoInputs, result: RegistrationResult, drawnBy: str) -> list[tuple[str, str]]:
    config, timings = result.config, result.timings_s
    stages = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in timings.items() if name != "total")
    return [
        ("Fixed image", f"{inputs.fixed.name}: {result.fixed_grid.describe()}"),
        ("Moving image", f"{inputs.moving.name}: {result.moving_grid.describe()}"),
        ("Method", f"{config.method}: {METHOD_DESCRIPTIONS[config.method]}{_refined(config)}; all settings are in "
                   "metrics.json"),
        ("Registration time", f"{timings['total']:.1f} s on {_hardware(result)} ({stages})"),
        ("Pictures", drawnBy),
        ("Versions", ", ".join(f"{name} {version}" for name, version in versions().items())),
    ]  # fmt: skip


# -- wording --------------------------------------------------------------------------------------------


def _colorBars() -> dict[str, ColorBar]:
    colors = ["#{:02x}{:02x}{:02x}".format(*(round(255 * channel) for channel in color)) for color in DIFFERENCE_COLORS]
    limit = f"{DIFFERENCE_LIMIT_PERCENT:.0f} % of the brightness range"
    return {
        "difference_before": ColorBar(colors, f"moving brighter by {limit}", "fixed brighter"),
        "difference_after": ColorBar(colors, f"warped brighter by {limit}", "fixed brighter"),
    }


def _position(orientation: str, millimetres: float) -> str:
    positive, negative = {"Sagittal": "RL", "Coronal": "AP", "Axial": "SI"}[orientation]
    return f"{'' if round(millimetres) == 0 else positive if millimetres > 0 else negative}{abs(millimetres):.0f} mm"


def _change(values: tuple[float, float], digits: int) -> str:
    return f"{values[0]:.{digits}f} → {values[1]:.{digits}f}"


def _between(values: tuple[float, float], digits: int) -> str:
    return f"{values[0]:.{digits}f} to {values[1]:.{digits}f}"


def _millions(count: int) -> str:
    return f"{count / 1e6:.1f} M" if count >= 1e6 else f"{count:,}"


def _refined(config: RegistrationConfig) -> str:
    if config.method != "avsm":
        return ""
    refine = config.network.refine
    return f" ({refine} iterations)" if refine else " (not at all)"


def _hardware(result: RegistrationResult) -> str:
    return f"{os.cpu_count()} CPU cores" if result.device == "cpu" else result.device
