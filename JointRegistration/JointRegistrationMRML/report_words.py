"""The outcome of a run in words, key figures, and measures before and after, for the report."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence

from JointRegistrationLib.change import DisplacementStatistics
from JointRegistrationLib.config import METHOD_DESCRIPTIONS, RegistrationConfig
from JointRegistrationLib.result import LandmarkErrors, RegistrationResult

from .report_page import KeyFigure, Measure, MeasureGroup


def verdict(result: RegistrationResult, gains: Sequence[str] = ()) -> str:
    """The outcome in a sentence or two.

    Args:
        result: of the run.
        gains: what else became better, as parts of a sentence.
    """
    similarity = (result.similarity_before, result.similarity_after)
    if similarity[1] <= similarity[0]:
        return (
            f"The registration did not make the images more alike ({changeText(similarity, 3)} NCC): "
            "do not use it as it is."
        )
    if math.isfinite(sum(similarity)):
        gains = [*gains, f"similarity rose from {betweenText(similarity, 2)} (NCC)"]
    folds = "The map folds nowhere" if result.folds.count == 0 else f"The map folds at {result.folds.count} voxels"
    text = ", ".join(gains[:-1]) + (" and " if len(gains) > 1 else "") + gains[-1] + ". " if gains else ""
    inverse = result.inverse_error_mean_mm
    back = f", and its inverse brings points back within {inverse:.3f} mm on average" if math.isfinite(inverse) else ""
    return f"{text[:1].upper()}{text[1:]}{folds}{back}."


def runFigures(result: RegistrationResult) -> list[KeyFigure]:
    """The numbers of any run for the large font; those that are not known are left out."""
    similarity = (result.similarity_before, result.similarity_after)
    figures = []
    if math.isfinite(sum(similarity)):
        figures.append(KeyFigure("Similarity", changeText(similarity, 2), "NCC; 1 is equal up to brightness"))
    figures.append(KeyFigure("Folds", str(result.folds.count), f"of {_millions(result.fixed_grid.num_voxels)} voxels"))
    if math.isfinite(result.inverse_error_mean_mm):
        figures.append(KeyFigure("Inverse error", f"{result.inverse_error_mean_mm:.3f} mm", "there and back, mean"))
    if "total" in result.timings_s:
        figures.append(KeyFigure("Time", f"{result.timings_s['total']:.0f} s", hardware(result)))
    return figures


def imageMeasures(result: RegistrationResult) -> MeasureGroup:
    """How alike the images are; no line where that is not known any more."""
    meaning = "1: equal up to brightness and contrast; noise keeps it below 1"
    values = (result.similarity_before, result.similarity_after)
    known = math.isfinite(sum(values))
    line = compared("Similarity (NCC)", *values, meaning, digits=3, larger=True)
    return MeasureGroup("Images", [line] if known else [])


def mapMeasures(result: RegistrationResult, moved: DisplacementStatistics) -> MeasureGroup:
    """What the map does; ``moved`` are the statistics of its displacement field."""
    folds, determinant = result.folds, result.jacobian_determinant
    measures = [
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
            f"{float(determinant.min()):.2f} to {float(determinant.max()):.2f}",
            "smallest and largest local volume, moving over fixed",
        ),
        Measure(
            "Mean shift",
            "",
            f"{moved.mean_mm:.2f} mm",
            f"over the field of view; 19 of 20 voxels less than {moved.p95_mm:.2f} mm, at most {moved.max_mm:.2f} mm",
        ),
    ]
    if math.isfinite(result.inverse_error_mean_mm):
        most = f"fixed to moving and back; at most {result.inverse_error_max_mm:.3f} mm"
        measures.append(Measure("Inverse error", "", f"{result.inverse_error_mean_mm:.4f} mm", most))
    return MeasureGroup("Transform", measures)


def landmarkMeasures(errors: LandmarkErrors) -> MeasureGroup:
    """The mean over the pairs, then each pair."""
    names = errors.names or tuple(str(index + 1) for index in range(len(errors.before_mm)))
    means = (sum(errors.before_mm) / len(names), sum(errors.after_mm) / len(names))
    meaning = "distance between where a pair belongs and where the map puts it"
    lines = [compared("Mean", *means, meaning, digits=2, larger=False)]
    for name, before, after in zip(names, errors.before_mm, errors.after_mm, strict=True):
        lines.append(compared(f"Pair {name}", before, after, "", digits=2, larger=False))
    return MeasureGroup("Landmark pairs, mm", lines)


def compared(name: str, before: float, after: float, meaning: str, *, digits: int, larger: bool) -> Measure:
    """A line of the table that says whether it got better."""
    improved = after > before if larger else after < before
    judgement = "" if math.isnan(before + after) or before == after else ("good" if improved else "bad")
    texts = ["" if math.isnan(value) else f"{value:.{digits}f}" for value in (before, after)]
    return Measure(name, *texts, meaning, judgement)


def runFacts(result: RegistrationResult, fixedName: str, movingName: str) -> list[tuple[str, str]]:
    """What was registered, how, and how long it took."""
    config, timings = result.config, result.timings_s
    facts = [
        ("Fixed image", f"{fixedName}: {result.fixed_grid.describe()}"),
        ("Moving image", f"{movingName}: {result.moving_grid.describe()}"),
        ("Method", f"{config.method}: {METHOD_DESCRIPTIONS[config.method]}{_refined(config)}"),
    ]
    if "total" in timings:
        stages = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in timings.items() if name != "total")
        facts.append(("Registration time", f"{timings['total']:.1f} s on {hardware(result)} ({stages})"))
    return facts


def changeText(values: tuple[float, float], digits: int) -> str:
    """ "0.41 → 0.86"."""
    return f"{values[0]:.{digits}f} → {values[1]:.{digits}f}"


def betweenText(values: tuple[float, float], digits: int) -> str:
    """ "0.41 to 0.86"."""
    return f"{values[0]:.{digits}f} to {values[1]:.{digits}f}"


def hardware(result: RegistrationResult) -> str:
    """What the run was computed on."""
    return f"{os.cpu_count()} CPU cores" if result.device == "cpu" else result.device


def _millions(count: int) -> str:
    return f"{count / 1e6:.1f} M" if count >= 1e6 else f"{count:,}"


def _refined(config: RegistrationConfig) -> str:
    if config.method != "avsm":
        return ""
    refine = config.network.refine
    return f" ({refine} iterations)" if refine else " (not at all)"
