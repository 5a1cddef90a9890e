"""Grid and affine transform nodes against the library's own map, SimpleITK, and files."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
import slicer
import vtk

from JointRegistrationLib.core.errors import InputError
from JointRegistrationLib.core.geometry import Grid, transform_points
from JointRegistrationMRML.nodes.arrays import vtkMatrix
from JointRegistrationMRML.nodes.transforms import (
    FIXED_ROLE,
    MOVING_ROLE,
    affineFromNode,
    affineTransformNode,
    displacementFromNode,
)
from JointRegistrationMRML.nodes.world import transformPoints
from Testing.Support.at_once import gridTransform, gridTransformNode
from Testing.Support.known_scene import GRIDS, latticePoints, pointsInside, smoothField

LPS = np.array([-1.0, -1.0, 1.0])


def _libraryPoints(field: np.ndarray, grid: Grid, points: np.ndarray) -> np.ndarray:
    torch = pytest.importorskip("torch")
    from JointRegistrationLib.ops import maps

    displacement = torch.as_tensor(field).movedim(-1, 0)[None]
    there = torch.as_tensor(points.T.copy()).reshape(1, 3, 1, 1, -1)
    moved = maps.compose_displacement(displacement, grid, there)
    return moved.reshape(3, -1).numpy().T


def _simpleItk(field: np.ndarray, grid: Grid) -> sitk.Transform:
    image = sitk.GetImageFromArray(field * LPS, isVector=True)
    image.SetSpacing(grid.spacing_mm)
    image.SetOrigin(grid.origin_lps)
    image.SetDirection(grid.direction_lps)
    return sitk.DisplacementFieldTransform(sitk.Cast(image, sitk.sitkVectorFloat64))


def test_node_sends_points_where_the_library_map_does(grid, rng):
    field = smoothField(grid)
    points = pointsInside(grid, rng)
    node = gridTransformNode(field, grid, "map")
    moved = transformPoints(node.GetTransformFromParent(), points)
    np.testing.assert_allclose(moved, _libraryPoints(field, grid, points), atol=1e-4)
    assert np.linalg.norm(moved - points, axis=1).max() > 2


def test_node_sends_points_where_simpleitk_does(grid, rng):
    field = smoothField(grid)
    points = pointsInside(grid, rng)
    reference = _simpleItk(field, grid)
    expected = np.array([reference.TransformPoint(point) for point in points * LPS]) * LPS
    moved = transformPoints(gridTransformNode(field, grid, "map").GetTransformFromParent(), points)
    np.testing.assert_allclose(moved, expected, atol=1e-4)


def test_vtk_inverts_the_node_within_a_thousandth_of_a_millimetre(grid, rng):
    points = pointsInside(grid, rng, margin=0.25)
    node = gridTransformNode(smoothField(grid), grid, "map")
    moved = transformPoints(node.GetTransformFromParent(), points)
    back = transformPoints(node.GetTransformToParent(), moved)
    assert np.linalg.norm(back - points, axis=1).max() < 1e-3


def test_inverse_node_agrees_with_vtks_own_inverse_of_the_forward_node(grid, rng):
    torch = pytest.importorskip("torch")
    from JointRegistrationLib.ops import maps

    field = smoothField(grid)
    displacement = torch.as_tensor(field).movedim(-1, 0)[None]
    inverse = maps.inverse(displacement, grid, grid, iterations=100, tolerance_mm=1e-6)
    inverseField = maps.displacement(inverse.map_ras, grid)[0].movedim(0, -1).numpy()
    forward = gridTransformNode(field, grid, "moving to fixed")
    backward = gridTransformNode(inverseField, grid, "fixed to moving")
    lattice = transform_points(grid.ijk_to_ras, np.argwhere(np.ones(grid.size_ijk)))[::7]
    inside = np.all(np.abs(transform_points(grid.ras_to_unit, lattice) - 0.5) < 0.25, axis=1)
    ours = transformPoints(backward.GetTransformFromParent(), lattice[inside])
    vtks = transformPoints(forward.GetTransformToParent(), lattice[inside])
    assert np.linalg.norm(ours - vtks, axis=1).max() < 1e-3


@pytest.mark.parametrize("extension", ["h5", "nrrd"])
def test_node_survives_its_file(grid, rng, tmp_path, extension):
    scene = slicer.vtkMRMLScene()
    field = smoothField(grid)
    node = scene.AddNode(gridTransformNode(field, grid, "map"))
    storage = slicer.vtkMRMLTransformStorageNode()
    storage.SetFileName(str(tmp_path / f"map.{extension}"))
    assert storage.WriteData(node)
    back = scene.AddNewNodeByClass("vtkMRMLTransformNode", "back")
    assert storage.ReadData(back)
    read, readGrid, fromParent = displacementFromNode(back)
    assert fromParent
    assert readGrid.is_close(grid)
    np.testing.assert_allclose(read, field, atol=1e-6)
    lattice = latticePoints(grid).reshape(-1, 3)[::11]
    expected = transformPoints(node.GetTransformFromParent(), lattice)
    np.testing.assert_allclose(transformPoints(back.GetTransformFromParent(), lattice), expected, atol=1e-3)
    # Slicer's reader switches to cubic interpolation: between lattice points a little else comes out.
    points = pointsInside(grid, rng)
    expected = transformPoints(node.GetTransformFromParent(), points)
    np.testing.assert_allclose(transformPoints(back.GetTransformFromParent(), points), expected, atol=0.02)
    back.GetTransformFromParentAs("vtkOrientedGridTransform").SetInterpolationModeToLinear()
    np.testing.assert_allclose(transformPoints(back.GetTransformFromParent(), points), expected, atol=1e-3)


def test_file_of_the_node_resamples_in_simpleitk_in_the_same_direction(grid, rng, tmp_path):
    scene = slicer.vtkMRMLScene()
    node = scene.AddNode(gridTransformNode(smoothField(grid), grid, "map"))
    storage = slicer.vtkMRMLTransformStorageNode()
    storage.SetFileName(str(tmp_path / "map.h5"))
    assert storage.WriteData(node)
    points = pointsInside(grid, rng)
    transform = sitk.ReadTransform(str(tmp_path / "map.h5"))
    moved = np.array([transform.TransformPoint(point) for point in points * LPS]) * LPS
    np.testing.assert_allclose(moved, transformPoints(node.GetTransformFromParent(), points), atol=1e-3)


def test_field_is_read_back_from_either_side(grid):
    field = smoothField(grid)
    node = gridTransformNode(field, grid, "map")
    read, readGrid, fromParent = displacementFromNode(node)
    assert fromParent
    assert readGrid.is_close(grid, 1e-9)
    np.testing.assert_allclose(read, field, atol=1e-12)
    other = slicer.vtkMRMLTransformNode()
    other.SetAndObserveTransformToParent(gridTransform(field, grid))
    read, readGrid, fromParent = displacementFromNode(other)
    assert not fromParent
    assert readGrid.is_close(grid, 1e-9)
    np.testing.assert_allclose(read, field, atol=1e-12)


def test_border_displacement_is_kept_outside_by_vtk_and_dropped_by_itk():
    grid = GRIDS["RAS"]
    field = np.full((*grid.shape, 3), (3.0, 0.0, 0.0))
    transform, itk = gridTransform(field, grid), _simpleItk(field, grid)
    last = np.asarray(grid.corners_ras[-1])
    justOutside, farOutside = last + 0.4 * np.asarray(grid.spacing_mm), last + 20
    np.testing.assert_allclose(transform.TransformPoint(justOutside) - justOutside, (3, 0, 0), atol=1e-9)
    np.testing.assert_allclose(itk.TransformPoint(justOutside * LPS) * LPS - justOutside, (3, 0, 0), atol=1e-9)
    np.testing.assert_allclose(transform.TransformPoint(farOutside) - farOutside, (3, 0, 0), atol=1e-9)
    np.testing.assert_allclose(itk.TransformPoint(farOutside * LPS) * LPS - farOutside, (0, 0, 0), atol=1e-9)


def test_affine_node_holds_fixed_to_moving_on_its_from_parent_side():
    matrix = np.array([[1.1, 0.1, 0, 5], [0, 0.9, 0.2, -3], [0.05, 0, 1, 2], [0, 0, 0, 1.0]])
    node = affineTransformNode(matrix, "affine")
    assert node.IsLinear()
    np.testing.assert_allclose(affineFromNode(node), matrix, atol=1e-12)
    toParent = vtk.vtkMatrix4x4()
    node.GetMatrixTransformToParent(toParent)
    moved = toParent.MultiplyPoint((*transform_points(matrix, (1, 2, 3)), 1))[:3]
    np.testing.assert_allclose(moved, (1, 2, 3), atol=1e-9)


def test_roles_are_the_core_ones():
    assert (FIXED_ROLE, MOVING_ROLE) == ("spatialRegistrationFixed", "spatialRegistrationMoving")


def test_bad_fields_and_wrong_kinds_of_transform_are_refused():
    grid = GRIDS["oblique"]
    with pytest.raises(InputError, match="shape"):
        gridTransform(np.zeros((3, 3, 3, 3)), grid)
    field = np.zeros((*grid.shape, 3))
    field[0, 0, 0, 0] = np.nan
    with pytest.raises(InputError, match="not finite"):
        gridTransform(field, grid)
    with pytest.raises(InputError, match="cannot be inverted"):
        affineTransformNode(np.diag([1.0, 1, 0, 1]), "flat")
    linear = affineTransformNode(np.eye(4), "linear one")
    with pytest.raises(InputError, match=r"linear one.*displacement grid"):
        displacementFromNode(linear)
    with pytest.raises(InputError, match="linear transform is needed"):
        affineFromNode(gridTransformNode(np.ones((*grid.shape, 3)), grid, "map"))


def test_volume_under_the_node_is_drawn_through_the_grid_itself(grid):
    """The slice view goes from world to voxels by the from-parent side: the exact one, not the inverse."""
    scene = slicer.vtkMRMLScene()
    node = scene.AddNode(gridTransformNode(smoothField(grid), grid, "map"))
    outer = scene.AddNewNodeByClass("vtkMRMLTransformNode", "outer")
    outer.SetMatrixTransformToParent(vtkMatrix(np.eye(4)))
    volume = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "moving")
    volume.SetAndObserveTransformNodeID(node.GetID())
    fromWorld = vtk.vtkGeneralTransform()
    volume.GetParentTransformNode().GetTransformFromWorld(fromWorld)
    point = grid.center_ras + 3
    expected = node.GetTransformFromParent().TransformPoint(point)
    np.testing.assert_allclose(fromWorld.TransformPoint(point), expected, atol=1e-12)
