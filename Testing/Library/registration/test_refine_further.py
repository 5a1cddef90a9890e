"""Refining an earlier result further: it goes on from there, keeps the affine part, and loses nothing."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from JointRegistrationLib.core.config import LddmmConfig, NetworkConfig, SimilarityConfig, VsvfConfig
from JointRegistrationLib.core.errors import ConfigError, InputError
from JointRegistrationLib.core.geometry import transform_points
from JointRegistrationLib.core.image import LandmarkPairs
from JointRegistrationLib.core.result import RegistrationResult, StartingMap
from JointRegistrationLib.files import read_transform, starting_map, write_transform
from JointRegistrationLib.registration.register import register
from Testing.Support import knees
from Testing.Support.bent_pair import FIXED_GRID, KERNEL, MOVING_GRID, QUICK, bend
from Testing.Support.grids import OBLIQUE

HALF = dataclasses.replace(
    QUICK,
    method="vsvf-opt",
    check_side=False,
    affine=dataclasses.replace(QUICK.affine, levels=(4,), iterations=0, initialization="identity"),
    vsvf=VsvfConfig(SimilarityConfig("lncc", 7), KERNEL, regularity=0.1, levels=(2,), iterations=1),
)
NOTHING = dataclasses.replace(HALF, vsvf=dataclasses.replace(HALF.vsvf, iterations=0))
POINTS = np.array([[4.0, 2, 1], [9, -6, 14], [-10, 5, -9]])
PAIRS = LandmarkPairs(POINTS, bend(POINTS))


@pytest.fixture(scope="module")
def pair():
    return knees.make_pair(FIXED_GRID, MOVING_GRID, lambda y: bend(y, -1.0))


@pytest.fixture(scope="module")
def half(pair) -> RegistrationResult:
    """Stopped early: at half resolution, after a few iterations."""
    return register(*pair, HALF)


def difference_mm(first: RegistrationResult, second: RegistrationResult) -> np.ndarray:
    return np.linalg.norm(first.displacement_field_mm - second.displacement_field_mm, axis=-1)


@pytest.mark.parametrize("method", ["vsvf-opt", "avsm", "lddmm-opt"])
def test_it_goes_on_from_the_earlier_map(pair, half, method):
    config = dataclasses.replace(
        HALF,
        method=method,
        vsvf=dataclasses.replace(HALF.vsvf, iterations=5),
        network=NetworkConfig(refine=5),
        lddmm=LddmmConfig(SimilarityConfig("lncc", 7), KERNEL, regularity=0.1, levels=(2,), iterations=4),
        landmarks=dataclasses.replace(HALF.landmarks, weight=0.0),
    )
    further = register(*pair, config, initial=half, landmarks=PAIRS)
    assert further.similarity_after > half.similarity_after > further.similarity_before
    errors = further.landmark_errors_mm
    before = np.linalg.norm(POINTS + _at(half, POINTS) - bend(POINTS), axis=1)
    assert np.mean(errors.after_mm) < before.mean() < np.mean(errors.before_mm)
    np.testing.assert_array_equal(further.affine_ras, half.affine_ras)
    assert further.folds.count == 0
    assert list(further.timings_s) == ["preparing", "refining", "finishing", "total"]


def _at(result: RegistrationResult, points: np.ndarray) -> np.ndarray:
    index = np.rint(transform_points(result.fixed_grid.ras_to_ijk, points)).astype(int)
    return result.displacement_field_mm[index[:, 2], index[:, 1], index[:, 0]]


def test_no_iterations_give_the_same_map_and_its_inverse(pair, half):
    same = register(*pair, NOTHING, initial=half)
    assert difference_mm(half, same).mean() < 0.05
    assert difference_mm(half, same).max() < 0.5, "but for the kinks of a coarser lattice"
    assert same.inverse_error_mean_mm < half.inverse_error_mean_mm + 0.01
    assert same.similarity_after == pytest.approx(half.similarity_after, abs=2e-3), "for the same kinks"


def test_a_file_of_the_result_does_as_well(pair, half, tmp_path):
    write_transform(tmp_path / "t.h5", half.displacement_field_mm, half.fixed_grid, half.affine_ras)
    start = starting_map(read_transform(tmp_path / "t.h5"), half.fixed_grid)
    np.testing.assert_allclose(start.affine_ras, half.affine_ras, atol=1e-9)
    same = register(*pair, NOTHING, initial=start)
    assert difference_mm(half, same).mean() < 0.05


def test_without_its_affine_part_the_map_is_the_same(pair, half):
    start = StartingMap(half.displacement_field_mm, half.fixed_grid)
    same = register(*pair, NOTHING, initial=start)
    assert difference_mm(half, same).mean() < 0.05


def test_the_affine_part_of_an_affine_map_is_that_map(oblique_grid):
    matrix = np.eye(4)
    matrix[:3, :3] = 1.1 * OBLIQUE
    matrix[:3, 3] = (4, -5, 6)
    points = knees.lattice_ras(oblique_grid)
    start = StartingMap(transform_points(matrix, points) - points, oblique_grid)
    np.testing.assert_allclose(start.affine_part(), matrix, atol=1e-8)


@pytest.mark.parametrize("method", ["affine-opt", "avsm-affine"])
def test_a_method_that_does_not_deform_is_refused(pair, half, method):
    with pytest.raises(ConfigError, match=r"does not deform.*choose vsvf-opt"):
        register(*pair, dataclasses.replace(HALF, method=method), initial=half)


def test_a_map_that_cannot_be_used_is_refused(half):
    with pytest.raises(InputError, match=r"shape .* is needed"):
        StartingMap(half.displacement_field_mm[1:], half.fixed_grid)
    broken = half.displacement_field_mm.copy()
    broken[3, 4, 5] = np.nan
    with pytest.raises(InputError, match="not finite"):
        StartingMap(broken, half.fixed_grid)
    with pytest.raises(InputError, match="cannot be inverted"):
        StartingMap(half.displacement_field_mm, half.fixed_grid, np.diag([1.0, 1, 0, 1]))
    collapsed = -knees.lattice_ras(FIXED_GRID).astype(np.float32)
    with pytest.raises(InputError, match="cannot be inverted"):
        StartingMap(collapsed, FIXED_GRID).affine_part()


def test_a_result_without_an_affine_part_is_fitted(half):
    unknown = dataclasses.replace(half, affine_ras=np.full((4, 4), np.nan))
    assert StartingMap.of(unknown).affine_ras is None
