"""The real registration in a scene, on small synthetic images with grids that differ in everything."""

from __future__ import annotations

import numpy as np
import pytest
import vtk

from JointRegistrationLib.core.config import AffineConfig, RegistrationConfig, SimilarityConfig, VsvfConfig
from JointRegistrationLib.core.errors import RegistrationCancelled
from JointRegistrationLib.core.geometry import Grid, transform_points
from JointRegistrationMRML.nodes.arrays import numpyView, vtkMatrix
from JointRegistrationMRML.run.register import registerVolumes
from JointRegistrationMRML.run.registration_nodes import InputNodes
from JointRegistrationMRML.scene.headless import createHeadlessScene
from Testing.Support.at_once import maskSegmentation
from Testing.Support.known_scene import addVolume, latticePoints

pytest.importorskip("torch")

FIXED = Grid((28, 26, 24), (2.0, 2.0, 2.2), (-27.0, -25.0, -25.0))
MOVING = Grid((26, 28, 27), (2.1, 2.0, 2.0), (-26.0, 27.0, -26.0), ((1, 0, 0), (0, -1, 0), (0, 0, 1)))
QUICK = RegistrationConfig(
    method="vsvf-opt",
    device="cpu",
    affine=AffineConfig(initialization="identity", levels=(2,), iterations=15),
    vsvf=VsvfConfig(similarity=SimilarityConfig("ncc"), levels=(2,), iterations=6),
)


def _shape(points: np.ndarray) -> np.ndarray:
    """Two joined blobs; smooth, so that interpolation hides nothing."""
    first = np.square((points - (4.0, 0, 6)) / (11.0, 9, 7)).sum(axis=-1)
    second = np.square((points - (-2.0, 3, -9)) / (7.0, 10, 8)).sum(axis=-1)
    return 900 * np.exp(-first) + 700 * np.exp(-second)


def _pair(scene):
    """The moving anatomy is the fixed one moved by 4 mm; a transform above the moving node moves it by 2 mm back."""
    fixed = addVolume(scene, _shape(latticePoints(FIXED)).astype(np.float32), FIXED, "fixed")
    points = latticePoints(MOVING)
    moving = addVolume(scene, _shape(points - (4.0, 0, 0)).astype(np.int16), MOVING, "moving")
    labels = scene.AddNode(maskSegmentation(_shape(points - (4.0, 0, 0)) > 350, MOVING, "Bone", (0.9, 0.8, 0.5)))
    start = scene.AddNewNodeByClass("vtkMRMLTransformNode", "start")
    matrix = np.eye(4)
    matrix[0, 3] = -2.0
    start.SetMatrixTransformToParent(vtkMatrix(matrix))
    for node in (moving, labels):
        node.SetAndObserveTransformNodeID(start.GetID())
    return InputNodes(fixed, moving, movingSegmentation=labels), start


@pytest.fixture(scope="module")
def run():
    """One real run for all that look at its result."""
    headless = createHeadlessScene()
    nodes, start = _pair(headless.scene)
    yield headless, nodes, start, registerVolumes(headless.scene, nodes, QUICK)


def test_registration_in_the_scene_aligns_volume_and_labels(run):
    _, nodes, start, outputs = run
    result = outputs.result
    assert result.similarity_after > max(0.97, result.similarity_before)
    shape = _shape(latticePoints(FIXED))
    warped = numpyView(outputs.nodes.warpedVolume.GetImageData())
    np.testing.assert_array_equal(warped, result.warped)
    assert np.corrcoef(warped.ravel(), shape.ravel())[0, 1] > 0.99
    image = outputs.nodes.warpedSegmentation.GetSegmentation().GetSegment("Bone").GetRepresentation("Binary labelmap")
    a, b = numpyView(image) > 0, shape > 350
    assert 2 * (a & b).sum() / (a.sum() + b.sum()) > 0.93

    # What Slicer draws of the moving node, once it is under the result, is the warped volume.
    start.SetAndObserveTransformNodeID(outputs.nodes.transform.GetID())
    drawn = _drawn(nodes.moving, FIXED)
    inner = (slice(4, -4),) * 3
    assert np.abs(drawn - warped)[inner].max() < 1e-3 * warped.max()


def _drawn(node, grid: Grid) -> np.ndarray:
    """The volume as a slice view samples it: world point, all transforms above, voxel, linear interpolation."""
    fromWorld = vtk.vtkGeneralTransform()
    node.GetParentTransformNode().GetTransformFromWorld(fromWorld)
    toVoxel = vtk.vtkGeneralTransform()
    toVoxel.Concatenate(vtkMatrix(MOVING.ras_to_ijk))
    toVoxel.Concatenate(fromWorld)
    toVoxel.Concatenate(vtkMatrix(grid.ijk_to_ras))
    image = vtk.vtkImageCast()
    image.SetInputData(node.GetImageData())
    image.SetOutputScalarTypeToDouble()
    reslice = vtk.vtkImageReslice()
    reslice.SetInputConnection(image.GetOutputPort())
    reslice.SetResliceTransform(toVoxel)
    reslice.SetInterpolationModeToLinear()
    reslice.SetOutputSpacing(1, 1, 1)
    reslice.SetOutputOrigin(0, 0, 0)
    reslice.SetOutputExtent(*(bound for size in grid.size_ijk for bound in (0, size - 1)))
    reslice.Update()
    return numpyView(reslice.GetOutput())


def test_transform_and_inverse_in_the_scene_undo_each_other(run):
    *_, outputs = run
    points = transform_points(FIXED.unit_to_ras, np.random.default_rng(5).uniform(0.2, 0.8, (200, 3)))
    errors, vtkErrors = [], []
    for point in points:
        there = outputs.nodes.transform.GetTransformFromParent().TransformPoint(point)
        back = outputs.nodes.inverseTransform.GetTransformFromParent().TransformPoint(there)
        vtkBack = outputs.nodes.transform.GetTransformToParent().TransformPoint(there)
        errors.append(np.linalg.norm(np.asarray(back) - point))
        vtkErrors.append(np.linalg.norm(np.asarray(vtkBack) - point))
    assert np.mean(errors) < 0.1 * min(FIXED.spacing_mm)
    assert np.max(vtkErrors) < 1e-3


def test_cancelling_the_real_registration_leaves_the_scene_alone(scene):
    nodes, _ = _pair(scene)
    before = scene.GetNumberOfNodes()
    with pytest.raises(RegistrationCancelled):
        registerVolumes(scene, nodes, QUICK, cancelled=lambda: True)
    assert scene.GetNumberOfNodes() == before
