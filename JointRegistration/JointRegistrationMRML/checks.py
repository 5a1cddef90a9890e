"""What speaks against a run, found before it starts: from headers and a few voxels, in milliseconds.

Everything here the run itself would notice too, but later. What only the voxels can tell (which knee it
is, by its anatomy) is checked in the run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from JointRegistrationLib.config import RegistrationConfig
from JointRegistrationLib.errors import GeometryError, InputError, ResourceError
from JointRegistrationLib.geometry import Grid, transform_points
from JointRegistrationLib.image import MIN_OVERLAP, MIN_SIZE
from JointRegistrationLib.plan import estimate_plan, low_memory

from .nodes import gridOf, newNode, numpyView, transformPoints, vtkMatrix, worldTransform
from .publish import InputNodes
from .segmentations import BINARY_LABELMAP
from .transaction import SceneTransaction
from .undo import RunRecord
from .volumes import LABEL_MAP, checkVolume, ijkToRasOf

ERROR, WARNING = "error", "warning"
CENTRE, RESOLUTION = "centre", "resolution"

#: What a field of view of a knee is, in mm: its longest and its shortest side.
_LONGEST_MM, _SHORTEST_MM = (70.0, 450.0), (30.0, 300.0)
_COARSEST_SPACING_MM = 8.0
_LARGEST_ANISOTROPY = 12.0
#: Below this share of common field of view a run may still work, but is likely to begin wrongly.
_LITTLE_OVERLAP = 0.25
_SAMPLES_PER_AXIS = 24
_HULL_SAMPLES = 12


@dataclass(frozen=True)
class Remedy:
    """A way out that :func:`applyRemedy` can take. ``config``: for "resolution", what to register with instead."""

    kind: str
    label: str
    config: RegistrationConfig | None = None


@dataclass(frozen=True)
class Problem:
    """One thing in the way: an "error" prevents the run, a "warning" does not. ``text`` is a sentence."""

    severity: str
    text: str
    remedy: Remedy | None = None


@dataclass(frozen=True)
class Remedied:
    """What a remedy did: the configuration to use from now on, or the change of the scene, for ``undo.discard``."""

    config: RegistrationConfig | None = None
    record: RunRecord | None = None


def findProblems(
    nodes: InputNodes,
    config: RegistrationConfig,
    availableMemoryBytes: int | None = None,
    *,
    below: Any = None,
    device: str = "cpu",
) -> list[Problem]:
    """What is wrong or suspicious about the inputs of a run, errors first.

    Args:
        nodes: the run's nodes; volumes may still be None.
        config: method and settings.
        availableMemoryBytes: free memory where it will run; None if not known.
        below: the transform node that will be given the result, if one is reused: it does not count as
            standing above the inputs.
        device: where it will run, for the estimate of memory.
    """
    problems = list(_volumeProblems("fixed", nodes.fixed)) + list(_volumeProblems("moving", nodes.moving))
    if nodes.fixed is not None and nodes.fixed is nodes.moving:
        problems.append(Problem(ERROR, "Fixed and moving are the same volume: choose two."))
    usable = not any(problem.severity == ERROR for problem in problems)
    if usable:
        problems += _pairProblems(nodes, config, below)
        problems += _memoryProblems(nodes, config, availableMemoryBytes, device)
    problems += _landmarkProblems(nodes)
    for which, mask, volume in (
        ("fixed", nodes.fixedMask, nodes.fixed),
        ("moving", nodes.movingMask, nodes.moving),
    ):
        problems += _maskProblems(which, mask, volume if usable else None)
    for which, node in (("fixed", nodes.fixedSegmentation), ("moving", nodes.movingSegmentation)):
        problems += _segmentationProblems(f"{which} segmentation", node)
    return sorted(problems, key=lambda problem: problem.severity != ERROR)


def applyRemedy(scene: Any, problem: Problem, nodes: InputNodes) -> Remedied:
    """Take the way out that a problem offers.

    "centre" puts a new transform directly above the moving nodes, which brings the middle of the moving
    volume to the middle of the fixed one; no voxel is changed, and ``undo.discard`` takes it back.
    "resolution" returns another configuration.

    Raises:
        InputError: if the problem offers no way out.
    """
    remedy = problem.remedy
    if remedy is None:
        raise InputError(f"there is no remedy for this: {problem.text}")
    if remedy.kind == RESOLUTION:
        return Remedied(config=remedy.config)
    return Remedied(record=_centre(scene, nodes))


# -- one volume -----------------------------------------------------------------------------------------


def _volumeProblems(which: str, node: Any) -> Iterator[Problem]:
    if node is None:
        yield Problem(ERROR, f"Choose a {which} volume.")
        return
    try:
        name = checkVolume(node)
    except InputError as error:
        yield Problem(ERROR, _sentence(error))
        return
    size = node.GetImageData().GetDimensions()
    if min(size) < MIN_SIZE:
        slices = "a single slice" if min(size) == 1 else f"only {min(size)} slices"
        yield Problem(ERROR, f"{name} has {slices}: a 3D volume is needed.")
        return
    try:
        grid = gridOf(name, size, ijkToRasOf(node))
    except GeometryError as error:
        yield Problem(ERROR, _sentence(error))
        return
    if node.IsA(LABEL_MAP):
        yield Problem(WARNING, f"{name} is a label map: choose the image that it was drawn on.")
    yield from _voxelProblems(name, node.GetImageData())
    yield from _spacingProblems(name, grid)


def _voxelProblems(name: str, image: Any) -> Iterator[Problem]:
    few = _fewVoxels(image)
    if few.dtype.kind == "f" and not np.isfinite(few).all():
        yield Problem(
            ERROR, f"{name} holds values that are no numbers (NaN or infinite): replace them, for example by 0."
        )
    elif few.min() == few.max():
        low, high = image.GetScalarRange()
        if low == high:
            yield Problem(ERROR, f"{name} has the value {low:g} everywhere: there is nothing to align.")


def _fewVoxels(image: Any) -> npt.NDArray[Any]:
    array = numpyView(image)
    return array[tuple(slice(n // (4 * _SAMPLES_PER_AXIS), None, max(1, n // _SAMPLES_PER_AXIS)) for n in array.shape)]


def _spacingProblems(name: str, grid: Grid) -> Iterator[Problem]:
    spacing, extent = np.asarray(grid.spacing_mm), grid.extent_mm
    unlikely = not _within(extent.max(), _LONGEST_MM) or not _within(extent.min(), _SHORTEST_MM)
    size = " x ".join(f"{side:.0f}" for side in extent)
    if unlikely and np.allclose(spacing, 1.0):
        yield Problem(
            WARNING,
            f"{name} has voxels of exactly 1 x 1 x 1 mm and measures {size} mm: "
            "the spacing was probably lost in a conversion; correct it in the Volumes module.",
        )
    elif unlikely:
        yield Problem(WARNING, f"{name} measures {size} mm, which is unusual for a knee: check its spacing.")
    elif spacing.max() > _COARSEST_SPACING_MM or spacing.max() > _LARGEST_ANISOTROPY * spacing.min():
        voxel = " x ".join(f"{s:.3g}" for s in spacing)
        yield Problem(WARNING, f"{name} has voxels of {voxel} mm: between such slices little can be aligned.")


def _within(value: float, bounds: tuple[float, float]) -> bool:
    return bounds[0] <= value <= bounds[1]


# -- the two volumes ------------------------------------------------------------------------------------


def _pairProblems(nodes: InputNodes, config: RegistrationConfig, below: Any) -> Iterator[Problem]:
    yield from _sideProblems(nodes, config)
    guided = nodes.fixedLandmarks is not None or config.affine.initialization in ("center", "moments")
    if nodes.initialTransform is not None and not nodes.initialTransform.IsTransformToWorldLinear():
        name = nodes.initialTransform.GetName()
        yield Problem(
            ERROR, f"{name} is not linear: choose a linear initial transform, or put the moving volume under it."
        )
        return
    share = _overlap(nodes, below)
    fixed, moving = nodes.fixed.GetName(), nodes.moving.GetName()
    remedy = Remedy(CENTRE, "Centre the volumes")
    if share < MIN_OVERLAP and not guided:
        yield Problem(ERROR, f"{moving} and {fixed} do not overlap: bring them together first.", remedy)
    elif share < _LITTLE_OVERLAP and not guided:
        yield Problem(
            WARNING,
            f"{moving} covers only {100 * share:.0f} % of {fixed}: the run may begin in the wrong place.",
            remedy,
        )


def _overlap(nodes: InputNodes, below: Any) -> float:
    """Share of the fixed field of view that lies in the moving one, all transforms above them included."""
    axis = np.linspace(0.0, 1.0, _HULL_SAMPLES)
    unit = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    points = _toWorld(nodes.fixed, transform_points(_grid(nodes.fixed).unit_to_ras, unit), below)
    if nodes.initialTransform is not None:
        points = _fromWorld(nodes.initialTransform, points, None, itself=True)
    inside = transform_points(_grid(nodes.moving).ras_to_unit, _fromWorld(nodes.moving, points, below))
    return float(np.all((inside >= 0) & (inside <= 1), axis=1).mean())


def _grid(node: Any) -> Grid:
    return gridOf(node.GetName(), node.GetImageData().GetDimensions(), ijkToRasOf(node))


def _toWorld(node: Any, points: npt.NDArray[np.float64], below: Any) -> npt.NDArray[np.float64]:
    above = worldTransform(node, below)
    return points if above is None else transformPoints(above.toWorld, points)


def _fromWorld(node: Any, points: npt.NDArray[np.float64], below: Any, itself: bool = False) -> npt.NDArray[np.float64]:
    """World points in the coordinates of ``node``, or of what stands under the transform node ``itself``."""
    above = worldTransform(node, below)
    points = points if above is None else transformPoints(above.fromWorld, points)
    return transformPoints(node.GetTransformFromParent(), points) if itself else points


def _sideProblems(nodes: InputNodes, config: RegistrationConfig) -> Iterator[Problem]:
    fixed, moving = _side(nodes.fixed), _side(nodes.moving)
    if fixed and moving and fixed != moving:
        yield Problem(
            WARNING,
            f"{nodes.fixed.GetName()} is called a {fixed} knee and {nodes.moving.GetName()} a {moving} one: "
            "a left knee cannot be laid onto a right one.",
        )
    for node, side in ((nodes.fixed, fixed), (nodes.moving, moving)):
        if side and config.network.side in ("left", "right") and config.network.side != side:
            yield Problem(
                WARNING, f"{node.GetName()} is called a {side} knee, but the settings say {config.network.side}."
            )


_SIDE_WORDS = {"left": "left", "lt": "left", "right": "right", "rt": "right"}
_SIDE_LETTERS = {"l": "left", "r": "right"}


def _side(node: Any) -> str:
    """The side that a volume's attributes or name speak of; empty if none or both."""
    attributes = [name for name in (node.GetAttributeNames() or ()) if "laterality" in name.lower()]
    said = {_SIDE_LETTERS.get((node.GetAttribute(name) or "").strip().lower()[:1], "") for name in attributes} - {""}
    if not said:
        words = [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+|\d+", node.GetName() or "")]
        said = {_SIDE_WORDS[word] for word in words if word in _SIDE_WORDS}
        if not said:  # a letter alone means a side only beside the joint
            beside = {word for index, word in enumerate(words) if "knee" in words[max(index - 1, 0) : index + 2]}
            said = {_SIDE_LETTERS[word] for word in beside if word in _SIDE_LETTERS}
    return said.pop() if len(said) == 1 else ""


def _memoryProblems(
    nodes: InputNodes, config: RegistrationConfig, availableBytes: int | None, device: str
) -> Iterator[Problem]:
    if availableBytes is None:
        return
    grids = (_grid(nodes.fixed), _grid(nodes.moving))
    needed = estimate_plan(*grids, config, device).memory_bytes
    if needed <= availableBytes:
        return
    text = f"About {needed / 1e9:.1f} GB of memory are needed, but {availableBytes / 1e9:.1f} GB are free"
    try:
        remedy = Remedy(RESOLUTION, "Reduce the resolution", low_memory(config, grids, availableBytes, device))
    except ResourceError:
        yield Problem(WARNING, f"{text}: crop the volumes, or close other programs.")
    else:
        yield Problem(WARNING, f"{text}: reduce the resolution, or close other programs.", remedy)


# -- landmarks, masks, segmentations ----------------------------------------------------------------------


def _landmarkProblems(nodes: InputNodes) -> Iterator[Problem]:
    lists = {"fixed": nodes.fixedLandmarks, "moving": nodes.movingLandmarks}
    given = {which: node for which, node in lists.items() if node is not None}
    if len(given) == 1:
        yield Problem(ERROR, "Choose points for both images, or for none.")
    if len(given) < 2:
        return
    counts = {which: node.GetNumberOfControlPoints() for which, node in given.items()}
    if counts["fixed"] != counts["moving"]:
        yield Problem(
            ERROR,
            f"{lists['fixed'].GetName()} has {counts['fixed']} points and {lists['moving'].GetName()} "
            f"{counts['moving']}: give the same points in the same order in both.",
        )
    for node in given.values():
        if node.GetNumberOfControlPoints() == 0:
            yield Problem(ERROR, f"{node.GetName()} has no points: place some, or choose no points.")
        elif node.GetNumberOfDefinedControlPoints() < node.GetNumberOfControlPoints():
            yield Problem(ERROR, f"{node.GetName()} has a point that is not placed: place it or delete it.")


def _maskProblems(which: str, mask: Any, volume: Any) -> Iterator[Problem]:
    if mask is None:
        return
    if mask.IsA("vtkMRMLSegmentationNode"):
        yield from _segmentationProblems(f"{which} mask", mask)
        return
    try:
        name = checkVolume(mask)
    except InputError as error:
        yield Problem(ERROR, _sentence(error))
        return
    if mask.GetImageData().GetScalarRange()[1] <= 0:
        yield Problem(ERROR, f"{name} is empty: a mask is 1 where the {which} volume should be compared.")
    elif volume is not None and not _sameGrid(mask, volume):
        yield Problem(
            ERROR, f"{name} does not lie on the voxels of {volume.GetName()}: resample it, or use a segmentation."
        )


def _sameGrid(mask: Any, volume: Any) -> bool:
    try:
        return _grid(mask).is_close(_grid(volume), tolerance_mm=1e-2)
    except GeometryError:
        return False


def _segmentationProblems(what: str, node: Any) -> Iterator[Problem]:
    if node is None:
        return
    if not node.IsA("vtkMRMLSegmentationNode"):
        yield Problem(ERROR, f"{node.GetName()} is no segmentation: import the label map as one first.")
        return
    segmentation = node.GetSegmentation()
    if segmentation.GetNumberOfSegments() == 0:
        yield Problem(ERROR, f"{node.GetName()} has no segments: choose another {what}, or none.")
    elif not any(_holdsSomething(segmentation.GetSegment(segmentId)) for segmentId in segmentation.GetSegmentIDs()):
        yield Problem(ERROR, f"All segments of {node.GetName()} are empty: choose another {what}, or none.")


def _holdsSomething(segment: Any) -> bool:
    """Whether a segment has a surface, or a voxel of its own value within its label map."""
    labels = segment.GetRepresentation(BINARY_LABELMAP)
    if labels is None:
        bounds = [0.0] * 6
        segment.GetBounds(bounds)
        return bounds[0] <= bounds[1]
    scalars = labels.GetPointData().GetScalars()
    if scalars is None or scalars.GetNumberOfTuples() == 0:
        return False
    return bool(labels.GetScalarRange()[1] >= segment.GetLabelValue())


# -- remedies -------------------------------------------------------------------------------------------


def _centre(scene: Any, nodes: InputNodes) -> RunRecord:
    fixed = _toWorld(nodes.fixed, _grid(nodes.fixed).center_ras[None], None)
    if nodes.initialTransform is not None:
        fixed = _fromWorld(nodes.initialTransform, fixed, None, itself=True)
    matrix = np.eye(4)
    matrix[:3, 3] = (_fromWorld(nodes.moving, fixed, None) - _grid(nodes.moving).center_ras)[0]
    with SceneTransaction(scene) as transaction:
        built = newNode("vtkMRMLTransformNode", f"{nodes.moving.GetName()} centred on {nodes.fixed.GetName()}")
        built.SetMatrixTransformToParent(vtkMatrix(matrix))
        transform = transaction.put(built, None)
        parent = nodes.moving.GetParentTransformNode()
        transform.SetAndObserveTransformNodeID(None if parent is None else parent.GetID())
        for node in (nodes.moving, nodes.movingMask, nodes.movingLandmarks, nodes.movingSegmentation):
            if node is not None and node.GetParentTransformNode() is parent:
                transaction.setParentTransform(node, transform)
    return RunRecord(transaction)


def _sentence(error: InputError) -> str:
    return f"{error}."  # begins with the node's name, which keeps its first letter
