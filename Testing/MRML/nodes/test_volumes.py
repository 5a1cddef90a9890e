"""Volume nodes to world images and back, whatever stands above the node."""

from __future__ import annotations

import numpy as np
import pytest
import slicer
import vtk

from JointRegistrationLib.core.errors import GeometryError, InputError
from JointRegistrationLib.core.geometry import Grid, transform_points
from JointRegistrationLib.core.image import Image
from JointRegistrationMRML.nodes.arrays import numpyView, vtkMatrix
from JointRegistrationMRML.nodes.volumes import imageFromVolume, volumeFromImage
from Testing.Support.at_once import gridTransformNode
from Testing.Support.known_scene import latticePoints


def _blobs(grid: Grid, points_ras: np.ndarray | None = None) -> np.ndarray:
    """A smooth scene defined in the world, at the lattice's points or at the points given."""
    if points_ras is None:
        points_ras = latticePoints(grid)
    centres = np.array([[5.0, -10, 20], [10, -4, 24], [0, -16, 14]])
    return sum(
        height * np.exp(-np.square(points_ras - centre).sum(axis=-1) / (2 * 6.0**2))
        for height, centre in zip((100.0, 60.0, 40.0), centres, strict=True)
    )


def _linearParent(matrix: np.ndarray, scene) -> object:
    node = scene.AddNewNodeByClass("vtkMRMLTransformNode", "parent")
    node.SetMatrixTransformToParent(vtkMatrix(matrix))
    return node


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.float32, np.float64])
def test_image_to_node_and_back_is_exact(grid, rng, dtype):
    array = (rng.random(grid.shape) * 200).astype(dtype)
    back = imageFromVolume(volumeFromImage(Image(array, grid), "knee"))
    assert back.name == "knee"
    assert back.array.dtype == dtype
    np.testing.assert_array_equal(back.array, array)
    assert back.grid.is_close(grid, 1e-9)


def test_node_geometry_agrees_with_the_grid_for_single_voxels(grid):
    node = volumeFromImage(Image(np.zeros(grid.shape, np.float32), grid), "knee")
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    expected = transform_points(grid.ijk_to_ras, (3, 5, 7))
    np.testing.assert_allclose(matrix.MultiplyPoint((3, 5, 7, 1))[:3], expected, atol=1e-9)


def test_reading_a_volume_does_not_copy_its_voxels(grid):
    node = volumeFromImage(Image(np.zeros(grid.shape, np.float32), grid), "knee")
    assert np.shares_memory(imageFromVolume(node).array, numpyView(node.GetImageData()))


def test_the_array_outlives_its_node(grid, rng):
    array = rng.random(grid.shape)
    node = volumeFromImage(Image(array, grid), "knee")
    image = imageFromVolume(node)
    del node
    np.testing.assert_array_equal(image.array, array)


def test_the_node_does_not_share_memory_with_the_caller(grid):
    array = np.zeros(grid.shape, np.float32)
    node = volumeFromImage(Image(array, grid), "knee")
    array[:] = 7
    assert imageFromVolume(node).array.max() == 0


@pytest.mark.parametrize(
    ("given", "stored"),
    [(np.bool_, np.uint8), (np.float16, np.float32), (np.int64, np.int32)],
)
def test_types_that_slicer_cannot_show_become_ones_it_can(grid, given, stored):
    image = imageFromVolume(volumeFromImage(Image(np.ones(grid.shape, given), grid), "mask"))
    assert image.array.dtype == stored
    assert np.all(image.array == 1)


def test_large_integers_are_not_wrapped_around(grid):
    node = volumeFromImage(Image(np.full(grid.shape, 2**40, np.int64), grid), "counts")
    assert np.all(imageFromVolume(node).array == 2**40)


def test_label_map_node_is_made_for_integers_only(grid):
    node = volumeFromImage(Image(np.ones(grid.shape, np.uint8), grid), "labels", labels=True)
    assert node.IsA("vtkMRMLLabelMapVolumeNode")
    with pytest.raises(InputError, match="integers"):
        volumeFromImage(Image(np.ones(grid.shape, np.float32), grid), "labels", labels=True)


