"""A run with a known answer for the section Inspect: a shift of 4 mm, with two planted folds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import slicer

from JointRegistrationLib.core.geometry import Grid
from JointRegistrationLib.core.lattices.sampling import LabelMap
from JointRegistrationLib.core.lattices.segments import SegmentLabel, SegmentLayers
from JointRegistrationLib.core.result import FoldCount, RegistrationResult
from JointRegistrationMRML.nodes.arrays import giveDisplay
from JointRegistrationMRML.nodes.segments.segmentations import segmentationFromLabels
from JointRegistrationMRML.run.publish import publishResult
from JointRegistrationMRML.run.registration_nodes import InputNodes, OutputOptions, RegistrationOutputs
from JointRegistrationMRML.run.saved_result import jacobianOf
from Testing.Support.results import made_result

SHIFT_MM = (4.0, 0.0, 0.0)
#: Where the planted folds are, voxels (k, j, i), the larger one first, and how strongly points are pulled there.
FOLDS = (((5, 5, 6), 14.0), ((26, 26, 25), 9.0))


def plantedField(grid: Grid, folded: bool = True) -> np.ndarray:
    """(k, j, i, 3) mm: the shift, and near each fold a pull along R that turns space inside out."""
    field = np.zeros((*grid.shape, 3), np.float32)
    field[...] = SHIFT_MM
    k, j, i = np.meshgrid(*(np.arange(n) for n in grid.shape), indexing="ij")
    for (k0, j0, i0), strength in FOLDS if folded else ():
        distance = np.square(k - k0) + np.square(j - j0) + np.square(i - i0)
        field[..., 0] -= strength * (i - i0) / 2 * np.exp(-distance / 4)
    return field


def knownResult(fixed: Any, grid: Grid, folded: bool = True) -> RegistrationResult:
    """The result that says so."""
    field = plantedField(grid, folded)
    determinant = jacobianOf(field, grid)
    count = int((determinant <= 0).sum())
    return made_result(
        grid,
        displacement_field_mm=field,
        inverse_displacement_field_mm=-field,
        jacobian_determinant=determinant,
        warped=slicer.util.arrayFromVolume(fixed).astype(np.float32),
        folds=FoldCount(count, 100 * count / grid.num_voxels, count),
    )


def addSegmentation(grid: Grid, name: str, volume: Any, centerR: float) -> Any:
    """A bone with cartilage of 5 mm around it, drawn on ``volume``."""
    indices = np.stack(np.meshgrid(*(np.arange(n) for n in grid.shape), indexing="ij"), axis=-1)[..., ::-1]
    places = indices * np.asarray(grid.spacing_mm) + np.asarray(grid.origin_ras)
    radius = np.linalg.norm(places - (centerR, 0, 0), axis=-1)
    labels = SegmentLayers(
        (LabelMap((1 * (radius < 18) + 1 * (radius < 13)).astype(np.uint8), grid),),
        (
            SegmentLabel("bone", "Femur", (0.9, 0.8, 0.5), 0, 2),
            SegmentLabel("cartilage", "Femoral cartilage", (0.2, 0.6, 0.9), 0, 1),
        ),
    )
    node = segmentationFromLabels(labels, name)
    giveDisplay(slicer.mrmlScene, node)
    slicer.mrmlScene.AddNode(node)
    node.SetNodeReferenceID(node.GetReferenceImageGeometryReferenceRole(), volume.GetID())
    return node


def addViewNodes(scene: Any) -> None:
    """What desktop Slicer's window has beside slice views: a layout and a crosshair."""
    scene.AddNewNodeByClass("vtkMRMLLayoutNode").SetViewArrangement(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)
    crosshair = slicer.vtkMRMLCrosshairNode()
    crosshair.SetCrosshairName("default")
    scene.AddNode(crosshair)


def publishKnown(scene: Any, folded: bool = True, options: OutputOptions | None = None) -> RegistrationOutputs:
    """Volumes, segmentations and the known run's results, in ``scene``."""
    from JointRegistrationMRML.nodes.arrays import gridOf
    from JointRegistrationMRML.nodes.world import ijkToRasOf
    from JointRegistrationPanel.selftests.tests import addEllipsoid

    fixed, moving = addEllipsoid("Fixed knee", 0.0), addEllipsoid("Moving knee", SHIFT_MM[0])
    grid = gridOf("fixed", fixed.GetImageData().GetDimensions(), ijkToRasOf(fixed))
    nodes = InputNodes(
        fixed,
        moving,
        fixedSegmentation=addSegmentation(grid, "Fixed segments", fixed, 0.0),
        movingSegmentation=addSegmentation(grid, "Moving segments", moving, SHIFT_MM[0]),
    )
    options = replace(options or OutputOptions(), showMovingTransformed=True)
    return publishResult(scene, nodes, knownResult(fixed, grid, folded), options)


def ui(person: Any) -> Any:
    """Return the controls of the section Inspect."""
    return person.panel.inspect.ui


def press(person: Any, name: str) -> None:
    """Press a button of the section."""
    person.host.click(getattr(ui(person), f"{name}Button"))
