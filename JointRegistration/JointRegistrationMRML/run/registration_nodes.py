"""The nodes that go into a run and the nodes that come out of it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from JointRegistrationLib.core.errors import InputError
from JointRegistrationLib.core.result import RegistrationResult

from ..mrml import PointsNode, SegmentationNode, TableNode, TransformNode, VolumeNode
from ..scene.transaction import RunRecord


@dataclass(frozen=True)
class Overlap:
    """Dice of a moving segment with the fixed one of the same name: as the images lay, and registered."""

    name: str
    before: float
    after: float


@dataclass(frozen=True)
class InputNodes:
    """The nodes of one run. Masks are label maps or segmentations; landmarks are point lists.

    ``fixedMaskSegment`` and ``movingMaskSegment``: id or name of the one segment of a mask that counts; empty for all.

    ``fixedSegmentation`` is for measuring the overlap only. ``initialTransform`` is linear and brings moving
    nodes near the fixed image. ``startTransform`` is an earlier run's transform, to be refined further; it goes
    before the other starts, and may itself be given the result.
    """

    fixed: VolumeNode
    moving: VolumeNode
    fixedMask: Any = None
    movingMask: Any = None
    fixedMaskSegment: str = ""
    movingMaskSegment: str = ""
    fixedLandmarks: PointsNode | None = None
    movingLandmarks: PointsNode | None = None
    movingSegmentation: SegmentationNode | None = None
    fixedSegmentation: SegmentationNode | None = None
    initialTransform: TransformNode | None = None
    startTransform: TransformNode | None = None


@dataclass(frozen=True)
class OutputOptions:
    """Which results are wanted.

    ``showMovingTransformed`` puts the moving volume, its segmentation and its landmarks under the transform.
    """

    transform: bool = True
    inverseTransform: bool = True
    affine: bool = True
    warpedVolume: bool = True
    warpedSegmentation: bool = True
    jacobian: bool = True
    folds: bool = True
    resultsTable: bool = True
    showMovingTransformed: bool = False

    def __post_init__(self) -> None:
        if self.showMovingTransformed and not self.transform:
            raise InputError("outputs: the moving volume can be shown transformed only if the transform is wanted")


@dataclass(frozen=True)
class OutputNodes:
    """Result nodes by kind; None where there is none. Also how a caller names nodes to be reused.

    ``transform`` takes moving nodes to the fixed image, ``inverseTransform`` fixed nodes to the moving
    image; see :mod:`.nodes.transforms` for what each side of them holds.
    """

    transform: TransformNode | None = None
    inverseTransform: TransformNode | None = None
    affine: TransformNode | None = None
    warpedVolume: VolumeNode | None = None
    warpedSegmentation: SegmentationNode | None = None
    jacobian: VolumeNode | None = None
    folds: SegmentationNode | None = None
    resultsTable: TableNode | None = None


@dataclass(frozen=True)
class RegistrationOutputs:
    """What a run left in the scene: its nodes, its subject-hierarchy folder (0: none), the figures and the inputs.

    ``record`` is what :func:`.transaction.discard` needs to take the run back; it holds on to the old content
    of reused nodes, so drop it when it is no longer wanted. ``overlaps`` is empty without a fixed segmentation.
    """

    nodes: OutputNodes
    folderItem: int
    result: RegistrationResult
    inputs: InputNodes
    record: RunRecord
    overlaps: tuple[Overlap, ...] = ()


#: The class of each result's node, and the results that a run can put into the scene.
OUTPUT_CLASSES = {
    "transform": "vtkMRMLTransformNode",
    "inverseTransform": "vtkMRMLTransformNode",
    "affine": "vtkMRMLTransformNode",
    "warpedVolume": "vtkMRMLScalarVolumeNode",
    "warpedSegmentation": "vtkMRMLSegmentationNode",
    "jacobian": "vtkMRMLScalarVolumeNode",
    "folds": "vtkMRMLSegmentationNode",
    "resultsTable": "vtkMRMLTableNode",
}
OUTPUT_KINDS = tuple(field.name for field in fields(OutputNodes))