def test_linear_parents_are_folded_into_the_grid_without_resampling(grid):
    scene = slicer.vtkMRMLScene()
    node = scene.AddNode(volumeFromImage(Image(_blobs(grid).astype(np.float32), grid), "knee"))
    angle = np.deg2rad(30)
    rotation = np.eye(4)
    rotation[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    shift = np.eye(4)
    shift[:3, 3] = (10, 20, -30)
    inner, outer = _linearParent(rotation, scene), _linearParent(shift, scene)
    inner.SetAndObserveTransformNodeID(outer.GetID())
    node.SetAndObserveTransformNodeID(inner.GetID())
    image = imageFromVolume(node)
    np.testing.assert_allclose(image.grid.ijk_to_ras, shift @ rotation @ grid.ijk_to_ras, atol=1e-9)
    assert np.shares_memory(image.array, numpyView(node.GetImageData()))


def test_sheared_parent_is_resampled_where_the_content_lies(grid):
    scene = slicer.vtkMRMLScene()
    shear = np.eye(4)
    shear[0, 1], shear[2, 3] = 0.2, 4.0
    node = scene.AddNode(volumeFromImage(Image(_blobs(grid).astype(np.float32), grid), "knee"))
    node.SetAndObserveTransformNodeID(_linearParent(shear, scene).GetID())
    image = imageFromVolume(node)
    _assertShowsWorld(image, grid, lambda world: transform_points(np.linalg.inv(shear), world))


def test_non_linear_parent_is_resampled_where_the_content_lies(grid):
    scene = slicer.vtkMRMLScene()
    lattice = Grid((9, 9, 9), (12.0,) * 3, (-43.0, -58.0, -28.0))
    z = np.linspace(0, 2 * np.pi, 9)[:, None, None]
    field = np.zeros((9, 9, 9, 3))
    field[..., 0], field[..., 1] = 6 + 2 * np.sin(z), -3.0
    parent = scene.AddNode(gridTransformNode(field, lattice, "bend"))
    node = scene.AddNode(volumeFromImage(Image(_blobs(grid).astype(np.float32), grid), "knee"))
    node.SetAndObserveTransformNodeID(parent.GetID())
    image = imageFromVolume(node)

    def toNode(world):
        flat = world.reshape(-1, 3)
        transform = parent.GetTransformFromParent()
        return np.array([transform.TransformPoint(point) for point in flat]).reshape(world.shape)

    _assertShowsWorld(image, grid, toNode)
    assert not np.shares_memory(image.array, numpyView(node.GetImageData()))


def _assertShowsWorld(image: Image, own: Grid, toNode) -> None:
    world = latticePoints(image.grid)
    expected = _blobs(own, toNode(world))
    centre = np.linalg.norm(world - world.reshape(-1, 3).mean(axis=0), axis=-1) < 12
    assert centre.sum() > 100
    difference = np.abs(image.array - expected)[centre]
    assert difference.max() < 6.0  # of 100: linear interpolation at spacings up to 3.6 mm
    assert difference.mean() < 1.5
    assert image.array.max() > 80


def test_label_map_under_a_non_linear_parent_gets_no_new_values(grid, rng):
    scene = slicer.vtkMRMLScene()
    labels = rng.choice([0, 3, 9], size=grid.shape).astype(np.uint8)
    node = scene.AddNode(volumeFromImage(Image(labels, grid), "labels", labels=True))
    shear = np.eye(4)
    shear[0, 1] = 0.2
    node.SetAndObserveTransformNodeID(_linearParent(shear, scene).GetID())
    assert set(np.unique(imageFromVolume(node).array)) == {0, 3, 9}


def test_missing_empty_colour_and_flat_volumes_are_named_in_the_error():
    with pytest.raises(InputError, match="no volume is selected"):
        imageFromVolume(None)
    empty = slicer.vtkMRMLScalarVolumeNode()
    empty.SetName("empty one")
    with pytest.raises(InputError, match=r"empty one.*no voxels"):
        imageFromVolume(empty)
    colour = slicer.vtkMRMLVectorVolumeNode()
    colour.SetName("photo")
    image = vtk.vtkImageData()
    image.SetDimensions(4, 4, 4)
    image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 3)
    colour.SetAndObserveImageData(image)
    with pytest.raises(InputError, match=r"photo.*one value per voxel"):
        imageFromVolume(colour)
    flat = slicer.vtkMRMLScalarVolumeNode()
    flat.SetName("slice")
    image = vtk.vtkImageData()
    image.SetDimensions(4, 4, 1)
    image.AllocateScalars(vtk.VTK_FLOAT, 1)
    flat.SetAndObserveImageData(image)
    with pytest.raises(GeometryError, match=r"slice.*at least 2 voxels"):
        imageFromVolume(flat)
    model = slicer.vtkMRMLModelNode()
    model.SetName("bone")
    with pytest.raises(InputError, match=r"bone.*a volume is needed"):
        imageFromVolume(model)
