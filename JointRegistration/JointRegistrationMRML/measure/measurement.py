"""What a registration is worth in numbers: segments, the whole image, cartilage, landmarks.

Measuring a volume of 384 x 384 x 160 voxels takes seconds, so it comes in steps, between which a window stays
alive; ``figures = finished(measureSteps(outputs), after=letEventsThrough)`` for instance.

:func:`measure` does them all at once. Nothing is put into a scene here; see :mod:`.scene_nodes`.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

from JointRegistrationLib.core.errors import InputError
from JointRegistrationLib.core.figures.map_statistics import DisplacementStatistics, displacement_steps
from JointRegistrationLib.core.figures.metrics import displacement_transform, tre_mm
from JointRegistrationLib.core.lattices.segments import RunSegments, SegmentLayers
from JointRegistrationLib.core.progress import finished
from JointRegistrationLib.core.result import RegistrationResult

from ..mrml import TransformNode
from ..nodes.points import landmarksFromMarkups
from ..nodes.segments.segmentations import labelSteps
from ..pauses import named
from ..run.registration_nodes import InputNodes, RegistrationOutputs
from ..translation import _
from .cartilage import CartilageFigures, CartilagePair, depthSteps, guessedPairs
from .segments import SegmentCount, SegmentFigures
from .surfaces import Mask
from .thickness import Thickness, thicknessChangeSteps, thicknessSteps

Steps = Generator[tuple[float, str], None, "Measurement"]

_NAN = float("nan")


@dataclass(frozen=True)
class LandmarkError:
    """``|map(fixed point) - moving point|`` of one pair, mm, without the registration and with it."""

    name: str
    beforeMm: float
    afterMm: float


@dataclass(frozen=True)
class Measurement:
    """All numbers of one run.

    Args:
        segments: in the fixed segmentation's order, then those that only the moving one has.
        overall: all of them together; None if there are none.
        nccBefore, nccAfter, inverseMeanMm, inverseMaxMm, folds: the run's own, see ``RegistrationResult``.
        displacement: of the fixed-to-moving map, over the fixed grid, affine part included.
        cartilage: thickness, one for each pair of cartilage and bone.
        landmarks: one for each pair of points; empty without.
        notes: what could not be measured, as sentences.
    """

    segments: tuple[SegmentFigures, ...]
    overall: SegmentFigures | None
    nccBefore: float
    nccAfter: float
    inverseMeanMm: float
    inverseMaxMm: float
    folds: int
    displacement: DisplacementStatistics
    cartilage: tuple[CartilageFigures, ...] = ()
    landmarks: tuple[LandmarkError, ...] = ()
    notes: tuple[str, ...] = ()


def measure(outputs: RegistrationOutputs, pairs: Sequence[CartilagePair] | None = None) -> Measurement:
    """All of :func:`measureSteps` at once."""
    return finished(measureSteps(outputs, pairs))


def measureSteps(outputs: RegistrationOutputs, pairs: Sequence[CartilagePair] | None = None) -> Steps:
    """Measure a run, step by step.

    Args:
        outputs: of the run; its inputs are read where they are now, without the run's own transform.
        pairs: which cartilage lies on which bone, by segment name; None to guess from the names, see
            :func:`.cartilage.guessedPairs`.

    Yields:
        The fraction done and what comes next.

    Returns:
        The figures.

    Raises:
        InputError: if a segmentation has become empty, or ``pairs`` names a segment that is in neither.
    """
    inputs, result = outputs.inputs, outputs.result
    displacement = yield from named(displacement_steps(result.displacement_field_mm), 0.0, _("displacement"))
    labels = yield from _readLabels(inputs, result, outputs.nodes.transform)
    segments, overall = yield from _segmentSteps(labels, result)
    cartilage = yield from _cartilageSteps(labels, result, _checkedPairs(labels, pairs))
    landmarks, notes = _landmarkErrors(inputs, result, outputs.nodes.transform)
    return Measurement(
        segments,
        overall,
        result.similarity_before,
        result.similarity_after,
        result.inverse_error_mean_mm,
        result.inverse_error_max_mm,
        result.folds.count,
        displacement,
        cartilage,
        landmarks,
        notes,
    )


# -- segments -------------------------------------------------------------------------------------------


def _readLabels(
    inputs: InputNodes, result: RegistrationResult, leftOut: TransformNode | None
) -> Generator[tuple[float, str], None, Any]:
    fixed = before = warped = moving = None
    grid = result.fixed_grid
    if inputs.fixedSegmentation is not None:
        fixed = yield from named(labelSteps(inputs.fixedSegmentation, grid, leftOut=leftOut), 0.05, _("fixed segments"))
    if inputs.movingSegmentation is not None:
        node = inputs.movingSegmentation
        moving = yield from named(labelSteps(node, result.moving_grid, leftOut=leftOut), 0.07, _("moving segments"))
        steps = labelSteps(node, grid, result.displacement_field_mm, leftOut=leftOut)
        warped = yield from named(steps, 0.1, _("warped segments"))
        if fixed is not None:
            steps = labelSteps(node, grid, leftOut=leftOut)
            before = yield from named(steps, 0.17, _("moving segments as they lay"))
    return RunSegments(fixed, moving, before, warped)


def _segmentSteps(labels: RunSegments, result: RegistrationResult) -> Generator[tuple[float, str], None, Any]:
    names = labels.segments
    figures, counts = [], []
    for index, name in enumerate(names):
        at = 0.2 + 0.5 * index / len(names)
        yield at, name
        count = SegmentCount(result.fixed_grid)
        fixed, warped = _mask(labels.fixed, name), _mask(labels.warped, name)
        yield from named(count.compareSteps(fixed, _mask(labels.before, name), after=False), at, name)
        half = at + 0.25 / len(names)
        yield from named(count.compareSteps(fixed, warped, after=True), half, name)
        count.addVolumes(fixed, _mask(labels.moving, name), warped, result)
        figures.append((yield from named(count.figureSteps(name, names[name].color), half, name)))
        counts.append(count)
    if not counts:
        return (), None
    pooled = SegmentCount.of(counts).figureSteps("All segments", (0.5, 0.5, 0.5))
    return tuple(figures), (yield from named(pooled, 0.7, _("all segments")))


def _mask(layers: SegmentLayers | None, name: str) -> Mask | None:
    segment = None if layers is None else layers.find(name)
    return None if layers is None or segment is None else layers.mask(segment)


# -- cartilage and landmarks ----------------------------------------------------------------------------


def _checkedPairs(labels: RunSegments, pairs: Sequence[CartilagePair] | None) -> tuple[CartilagePair, ...]:
    names = list(labels.segments)
    if pairs is None:
        return guessedPairs(names)
    for pair in pairs:
        for name in (pair.cartilage, pair.bone):
            if name is not None and name not in names:
                raise InputError(f"thickness: there is no segment {name!r}; known are {', '.join(names)}")
    return tuple(pairs)


def _cartilageSteps(
    labels: RunSegments, result: RegistrationResult, pairs: Sequence[CartilagePair]
) -> Generator[tuple[float, str], None, tuple[CartilageFigures, ...]]:
    found = []
    states = (
        (labels.fixed, result.fixed_grid),
        (labels.moving, result.moving_grid),
        (labels.warped, result.fixed_grid),
    )
    for index, pair in enumerate(pairs):
        thicknesses: list[Thickness | None] = []
        for number, (layers, grid) in enumerate(states):
            at = 0.7 + 0.3 * (index + number / 4) / len(pairs)
            what = _("thickness of {cartilage}").format(cartilage=pair.cartilage)
            yield at, what
            mask = _mask(layers, pair.cartilage)
            bone = None if pair.bone is None else _mask(layers, pair.bone)
            measured = None if mask is None else (yield from named(thicknessSteps(mask, bone, grid), at, what))
            thicknesses.append(measured)
        fixed, moving = thicknesses[:2]
        change = None
        if fixed is not None and moving is not None:
            what = _("thickness change of {cartilage}").format(cartilage=pair.cartilage)
            changing = thicknessChangeSteps(fixed, moving, result.displacement_field_mm, result.fixed_grid)
            change = yield from named(changing, 0.7 + 0.3 * (index + 0.75) / len(pairs), what)
        profile, cartilage = None, _mask(labels.fixed, pair.cartilage)
        if fixed is not None and pair.bone is not None and cartilage is not None:
            what = _("depth in {cartilage}").format(cartilage=pair.cartilage)
            profiling = depthSteps(cartilage, fixed, result)
            profile = yield from named(profiling, 0.7 + 0.3 * (index + 0.9) / len(pairs), what)
        means = (_NAN if thickness is None else thickness.meanMm for thickness in thicknesses)
        before, after, warped = means
        color = labels.segments[pair.cartilage].color
        found.append(CartilageFigures(pair, color, before, after, warped, change, profile))
    return tuple(found)


def _landmarkErrors(
    inputs: InputNodes, result: RegistrationResult, leftOut: TransformNode | None
) -> tuple[tuple[LandmarkError, ...], tuple[str, ...]]:
    if inputs.fixedLandmarks is None or inputs.movingLandmarks is None:
        return (), ()
    try:
        points = landmarksFromMarkups(inputs.fixedLandmarks, inputs.movingLandmarks, leftOut)
    except InputError as error:  # edited since the run: the other numbers are still worth having
        return (), (str(error),)
    before = tre_mm(points, lambda there: there)
    after = tre_mm(points, displacement_transform(result.displacement_field_mm, result.fixed_grid))
    names = [name or str(index) for index, name in enumerate(points.names, start=1)]
    errors = (LandmarkError(*row) for row in zip(names, before.tolist(), after.tolist(), strict=True))
    return tuple(errors), ()
