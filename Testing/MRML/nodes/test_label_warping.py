"""Labels carried without PyTorch are those that the library's own rule gives."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import vtk

from JointRegistrationLib.core.geometry import Grid
from JointRegistrationLib.core.lattices import sampling
from JointRegistrationLib.core.lattices.sampling import LabelMap
from JointRegistrationLib.ops import maps
from JointRegistrationMRML.nodes.world import transformPoints
from Testing.Support.at_once import gridTransform, warpLabels
from Testing.Support.known_scene import FIXED_GRID, GRIDS, smoothField


def _labels(grid: Grid, kinds: int, rng: np.random.Generator) -> np.ndarray:
    """Patches of a few voxels, each label touching several others, with a rim of background."""
    coarse = rng.integers(0, kinds + 1, size=tuple(-(-n // 3) for n in grid.shape))
    labels = np.kron(coarse, np.ones((3, 3, 3), int))[tuple(slice(n) for n in grid.shape)]
    return np.pad(labels[1:-1, 1:-1, 1:-1], 1).astype(np.uint8)


def _byTheLibrary(labels: np.ndarray, labelGrid: Grid, points: np.ndarray) -> np.ndarray:
    map_ras = torch.from_numpy(np.moveaxis(points, -1, 0).copy())[None]
    return maps.warp_labels(torch.from_numpy(labels.astype(np.int32))[None, None], labelGrid, map_ras)[0, 0].numpy()


def _points(grid: Grid) -> np.ndarray:
    return np.moveaxis(maps.identity(grid, dtype=torch.float64)[0].numpy(), 0, -1)


def _assertAlmostAll(found: np.ndarray, expected: np.ndarray) -> None:
    """Equal but for points where two labels have the same weight up to rounding."""
    assert (found > 0).sum() > 500
    assert (found != expected).mean() < 2e-4


@pytest.mark.parametrize("kinds", [1, 6, 200])
def test_labels_follow_the_library_s_rule(grid, rng, kinds):
    labels, field = _labels(grid, kinds, rng), smoothField(FIXED_GRID)
    found = warpLabels(LabelMap(labels, grid), FIXED_GRID, field.astype(np.float32))
    assert found.dtype == labels.dtype
    _assertAlmostAll(found, _byTheLibrary(labels, grid, _points(FIXED_GRID) + field))


def test_result_does_not_depend_on_the_parts(rng, monkeypatch):
    grid = GRIDS["oblique-anisotropic-left-handed"]
    labels, field = _labels(grid, 4, rng), smoothField(FIXED_GRID)
    whole = warpLabels(LabelMap(labels, grid), FIXED_GRID, field)
    monkeypatch.setattr(sampling, "_PART_POINTS", 100)
    np.testing.assert_array_equal(warpLabels(LabelMap(labels, grid), FIXED_GRID, field), whole)


@pytest.mark.parametrize("linear", [True, False], ids=["linear", "non-linear"])
def test_transforms_above_the_labels_count(rng, linear):
    grid, offset = GRIDS["oblique"], np.array([3.3, -2.1, 4.7])
    matrix = np.eye(4)
    matrix[:3, 3] = offset
    fromWorld = vtk.vtkGeneralTransform()
    fromWorld.Concatenate(gridTransform(np.zeros((*FIXED_GRID.shape, 3)) - offset, FIXED_GRID))
    labels, field = _labels(grid, 4, rng), smoothField(FIXED_GRID)
    source = LabelMap(labels, grid, np.linalg.inv(matrix) if linear else None)
    bend = None if linear else lambda points: transformPoints(fromWorld, points)
    found = warpLabels(source, FIXED_GRID, field, bend)
    _assertAlmostAll(found, _byTheLibrary(labels, grid, _points(FIXED_GRID) + field - offset))


def test_without_a_field_labels_stay_where_they_are(grid, rng):
    labels = _labels(grid, 5, rng)
    np.testing.assert_array_equal(warpLabels(LabelMap(labels, grid), grid), labels)


def test_a_label_goes_before_the_background_and_the_lower_before_the_higher():
    grid = Grid((8, 8, 8))
    labels = np.zeros(grid.shape, np.uint16)
    labels[2:6, 2:6, 2:4], labels[2:6, 2:6, 4:6] = 7, 3
    half = np.zeros((*grid.shape, 3))
    half[..., 0] = 0.5
    found = warpLabels(LabelMap(labels, grid), grid, half)[3, 3]
    assert found.tolist() == [0, 7, 7, 3, 3, 3, 0, 0]
