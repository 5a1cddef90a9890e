"""The figures of a run as text in the panel."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from JointRegistrationLib.core.result import LandmarkErrors, RegistrationResult
from JointRegistrationMRML.run.registration_nodes import Overlap
from JointRegistrationMRML.run.results_table import extremesOf, reasonsAgainst

from ..inputs.choices import METHOD_CHOICES
from ..text import _, breakable, duration, escaped, sentence

_DEVICES = {"cpu": _("the processor"), "cuda": _("the NVIDIA GPU"), "mps": _("the Apple GPU")}


@dataclass(frozen=True)
class Row:
    """One figure: what it is, its value in words, and what a good one looks like."""

    name: str
    value: str
    meaning: str = ""


def resultRows(result: RegistrationResult, overlaps: Sequence[Overlap] = ()) -> list[Row]:
    """The figures that tell whether to trust a registration, most important first."""
    jacobian = result.jacobian_determinant
    folds = result.folds
    rows = [
        Row(
            _("Likeness (NCC)"),
            f"{result.similarity_before:.3f} → {result.similarity_after:.3f}",
            _("correlation of the two images before and after; 1 is perfect"),
        )
    ]
    rows += [
        Row(
            _("Dice, {segment}").format(segment=overlap.name),
            f"{overlap.before:.3f} → {overlap.after:.3f}",
            "" if number else _("overlap of a segment with the fixed one, before and after; 1 is perfect"),
        )
        for number, overlap in enumerate(overlaps)
    ]
    rows += _landmarkRows(result.landmark_errors_mm)
    rows += [
        Row(
            _("Folds"),
            _("none")
            if folds.count == 0
            else _("{count} points, {percent:.2g} %").format(count=folds.count, percent=folds.percent),
            _("where the map turns space inside out; there should be none"),
        ),
        Row(
            _("Volume change (Jacobian)"),
            _("{low} to {high} times").format(low=_factor(jacobian.min()), high=_factor(jacobian.max())),
            _("how many times larger the moving anatomy is than the fixed one"),
        ),
        Row(
            _("Error of the inverse"),
            _("mean {mean}, most {most} mm").format(
                mean=_shortMm(result.inverse_error_mean_mm), most=_shortMm(result.inverse_error_max_mm)
            ),
            _("round trip from the fixed image to the moving one and back"),
        ),
        Row(
            _("Time"),
            _("{time} on {device}").format(
                time=duration(result.timings_s.get("total", 0.0)),
                device=_DEVICES.get(result.device.partition(":")[0], result.device),
            ),
        ),
    ]
    return rows


def meaningsHtml(result: RegistrationResult, overlaps: Sequence[Overlap] = ()) -> str:
    """Return what the figures are and what good ones look like, as rich text for a tooltip."""
    meant = [row for row in resultRows(result, overlaps) if row.meaning]
    lines = "<br>".join(f"<b>{escaped(row.name)}</b>: {escaped(row.meaning)}." for row in meant)
    return f"<p>{lines}</p>"


def _factor(value: float) -> str:
    """Two digits: "0.0033", "0.5", "28"."""
    return f"{float(value):.2g}" if value < 100 else f"{float(value):.0f}"


def _landmarkRows(errors: LandmarkErrors | None) -> list[Row]:
    """The mean distance of the pairs; no row without any."""
    if errors is None or not errors.before_mm:
        return []
    before, after = (sum(values) / len(values) for values in (errors.before_mm, errors.after_mm))
    name = _("Landmarks, mean of {count}").format(count=len(errors.before_mm))
    meaning = _("distance of the pairs before and after; they guided the registration, so this is no test of it")
    return [Row(name, f"{before:.2f} → {after:.2f} mm", meaning)]


def _shortMm(value: float) -> str:
    """Two digits, and nothing finer than a micrometre: "0.034", "1.2", "<0.001"."""
    return "<0.001" if value < 0.001 else f"{value:.3f}" if value < 0.1 else f"{value:.2g}"


def summaryHtml(runName: str, result: RegistrationResult, overlaps: Sequence[Overlap] = ()) -> str:
    """The panel's summary, as rich text.

    Args:
        runName: "moving to fixed".
        result: of the run.
        overlaps: of the segments, if a fixed segmentation was given.
    """
    method = METHOD_CHOICES.get(result.config.method, result.config.method)
    lines = [
        f"<p style='margin-bottom:4px'><b>{escaped(breakable(verdict(result, overlaps)))}</b></p>",
        f"<p style='margin-top:4px;margin-bottom:4px'>{escaped(breakable(runName))}<br>{escaped(method)}</p>",
    ]
    cells = "".join(
        f"<tr><td style='padding-right:12px'>{escaped(breakable(row.name))}</td><td>{escaped(row.value)}</td></tr>"
        for row in resultRows(result, overlaps)
    )
    lines.append(f"<table cellspacing='0' cellpadding='2'>{cells}</table>")
    doubts = () if result.evidence is None else result.evidence.notes
    said = (*extremesOf(result).notes, *doubts)  # in the first sentence
    notes = [sentence(note) for note in result.notes if note not in said]
    lines += [f"<p style='margin-top:6px'>{escaped(breakable(note))}</p>" for note in notes]
    return "".join(lines)


#: Smaller changes of a correlation or of a Dice are neither better nor worse.
_SAME = 0.002


def verdict(result: RegistrationResult, overlaps: Sequence[Overlap] = ()) -> str:
    """One or several sentences: what speaks against the result, or that nothing does.

    The figures cannot tell more: whether anatomy lies on anatomy is for a person to see.

    Args:
        result: of the run.
        overlaps: of the segments, if a fixed segmentation was given.
    """
    against = _against(result, overlaps)
    if against:
        return _("Look closely: {reasons}.").format(reasons="; ".join(against))
    return _("Nothing in the figures speaks against this result. Look at the images all the same (Inspect).")


def _against(result: RegistrationResult, overlaps: Sequence[Overlap]) -> list[str]:
    reasons = []
    gained = result.similarity_after - result.similarity_before
    if gained < -_SAME:
        reasons.append(_("the images are less alike than before"))
    elif math.isfinite(gained) and gained <= _SAME:
        reasons.append(_("the images are no more alike than before"))
    worse = [overlap.name for overlap in overlaps if overlap.after < overlap.before - _SAME]
    if worse:
        reasons.append(_("less overlap than before: {segments}").format(segments=", ".join(worse)))
    if result.folds.count > 0:
        reasons.append(_("the map is folded in places (Inspect, Folds)"))
    return reasons + reasonsAgainst(result)
