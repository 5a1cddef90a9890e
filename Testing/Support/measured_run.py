"""A registration by a linear map of a ball of bone and its cartilage, to be measured."""

from __future__ import annotations

import dataclasses

import numpy as np

from JointRegistrationLib.core.image import Image
from JointRegistrationLib.core.lattices.segments import SegmentLayers
from JointRegistrationMRML.nodes.segments.segmentations import segmentationFromLabels
from JointRegistrationMRML.run.registration_nodes import InputNodes, OutputNodes, RegistrationOutputs
from JointRegistrationMRML.scene.transaction import RunRecord
from Testing.Support.known_scene import GRIDS, addVolume, knownResult, latticePoints

GRID = GRIDS["oblique-anisotropic-left-handed"]
NAMES = ("Femur", "Femoral cartilage")


def masks(shiftMm=(0.0, 0.0, 0.0), scale=1.0):
    """A ball of bone and the cartilage around it, on GRID."""
    radius = np.linalg.norm((latticePoints(GRID) - GRID.center_ras - np.asarray(shiftMm)) / scale, axis=-1)
    return radius < 8, (radius >= 8) & (radius < 13)


def addSegments(scene, parts, name):
    labels = sum((value * mask for value, mask in enumerate(parts, start=1)), np.zeros(GRID.shape, np.uint8))
    titles = {value: (title, (0.2 * value, 0.5, 0.1)) for value, title in enumerate(NAMES, start=1)}
    segments = SegmentLayers.of(Image(labels.astype(np.uint8), GRID), titles)
    node = scene.AddNode(segmentationFromLabels(segments, name))
    node.CreateDefaultDisplayNodes()
    return node


def linearResult(matrix: np.ndarray):
    """A registration by a linear map about GRID's centre, on GRID."""
    points = latticePoints(GRID) - GRID.center_ras
    field = (points @ matrix.T - points).astype(np.float32)
    determinant = np.full(GRID.shape, np.linalg.det(matrix), np.float32)
    return dataclasses.replace(
        knownResult(folded=False),
        fixed_grid=GRID,
        moving_grid=GRID,
        displacement_field_mm=field,
        inverse_displacement_field_mm=-field,
        jacobian_determinant=determinant,
        warped=np.zeros(GRID.shape, np.float32),
    )


def outputsOf(scene, result, fixedParts, movingParts, **more) -> RegistrationOutputs:
    fixed = addVolume(scene, np.zeros(GRID.shape, np.int16), GRID, "fixed")
    moving = addVolume(scene, np.zeros(GRID.shape, np.int16), GRID, "moving")
    inputs = InputNodes(
        fixed,
        moving,
        fixedSegmentation=None if fixedParts is None else addSegments(scene, fixedParts, "fixed labels"),
        movingSegmentation=None if movingParts is None else addSegments(scene, movingParts, "moving labels"),
        **more,
    )
    return RegistrationOutputs(OutputNodes(), 0, result, inputs, RunRecord(None))


def addPoints(scene, points, name):
    node = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", name)
    for index, point in enumerate(points):
        node.AddControlPoint(*point, f"P{index + 1}")
    return node
