"""Difference, checkerboard, choice of slices: arrays on the fixed lattice."""

from __future__ import annotations

import numpy as np
import pytest

from JointRegistrationLib.core.geometry import Grid, transform_points
from JointRegistrationLib.core.image import Image
from JointRegistrationMRML.measure.images import brightnessRange, checkerboard, differencePercent, edges
from JointRegistrationMRML.report.slices import mostTellingOffsets

GRID = Grid((24, 20, 16), (1.0, 1.5, 2.0), (-10.0, 20.0, 15.0), ((0, 0, 1), (-1, 0, 0), (0, -1, 0)))


def ramp(low: float, high: float) -> Image:
    return Image(np.linspace(low, high, GRID.num_voxels, dtype=np.float32).reshape(GRID.shape), GRID, "ramp")


def test_equal_images_differ_by_nothing_whatever_their_scale():
    fixed, other = ramp(1, 101), ramp(1000, 5000)
    assert np.abs(differencePercent(fixed, other, brightnessRange(other)).array).max() < 0.01


def test_the_difference_is_positive_where_the_fixed_image_is_brighter():
    fixed = ramp(0, 100)
    other = Image(np.full(GRID.shape, 50.0, np.float32), GRID, "flat")
    difference = differencePercent(fixed, other, (0.0, 100.0)).array
    assert difference.ravel()[-1] == pytest.approx(50, abs=0.5)
    assert difference.ravel()[0] == pytest.approx(-50, abs=0.5)


def test_no_difference_is_claimed_where_the_other_image_has_no_data():
    other = ramp(10, 20)
    other.array[:4] = 0
    assert (differencePercent(ramp(0, 100), other, (10.0, 20.0)).array[:4] == 0).all()


@pytest.mark.parametrize("size", [(48, 44, 40), (250, 250, 100)], ids=["as it is", "joined voxels"])
def test_edges_lie_on_the_boundary_of_a_ball(size):
    spacing = tuple(40.0 / n for n in size)
    grid = Grid(size, spacing, (-3.0, 5.0, 9.0))
    axes = [origin + step * np.arange(n) for origin, step, n in zip(grid.origin_ras, spacing, size, strict=True)]
    center = [axis.mean() for axis in axes]
    r, a, s = (np.square(axis - middle) for axis, middle in zip(axes, center, strict=True))
    distance = np.sqrt(s[:, None, None] + a[None, :, None] + r[None, None, :])
    found = edges(Image((1000.0 * (distance < 12)).astype(np.float32), grid, "ball"))
    places = transform_points(found.grid.ijk_to_ras, np.argwhere(found.array)[:, ::-1].astype(float))
    assert found.grid.num_voxels <= 6_000_000
    assert np.abs(np.linalg.norm(places - center, axis=1) - 12).max() < 1.2 * max(found.grid.spacing_mm)
    area = found.array.sum() * np.mean(found.grid.spacing_mm) ** 2
    assert 4 * np.pi * 12**2 * 0.6 < area < 4 * np.pi * 12**2 * 2  # one voxel thin, without holes


def test_the_checkerboard_shows_both_images_in_turn():
    black, white = (Image(ramp(0, 1).array * 0 + value, GRID, "flat") for value in (0.0, 1.0))
    black.array[0, 0, 0] = 1  # a range to scale by
    board = checkerboard(black, white, (0.0, 1.0), squareMm=8.0).array
    assert board.mean() == pytest.approx(0.5, abs=0.08)
    assert board[0, 0, 1] != board[0, 0, -1] or board[0, 1, 0] != board[0, -1, 0]
    changes = np.flatnonzero(np.diff(board[8, 10]))
    assert np.diff(changes).min() >= 6  # squares, not noise: 8 mm of 1 mm voxels


def test_slices_go_through_what_is_of_interest():
    mask = np.zeros(GRID.shape, bool)
    mask[3, 5:9, 6:12] = True
    point = transform_points(GRID.ijk_to_ras, (7, 6, 3))
    offsets = mostTellingOffsets(GRID, {0: mask, 2: mask})
    assert offsets[0] == pytest.approx(point[0])  # k runs along R
    assert offsets[1] == pytest.approx(GRID.center_ras[1])  # nothing asked for there
    first, last = (transform_points(GRID.ijk_to_ras, (0, j, 0))[2] for j in (5, 8))
    assert first >= offsets[2] >= last


def test_an_empty_mask_means_the_centre():
    offsets = mostTellingOffsets(GRID, {0: np.zeros(GRID.shape, bool)})
    np.testing.assert_allclose([offsets[axis] for axis in range(3)], GRID.center_ras)
