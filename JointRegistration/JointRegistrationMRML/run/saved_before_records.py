"""Runs whose record is missing, found by what their nodes hold: of a scene saved by an earlier version, say.

A run is a transform node that refers to a fixed and a moving volume and stores a displacement grid with as many
voxels as the fixed volume. The other results refer to the same two volumes. Figures that no node holds but the results
table are read there; timings, settings but the method, and notes are not known.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import slicer
import vtk

from JointRegistrationLib.core.config import METHODS, RegistrationConfig

from ..mrml import DisplayableNode, Node, Scene, SegmentationNode, TableNode, TransformNode, VolumeNode
from ..nodes.arrays import INPUT_ROLES, numpyMatrix
from ..nodes.colors import COLOR_NAME
from ..nodes.jacobian import FOLDS_NAME
from ..nodes.transforms import FIXED_ROLE, MOVING_ROLE, affineFromNode, fixedToMovingGrid
from ..nodes.world import ijkToRasOf
from ..scene.transaction import nodesOf
from .record import FoundRun, SavedRun, recordedNodes, runOf
from .registration_nodes import InputNodes, OutputNodes

#: Where the results table holds which figure.
_ROWS = {
    "similarity_before": "NCC before",
    "similarity_after": "NCC after",
    "inverse_error_mean_mm": "inverse error, mean (mm)",
    "inverse_error_max_mm": "inverse error, greatest (mm)",
}


def findUnrecorded(scene: Scene) -> list[FoundRun]:
    """The runs in ``scene`` that no record refers to, in its order.

    A run's two transforms look alike: each is the inverse of the other. Of such a pair the one counts whose
    direction other results share; if there are none, the first one.
    """
    nodes = [node for node in _unrecordedNodes(scene) if _rolesOf(node) is not None]
    found = [run for run in (_runOf(node) for node in nodes if node.IsA("vtkMRMLTransformNode")) if run is not None]
    directions = {_rolesOf(node) for node in nodes if not _isGrid(node)}
    kept: list[FoundRun] = []
    for run in found:
        roles = (run.fixed.GetID(), run.moving.GetID())
        opposite = [other for other in found if (other.moving.GetID(), other.fixed.GetID()) == roles]
        shared = roles[::-1] in directions or any(other in kept for other in opposite)
        if not opposite or roles in directions or not shared:
            kept.append(run)
    return kept


def readUnrecorded(scene: Scene, run: FoundRun) -> SavedRun:
    """Read a run of :func:`findUnrecorded`."""
    nodes = _resultNodes(scene, run)
    return SavedRun(_guessedInputs(scene, run, nodes), nodes, _figures(nodes))


def folderOf(scene: Scene, node: Node) -> int:
    """The subject-hierarchy folder a node is in; 0 if it is in none."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    parent = hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node))
    return 0 if parent in (hierarchy.GetSceneItemID(), hierarchy.GetInvalidItemID()) else int(parent)


def _guessedInputs(scene: Scene, run: FoundRun, results: OutputNodes) -> InputNodes:
    """The run's volumes with its segmentations and points.

    They are those that the run noted on its transform. A run that noted none is given the segmentation after which
    its warped one is named, and for each volume one that was drawn on it: that refers to it or, if there is only
    one such, lies on its voxels.
    """
    noted = {name: run.transform.GetNodeReference(role) for name, role in INPUT_ROLES.items()}
    segmentations = [node for node in nodesOf(scene) if node.IsA("vtkMRMLSegmentationNode")]
    inputs = [node for node in segmentations if _rolesOf(node) is None and node.GetSaveWithScene()]
    warped = results.warpedSegmentation
    name = "" if warped is None else warped.GetName()
    moving = noted["movingSegmentation"] or next((node for node in inputs if f"{node.GetName()} warped" == name), None)
    moving = moving or _drawnOn(run.moving, inputs)
    fixed = noted["fixedSegmentation"] or _drawnOn(run.fixed, [node for node in inputs if node is not moving])
    return InputNodes(run.fixed, run.moving, **noted | {"movingSegmentation": moving, "fixedSegmentation": fixed})


def _drawnOn(volume: VolumeNode, segmentations: list[Any]) -> Any:
    """The first segmentation that refers to ``volume``, or the only one on its voxels; None without one."""
    role = slicer.vtkMRMLSegmentationNode.GetReferenceImageGeometryReferenceRole()
    for node in segmentations:
        if node.GetNodeReferenceID(role) == volume.GetID():
            return node
    free = [node for node in segmentations if node.GetNodeReferenceID(role) is None and _isOn(volume, node)]
    return free[0] if len(free) == 1 else None


