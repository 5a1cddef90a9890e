"""The outcome of a run in words, key figures, and measures before and after, for the report."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence

from JointRegistrationLib.core.config import METHOD_DESCRIPTIONS, RegistrationConfig
from JointRegistrationLib.core.figures.map_statistics import DisplacementStatistics
from JointRegistrationLib.core.result import LandmarkErrors, RegistrationResult

from ..run.results_table import reasonsAgainst
from ..translation import _
from .page import KeyFigure, Measure, MeasureGroup


def verdict(result: RegistrationResult, gains: Sequence[str] = ()) -> str:
    """The outcome in a sentence or two.

    Args:
        result: of the run.
        gains: what else became better, as parts of a sentence.
    """
    similarity = (result.similarity_before, result.similarity_after)
    if similarity[1] <= similarity[0]:
        text = _("The registration did not make the images more alike ({change} NCC): do not use it as it is.")
        return text.format(change=changeText(similarity, 3))
    if math.isfinite(sum(similarity)):
        gains = [*gains, _("similarity rose from {change} (NCC)").format(change=betweenText(similarity, 2))]
    gained = _listed(gains)
    sentences = [f"{gained[:1].upper()}{gained[1:]}."] if gained else []
    against = reasonsAgainst(result)
    warning = [_("Look closely: {reasons}.").format(reasons="; ".join(against))] if against else []
    return " ".join([*sentences, _mapSentence(result), *warning])


def _listed(parts: Sequence[str]) -> str:
    """ "a, b and c"."""
    if len(parts) < 2:
        return "".join(parts)
    return _("{first} and {last}").format(first=", ".join(parts[:-1]), last=parts[-1])


def _mapSentence(result: RegistrationResult) -> str:
    """Whether the map folds, and how well its inverse fits where that is known."""
    count, inverse = result.folds.count, result.inverse_error_mean_mm
    folds = _("The map folds nowhere") if count == 0 else _("The map folds at {count} voxels").format(count=count)
    if not math.isfinite(inverse):
        return f"{folds}."
    text = _("{folds}, and its inverse brings points back within {error} mm on average.")
    return text.format(folds=folds, error=f"{inverse:.3f}")


def runFigures(result: RegistrationResult) -> list[KeyFigure]:
    """The numbers of any run for the large font; those that are not known are left out."""
    similarity = (result.similarity_before, result.similarity_after)
    figures = []
    if math.isfinite(sum(similarity)):
        figures.append(KeyFigure(_("Similarity"), changeText(similarity, 2), _("NCC; 1 is equal up to brightness")))
    voxels = _("of {count} voxels").format(count=_millions(result.fixed_grid.num_voxels))
    figures.append(KeyFigure(_("Folds"), str(result.folds.count), voxels))
    if math.isfinite(result.inverse_error_mean_mm):
        error = f"{result.inverse_error_mean_mm:.3f} mm"
        figures.append(KeyFigure(_("Inverse error"), error, _("there and back, mean")))
    if "total" in result.timings_s:
        figures.append(KeyFigure(_("Time"), f"{result.timings_s['total']:.0f} s", hardware(result)))
    return figures


def imageMeasures(result: RegistrationResult) -> MeasureGroup:
    """Describe how alike the images are; no line where that is not known any more."""
    meaning = _("1: equal up to brightness and contrast; noise keeps it below 1")
    values = (result.similarity_before, result.similarity_after)
    known = math.isfinite(sum(values))
    line = compared(_("Similarity (NCC)"), *values, meaning, digits=3, larger=True)
    return MeasureGroup(_("Images"), [line] if known else [])


def mapMeasures(result: RegistrationResult, moved: DisplacementStatistics) -> MeasureGroup:
    """Describe what the map does; ``moved`` are the statistics of its displacement field."""
    folds, determinant = result.folds, result.jacobian_determinant
    measures = [
        Measure(
            _("Folds"),
            "",
            f"{folds.count} ({folds.percent:.3g} %)",
            _("voxels where the map turns space inside out; should be 0"),
            "good" if folds.count == 0 else "bad",
        ),
        Measure(
            _("Volume ratio"),
            "",
            betweenText((float(determinant.min()), float(determinant.max())), 2),
            _("smallest and largest local volume, moving over fixed"),
        ),
        Measure(
            _("Mean shift"),
            "",
            f"{moved.mean_mm:.2f} mm",
            _("over the field of view; 19 of 20 voxels less than {most} mm, at most {longest} mm").format(
                most=f"{moved.p95_mm:.2f}", longest=f"{moved.max_mm:.2f}"
            ),
        ),
    ]
    if math.isfinite(result.inverse_error_mean_mm):
        most = _("fixed to moving and back; at most {most} mm").format(most=f"{result.inverse_error_max_mm:.3f}")
        measures.append(Measure(_("Inverse error"), "", f"{result.inverse_error_mean_mm:.4f} mm", most))
    return MeasureGroup(_("Transform"), measures)


def landmarkMeasures(errors: LandmarkErrors) -> MeasureGroup:
    """The mean over the pairs, then each pair."""
    names = errors.names or tuple(str(index + 1) for index in range(len(errors.before_mm)))
    means = (sum(errors.before_mm) / len(names), sum(errors.after_mm) / len(names))
    meaning = _("distance between where a pair belongs and where the map puts it")
    lines = [compared(_("Mean"), *means, meaning, digits=2, larger=False)]
    for name, before, after in zip(names, errors.before_mm, errors.after_mm, strict=True):
        lines.append(compared(_("Pair {name}").format(name=name), before, after, "", digits=2, larger=False))
    return MeasureGroup(_("Landmark pairs, mm"), lines)


def compared(name: str, before: float, after: float, meaning: str, *, digits: int, larger: bool) -> Measure:
    """A line of the table that says whether it got better."""
    improved = after > before if larger else after < before
    judgement = "" if math.isnan(before + after) or before == after else ("good" if improved else "bad")
    first, last = ("" if math.isnan(value) else f"{value:.{digits}f}" for value in (before, after))
    return Measure(name, first, last, meaning, judgement)


def runFacts(result: RegistrationResult, fixedName: str, movingName: str) -> list[tuple[str, str]]:
    """List what was registered, how, and how long it took."""
    config, timings = result.config, result.timings_s
    facts = [
        (_("Fixed image"), f"{fixedName}: {result.fixed_grid.describe()}"),
        (_("Moving image"), f"{movingName}: {result.moving_grid.describe()}"),
        (_("Method"), f"{config.method}: {METHOD_DESCRIPTIONS[config.method]}{_refined(config)}"),
    ]
    if "total" in timings:
        stages = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in timings.items() if name != "total")
        text = _("{seconds} s on {hardware} ({stages})")
        seconds = f"{timings['total']:.1f}"
        facts.append((_("Registration time"), text.format(seconds=seconds, hardware=hardware(result), stages=stages)))
    return facts


def changeText(values: tuple[float, float], digits: int) -> str:
    """ "0.41 → 0.86"."""
    return f"{values[0]:.{digits}f} → {values[1]:.{digits}f}"


def betweenText(values: tuple[float, float], digits: int) -> str:
    """ "0.41 to 0.86"."""
    return _("{low} to {high}").format(low=f"{values[0]:.{digits}f}", high=f"{values[1]:.{digits}f}")


def hardware(result: RegistrationResult) -> str:
    """Name what the run was computed on."""
    return _("{count} CPU cores").format(count=os.cpu_count()) if result.device == "cpu" else result.device


def _millions(count: int) -> str:
    return f"{count / 1e6:.1f} M" if count >= 1e6 else f"{count:,}"


def _refined(config: RegistrationConfig) -> str:
    if config.method != "avsm":
        return ""
    refine = config.network.refine
    return " " + (_("({count} iterations)").format(count=refine) if refine else _("(not at all)"))
