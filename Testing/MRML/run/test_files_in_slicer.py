"""Files that the library writes, read by Slicer's own transform storage node."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import slicer
import vtk

from JointRegistrationLib.core.geometry import Grid, transform_points
from JointRegistrationLib.core.image import Image
from JointRegistrationLib.files import (
    read_transform,
    write_affine,
    write_displacement_field,
    write_image,
    write_transform,
)
from JointRegistrationMRML.nodes.world import transformPoints
from Testing.Support.known_scene import GRIDS, latticePoints, pointsInside, smoothField

AFFINE = np.array([[1.04, -0.12, 0.03, 2.0], [0.11, 0.97, -0.05, -3.0], [-0.02, 0.06, 1.02, 1.5], [0, 0, 0, 1]])


def totalField(grid: Grid) -> np.ndarray:
    points = latticePoints(grid)
    return (transform_points(AFFINE, points + smoothField(grid)) - points).astype(np.float32)


def loadedNode(scene: slicer.vtkMRMLScene, path: Path) -> slicer.vtkMRMLTransformNode:
    storage = slicer.vtkMRMLTransformStorageNode()
    storage.SetFileName(str(path))
    node = scene.AddNewNodeByClass("vtkMRMLTransformNode")
    assert storage.ReadData(node)
    return node


def pointsThrough(node: slicer.vtkMRMLTransformNode, points: np.ndarray, *, linear: bool = False) -> np.ndarray:
    """Points from parent. Slicer loads displacement fields with cubic interpolation, ITK interpolates linearly."""
    transform = node.GetTransformFromParent()
    parts = vtk.vtkCollection()
    slicer.vtkMRMLTransformNode.FlattenGeneralTransform(parts, transform)
    grids = [part for part in parts if isinstance(part, slicer.vtkOrientedGridTransform)]
    assert grids
    if linear:
        for grid in grids:
            grid.SetInterpolationModeToLinear()
    return transformPoints(transform, points)


@pytest.fixture
def scene() -> slicer.vtkMRMLScene:
    return slicer.vtkMRMLScene()


def test_slicer_reads_the_transform_as_from_parent(grid, rng, scene, tmp_path):
    write_transform(tmp_path / "transform.h5", totalField(grid), grid, AFFINE)
    node = loadedNode(scene, tmp_path / "transform.h5")
    atNodes = latticePoints(grid)[1:-1, 1:-1, 1:-1].reshape(-1, 3)[::53]
    expected = atNodes + totalField(grid)[1:-1, 1:-1, 1:-1].reshape(-1, 3)[::53]
    np.testing.assert_allclose(pointsThrough(node, atNodes), expected, atol=1e-3)
    assert np.linalg.norm(expected - atNodes, axis=1).max() > 2


def test_between_lattice_points_slicer_agrees_with_simpleitk_under_the_same_interpolation(grid, rng, scene, tmp_path):
    write_transform(tmp_path / "transform.h5", totalField(grid), grid, AFFINE)
    points = pointsInside(grid, rng)
    moved = pointsThrough(loadedNode(scene, tmp_path / "transform.h5"), points, linear=True)
    np.testing.assert_allclose(moved, read_transform(tmp_path / "transform.h5").apply(points), atol=1e-3)


def test_in_slicer_the_inverse_file_undoes_the_transform_file(scene, rng, tmp_path):
    torch = pytest.importorskip("torch")
    from JointRegistrationLib.ops import maps

    fixed, moving = GRIDS["oblique"], GRIDS["LPS"]
    inverse = maps.inverse(
        torch.as_tensor(smoothField(fixed)).movedim(-1, 0)[None], fixed, moving, affine_ras=AFFINE, iterations=100
    )
    inverseField = maps.displacement(inverse.map_ras, moving)[0].movedim(0, -1).numpy().astype(np.float32)
    write_transform(tmp_path / "transform.h5", totalField(fixed), fixed, AFFINE)
    write_transform(tmp_path / "inverse_transform.h5", inverseField, moving, np.linalg.inv(AFFINE))
    points = pointsInside(fixed, rng, margin=0.25)
    there = loadedNode(scene, tmp_path / "transform.h5").GetTransformFromParent()
    back = loadedNode(scene, tmp_path / "inverse_transform.h5").GetTransformFromParent()
    errors = np.linalg.norm(transformPoints(back, transformPoints(there, points)) - points, axis=1)
    assert errors.mean() < 0.1 * min(fixed.spacing_mm)


@pytest.mark.parametrize("name", ["field.nrrd", "field.nii.gz", "field.mha"])
def test_slicer_reads_a_displacement_field_image(name, grid, rng, scene, tmp_path):
    write_displacement_field(tmp_path / name, totalField(grid), grid)
    points = pointsInside(grid, rng)
    moved = pointsThrough(loadedNode(scene, tmp_path / name), points, linear=True)
    np.testing.assert_allclose(moved, read_transform(tmp_path / name).apply(points), atol=1e-3)
    assert np.linalg.norm(moved - points, axis=1).max() > 2


def test_slicer_reads_the_affine_as_from_parent(scene, rng, tmp_path):
    write_affine(tmp_path / "affine.tfm", AFFINE)
    points = pointsInside(GRIDS["RAS"], rng)
    moved = transformPoints(loadedNode(scene, tmp_path / "affine.tfm").GetTransformFromParent(), points)
    np.testing.assert_allclose(moved, transform_points(AFFINE, points), atol=1e-6)


def test_slicer_finds_an_image_where_its_grid_says(grid, scene, tmp_path):
    values = np.arange(grid.num_voxels, dtype=np.float32).reshape(grid.shape)
    write_image(Image(values, grid), tmp_path / "image.nrrd")
    storage = slicer.vtkMRMLVolumeArchetypeStorageNode()
    storage.SetFileName(str(tmp_path / "image.nrrd"))
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    assert storage.ReadData(node)
    from JointRegistrationMRML.nodes.volumes import imageFromVolume

    image = imageFromVolume(node)
    point = transform_points(grid.ijk_to_ras, [3, 4, 5])
    i, j, k = np.rint(transform_points(image.grid.ras_to_ijk, point)).astype(int)
    assert image.array[k, j, i] == values[5, 4, 3]