def _isOn(volume: VolumeNode, segmentation: SegmentationNode) -> bool:
    """Whether the segmentation's own lattice is that of the volume."""
    converter, geometry = slicer.vtkSegmentationConverter, slicer.vtkOrientedImageData()
    text = segmentation.GetSegmentation().GetConversionParameter(converter.GetReferenceImageGeometryParameterName())
    if not text or not converter.DeserializeImageGeometry(text, geometry, False):
        return False
    matrix = vtk.vtkMatrix4x4()
    geometry.GetImageToWorldMatrix(matrix)
    image = volume.GetImageData()
    same = image is not None and image.GetDimensions() == geometry.GetDimensions()
    return same and bool(np.allclose(numpyMatrix(matrix), ijkToRasOf(volume), atol=1e-4))


def _resultNodes(scene: Scene, run: FoundRun) -> OutputNodes:
    """The run's results that are there. Of several runs on the same volumes, those in the transform's folder."""
    roles = (run.fixed.GetID(), run.moving.GetID())
    free = _unrecordedNodes(scene)
    same = [node for node in free if _rolesOf(node) == roles and node is not run.transform]
    inverses = [node for node in free if _rolesOf(node) == roles[::-1] and _isGrid(node)]
    several = any(_isGrid(node) for node in same)
    folder = folderOf(scene, run.transform)

    def first(nodes: list[Any], fits: Callable[[Any], bool]) -> Any:
        ours = (node for node in nodes if not several or folderOf(scene, node) == folder)
        return next((node for node in ours if fits(node)), None)

    return OutputNodes(
        transform=run.transform,
        inverseTransform=first(inverses, _isGrid),
        affine=first(same, lambda node: node.IsA("vtkMRMLTransformNode") and node.IsLinear()),
        warpedVolume=first(same, lambda node: _isVolume(node) and not _isJacobian(node)),
        warpedSegmentation=first(same, lambda node: node.IsA("vtkMRMLSegmentationNode") and not _isFolds(node)),
        jacobian=first(same, lambda node: _isVolume(node) and _isJacobian(node)),
        folds=first(same, lambda node: node.IsA("vtkMRMLSegmentationNode") and _isFolds(node)),
        resultsTable=first(same, lambda node: node.IsA("vtkMRMLTableNode") and _isResults(node)),
    )


def _figures(nodes: OutputNodes) -> dict[str, Any]:
    """What the results table and the affine transform hold of a run's figures."""
    table = _tableOf(nodes.resultsTable)
    figures: dict[str, Any] = {name: _number(table, row) for name, row in _ROWS.items()}
    figures["device"] = table.get("device", "")
    if table.get("method") in METHODS:
        figures["config"] = RegistrationConfig(method=table["method"])
    if nodes.affine is not None:
        figures["affine_ras"] = affineFromNode(nodes.affine)
    return figures


def _tableOf(node: TableNode | None) -> dict[str, str]:
    """Figure and value of a results table."""
    table = None if node is None else node.GetTable()
    if table is None or table.GetNumberOfColumns() < 2:
        return {}
    names, values = table.GetColumn(0), table.GetColumn(1)
    rows = range(table.GetNumberOfRows())
    return {names.GetVariantValue(row).ToString(): values.GetVariantValue(row).ToString() for row in rows}


def _number(table: dict[str, str], name: str) -> float:
    try:
        value = float(table.get(name, ""))
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan


def _unrecordedNodes(scene: Scene) -> list[Any]:
    recorded = recordedNodes(scene)
    return [node for node in nodesOf(scene) if node not in recorded]


def _rolesOf(node: Node) -> tuple[str, str] | None:
    """Ids of the fixed and the moving volume that a node refers to; None unless both are there."""
    volumes = [node.GetNodeReference(role) for role in (FIXED_ROLE, MOVING_ROLE)]
    if any(volume is None or not volume.IsA("vtkMRMLScalarVolumeNode") for volume in volumes):
        return None
    return volumes[0].GetID(), volumes[1].GetID()


def _runOf(transform: TransformNode) -> FoundRun | None:
    return runOf(transform, transform.GetNodeReference(FIXED_ROLE), transform.GetNodeReference(MOVING_ROLE))


def _isGrid(node: Any) -> bool:
    return bool(node.IsA("vtkMRMLTransformNode")) and fixedToMovingGrid(node) is not None


def _isVolume(node: Node) -> bool:
    return bool(node.IsA("vtkMRMLScalarVolumeNode"))


def _isJacobian(node: DisplayableNode) -> bool:
    colors = None if node.GetDisplayNode() is None else node.GetDisplayNode().GetColorNode()
    return colors is not None and str(colors.GetName()).startswith(COLOR_NAME)


def _isFolds(node: SegmentationNode) -> bool:
    segmentation = node.GetSegmentation()
    names = [segmentation.GetNthSegment(index).GetName() for index in range(segmentation.GetNumberOfSegments())]
    return names == [FOLDS_NAME]


def _isResults(node: TableNode) -> bool:
    return bool(node.GetTable().GetNumberOfColumns()) and node.GetTable().GetColumnName(0) == "Figure"
