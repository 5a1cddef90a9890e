"""The grid against SimpleITK's own conversions, on every orientation, and every error it raises."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st

from JointRegistrationLib.core.errors import GeometryError
from JointRegistrationLib.core.geometry import Grid, ras_to_lps_matrix, transform_points
from JointRegistrationLib.core.serialization import from_dict
from Testing.Support.grids import GRIDS, OBLIQUE, reorient_array, reoriented, rotation, sitk_image

FLIP = np.array([-1.0, -1.0, 1.0])


def header_only(grid: Grid) -> sitk.Image:
    return sitk_image(np.zeros(grid.shape, np.uint8), grid)


def random_ijk(grid: Grid, count: int = 20, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-3, np.asarray(grid.size_ijk) + 3, (count, 3))


# -- conversions ------------------------------------------------------------------------------------


def test_index_to_ras_is_simpleitk_s_with_the_first_two_axes_turned(grid):
    image = header_only(grid)
    for index in random_ijk(grid):
        expected = np.asarray(image.TransformContinuousIndexToPhysicalPoint(index.tolist())) * FLIP
        np.testing.assert_allclose(transform_points(grid.ijk_to_ras, index), expected, atol=1e-9)


def test_ras_to_index_is_simpleitk_s(grid):
    image = header_only(grid)
    for index in random_ijk(grid, seed=1):
        point = transform_points(grid.ijk_to_ras, index)
        expected = image.TransformPhysicalPointToContinuousIndex((point * FLIP).tolist())
        np.testing.assert_allclose(transform_points(grid.ras_to_ijk, point), expected, atol=1e-8)


def test_lps_header_round_trips_through_simpleitk(grid):
    image = header_only(grid)
    again = Grid.from_lps(image.GetSize(), image.GetSpacing(), image.GetOrigin(), image.GetDirection())
    assert again.is_close(grid, 1e-9)


def test_unit_coordinates_run_from_zero_to_one_between_corner_voxel_centres(grid):
    last = np.asarray(grid.size_ijk) - 1
    np.testing.assert_allclose(transform_points(grid.unit_to_ras, np.zeros(3)), grid.origin_ras)
    np.testing.assert_allclose(
        transform_points(grid.unit_to_ras, np.ones(3)), transform_points(grid.ijk_to_ras, last), atol=1e-9
    )
    index = random_ijk(grid)
    unit = transform_points(grid.ras_to_unit, transform_points(grid.ijk_to_ras, index))
    np.testing.assert_allclose(unit, index / last, atol=1e-10)


def test_center_and_corners_are_where_the_outermost_voxels_say(grid):
    last = np.asarray(grid.size_ijk) - 1
    corners = [transform_points(grid.ijk_to_ras, np.array(c) * last) for c in itertools.product((0, 1), repeat=3)]
    np.testing.assert_allclose(grid.corners_ras, corners, atol=1e-9)
    np.testing.assert_allclose(grid.center_ras, np.mean(corners, axis=0), atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(corners[-1] - corners[0]), np.linalg.norm(grid.extent_mm))


def test_a_grid_round_trips_through_its_matrix_and_through_json(grid):
    assert Grid.from_ijk_to_ras(grid.size_ijk, grid.ijk_to_ras).is_close(grid, 1e-9)
    assert from_dict(Grid, json.loads(json.dumps(grid.to_dict()))) == grid


def test_array_shape_is_the_size_reversed(oblique_grid):
    assert oblique_grid.size_ijk == (20, 18, 16)
    assert oblique_grid.shape == (16, 18, 20)
    assert oblique_grid.num_voxels == 20 * 18 * 16
    assert oblique_grid.voxel_volume_mm3 == pytest.approx(0.7 * 0.7 * 2.8)


@pytest.mark.parametrize(
    ("name", "letters"),
    [("ras", "RAS"), ("las", "LAS"), ("lps", "LPS"), ("permuted", "PSR"), ("oblique_left_handed", "RAI")],
)
def test_orientation_is_named_as_simpleitk_names_it(name, letters):
    grid = GRIDS[name]
    assert grid.orientation == letters
    # SimpleITK names the sides the axes point to in the same way, for its LPS direction.
    assert sitk.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(grid.direction_lps) == letters
    assert letters in grid.describe()


def test_each_ras_axis_is_followed_by_one_index_axis_even_when_very_oblique():
    direction = rotation((1, 1, 1), 45)
    grid = Grid((4, 4, 4), direction_ras=tuple(map(tuple, direction)))
    assert sorted(grid.ras_axes) == [0, 1, 2]


def test_a_transform_between_ras_points_is_converted_to_lps_points_and_back():
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = OBLIQUE * 1.1, (3, -4, 5)
    points = np.random.default_rng(0).normal(size=(5, 3))
    np.testing.assert_allclose(
        transform_points(ras_to_lps_matrix(matrix), points * FLIP), transform_points(matrix, points) * FLIP
    )
    np.testing.assert_allclose(ras_to_lps_matrix(ras_to_lps_matrix(matrix)), matrix)


@settings(max_examples=40)
@given(
    size=st.tuples(*[st.integers(2, 400)] * 3),
    spacing=st.tuples(*[st.floats(0.05, 20)] * 3),
    origin=st.tuples(*[st.floats(-500, 500)] * 3),
    axis=st.tuples(*[st.floats(-1, 1)] * 3).filter(lambda a: np.linalg.norm(a) > 0.1),
    degrees=st.floats(-180, 180),
)
def test_any_grid_s_conversions_are_inverse_to_each_other(size, spacing, origin, axis, degrees):
    grid = Grid(size, spacing, origin, tuple(map(tuple, rotation(axis, degrees))))
    index = random_ijk(grid, 5)
    np.testing.assert_allclose(
        transform_points(grid.ras_to_ijk, transform_points(grid.ijk_to_ras, index)), index, atol=1e-7
    )
    np.testing.assert_allclose(grid.ras_to_unit @ grid.unit_to_ras, np.eye(4), atol=1e-6)


# -- derived grids ----------------------------------------------------------------------------------


def test_resizing_keeps_the_corner_voxel_centres(grid):
    resized = grid.resized((7, 31, 5))
    assert resized.size_ijk == (7, 31, 5)
    np.testing.assert_allclose(resized.corners_ras, grid.corners_ras, atol=1e-9)


def test_padding_continues_the_lattice(grid):
    padded = grid.padded((2, 0, 3))
    assert padded.size_ijk == tuple(np.add(grid.size_ijk, (4, 0, 6)))
    np.testing.assert_allclose(
        transform_points(padded.ijk_to_ras, np.array([2, 0, 3]) + 1.0), transform_points(grid.ijk_to_ras, np.ones(3))
    )


@pytest.mark.parametrize("axes", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("flips", [(False, False, False), (True, False, True), (False, True, False)])
def test_reorienting_grid_and_array_leaves_every_value_where_it_is(oblique_grid, axes, flips):
    array = np.arange(oblique_grid.num_voxels).reshape(oblique_grid.shape)
    turned_grid, turned = reoriented(oblique_grid, axes, flips), reorient_array(array, axes, flips)
    assert turned.shape == turned_grid.shape
    assert np.shares_memory(turned, array)
    before, after = sitk_image(array, oblique_grid), sitk_image(np.ascontiguousarray(turned), turned_grid)
    for index in ([0, 0, 0], [3, 1, 2], [turned_grid.size_ijk[0] - 1, 5, 7]):
        there = before.TransformPhysicalPointToIndex(after.TransformIndexToPhysicalPoint(index))
        assert after[tuple(index)] == before[there]


# -- relations --------------------------------------------------------------------------------------


def test_closeness_is_judged_by_the_corners_in_mm(ras_grid):
    moved = Grid(ras_grid.size_ijk, ras_grid.spacing_mm, tuple(np.add(ras_grid.origin_ras, (0.01, 0, 0))))
    assert ras_grid.is_close(ras_grid)
    assert not ras_grid.is_close(moved)
    assert ras_grid.is_close(moved, tolerance_mm=0.1)
    assert not ras_grid.is_close(ras_grid.padded((1, 1, 1)), tolerance_mm=1e9)


def test_overlap_is_the_share_of_the_field_of_view_inside_the_other():
    grid = Grid((33, 17, 17))
    half = Grid((33, 17, 17), origin_ras=(16.0, 0.0, 0.0))
    assert grid.overlap(grid) == 1
    assert grid.overlap(half, samples_per_axis=64) == pytest.approx(0.5, abs=0.02)
    assert grid.overlap(Grid((4, 4, 4), origin_ras=(500.0, 0.0, 0.0))) == 0
    assert half.resized((9, 9, 9)).overlap(grid.padded((40, 40, 40))) == 1
    shift = np.eye(4)
    shift[0, 3] = 16.0
    assert grid.overlap(half, shift) == 1


def test_overlap_does_not_depend_on_how_the_axes_are_ordered(oblique_grid):
    turned = reoriented(oblique_grid, (2, 0, 1), (True, False, True))
    assert oblique_grid.overlap(turned) == 1
    assert turned.overlap(oblique_grid) == 1


# -- errors -----------------------------------------------------------------------------------------

NAN = float("nan")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size_ijk": (4, 4, 1)}, r"at least 2 voxels .* \(4, 4, 1\); give a 3D volume"),
        ({"size_ijk": (4, 4)}, r"three axes, but 2 were given"),
        ({"size_ijk": (4, 4, 4, 2)}, r"three axes, but 4 were given"),
        ({"spacing_mm": (1.0, 0.0, 1.0)}, r"positive along every axis, but is \(1.0, 0.0, 1.0\) mm"),
        ({"spacing_mm": (1.0, -2.0, 1.0)}, "positive along every axis"),
        ({"spacing_mm": (1.0, NAN, 1.0)}, "spacing must be three finite numbers"),
        ({"spacing_mm": (1.0, 1.0)}, "spacing must be three finite numbers"),
        ({"origin_ras": (0.0, float("inf"), 0.0)}, "origin must be three finite numbers"),
        ({"direction_ras": ((1, 0, 0), (1, 0, 0), (0, 0, 1))}, "direction matrix is singular"),
        ({"direction_ras": ((1, 0.2, 0), (0, 1, 0), (0, 0, 1))}, "not orthonormal.*resample the image"),
        ({"direction_ras": ((2, 0, 0), (0, 2, 0), (0, 0, 2))}, "not orthonormal"),
        ({"direction_ras": ((1, 0, 0), (0, NAN, 0), (0, 0, 1))}, "finite 3x3 matrix"),
        ({"direction_ras": ((1, 0), (0, 1))}, "finite 3x3 matrix"),
    ],
)
def test_an_invalid_sampling_of_space_is_refused(arguments, message):
    with pytest.raises(GeometryError, match=message):
        Grid(**{"size_ijk": (4, 4, 4), **arguments})


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.eye(3), r"must be 4x4, but its shape is \(3, 3\)"),
        (np.diag([1.0, 0.0, 1.0, 1.0]), "zero or non-finite axis"),
        (np.diag([1.0, NAN, 1.0, 1.0]), "zero or non-finite axis"),
        (np.array([[1, 0.5, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]), "not orthonormal"),
    ],
)
def test_an_invalid_index_matrix_is_refused(matrix, message):
    with pytest.raises(GeometryError, match=message):
        Grid.from_ijk_to_ras((4, 4, 4), matrix)
