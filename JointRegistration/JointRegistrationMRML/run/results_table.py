"""What a run says in numbers: the overlap of segments, and all figures as a table node."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

from JointRegistrationLib.core.figures.extremes import Extremes, find_extremes
from JointRegistrationLib.core.figures.metrics import JointCounts
from JointRegistrationLib.core.figures.trust import LIMITS, Evidence
from JointRegistrationLib.core.lattices.segments import RunSegments, SegmentLayers
from JointRegistrationLib.core.result import RegistrationResult

from ..nodes.tables import column, tableNode
from ..pauses import inThread
from ..translation import _
from .registration_nodes import Overlap


def extremesOf(result: RegistrationResult) -> Extremes:
    """Read what of a run's map is beyond what a joint explains."""
    return find_extremes(result.jacobian_determinant, result.inverse_error_max_mm)


def reasonsAgainst(result: RegistrationResult) -> list[str]:
    """What speaks against a result by itself: its :class:`.trust.Evidence` and extremes, as parts of a sentence."""
    found, reasons = extremesOf(result), _doubts(result.evidence)
    if found.volume_times is not None:
        low, high = (f"{value:.2g}" for value in found.volume_times)
        reasons.append(_("volumes change {low} to {high} times").format(low=low, high=high))
    if found.inverse_error_mm is not None:
        reasons.append(_("the inverse is up to {error} mm off").format(error=f"{found.inverse_error_mm:.2g}"))
    return reasons


def _doubts(evidence: Evidence | None) -> list[str]:
    if evidence is None:
        return []
    texts = {
        "unlike": _("small places of the two images do not match (another contrast, a start too far off, or noise)"),
        "shrunk": _("one voxel in a hundred shrinks to {times} of its volume or less"),
        "overlap": _("only {percent} % of the middle of the fixed image is seen in both"),
    }
    values = {"times": f"{2.0**evidence.log2_low:.2g}", "percent": f"{100 * evidence.overlap:.0f}"}
    return [texts[name].format(**values) for name in evidence.doubts]


def overlapSteps(segments: RunSegments) -> Generator[None, None, tuple[Overlap, ...]]:
    """The overlap of the segments that both images have, by name, in the fixed one's order; none if one has none."""
    fixed, before, warped = segments.fixed, segments.before, segments.warped
    if fixed is None or before is None or warped is None:
        return ()
    dices = yield from inThread(lambda: _dices(fixed, before))
    after = yield from inThread(lambda: _dices(fixed, warped))
    return tuple(Overlap(name, dices[name], dice) for name, dice in after.items())


def _dices(first: SegmentLayers, second: SegmentLayers) -> dict[str, float]:
    """Dice of the segments that both have, by name, in the order of ``first``; nan where both are empty."""
    others = {segment.name: segment for segment in second.segments}
    common = [(segment, others[segment.name]) for segment in first.segments if segment.name in others]
    layers = {(here.layer, there.layer) for here, there in common}
    counts = {(a, b): JointCounts(first.layers[a].labels, second.layers[b].labels) for a, b in layers}
    return {here.name: counts[here.layer, there.layer].dice(here.value, there.value) for here, there in common}


def resultsTableSteps(result: RegistrationResult, overlaps: Sequence[Overlap], name: str) -> Generator[None, None, Any]:
    """A new table node, in no scene yet: figure, value, and what it means. With pauses."""
    rows = yield from inThread(lambda: resultRows(result, overlaps))  # seeks the extremes of all voxels
    titles = ("Figure", "Value", "Meaning")
    return tableNode(name, [column(title, (row[index] for row in rows)) for index, title in enumerate(titles)])


def resultRows(result: RegistrationResult, overlaps: Sequence[Overlap] = ()) -> list[tuple[str, str, str]]:
    """Figure, value and meaning of each row."""
    values = result.summary()
    rows: list[tuple[str, Any, str]] = [
        ("method", values["method"], ""),
        ("device", values["device"], ""),
        ("NCC before", values["ncc_before"], _("correlation of the images as they lay; 1 is perfect")),
        ("NCC after", values["ncc_after"], _("correlation of the fixed image and the warped one")),
        ("folds", values["folds"], _("lattice points with a Jacobian determinant not above 0")),
        ("folds (%)", values["folds_percent"], _("of all lattice points")),
        ("Jacobian, least", values["jacobian_min"], _("moving / fixed volume")),
        ("Jacobian, greatest", values["jacobian_max"], _("moving / fixed volume")),
        ("displacement, mean (mm)", values["displacement_mean_mm"], _("affine part included")),
        ("inverse error, mean (mm)", values["inverse_error_mean_mm"], _("round trip fixed, moving, fixed")),
        ("inverse error, greatest (mm)", values["inverse_error_max_mm"], _("round trip fixed, moving, fixed")),
    ]
    if result.evidence is not None:
        meaning = _("mean in windows of 13 mm, by their structure; below {least} the result is doubtful")
        value = result.evidence.local_ncc_squared
        rows.append(("local NCC, squared", value, meaning.format(least=LIMITS.local)))
    for overlap in overlaps:
        rows.append((f"Dice before, {overlap.name}", overlap.before, _("overlap as the images lay; 1 is perfect")))
        rows.append((f"Dice after, {overlap.name}", overlap.after, _("overlap with the warped segment")))
    rows += [(f"time, {stage} (s)", seconds, "") for stage, seconds in values["timings_s"].items()]
    rows += [("note", note, "") for note in values["notes"]]
    return [
        (name, f"{value:.6g}" if isinstance(value, float) else str(value), meaning) for name, value, meaning in rows
    ]
