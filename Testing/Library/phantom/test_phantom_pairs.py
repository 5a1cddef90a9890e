"""Pairs with a known map: the map is exact, invertible, without folds, and explains the moving knee."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from JointRegistrationLib import phantom
from JointRegistrationLib.core.errors import ConfigError
from JointRegistrationLib.core.geometry import Grid
from JointRegistrationLib.ops import maps
from JointRegistrationLib.phantom import (
    ContrastConfig,
    DeformationConfig,
    KneeShape,
    make_flexion_pair,
    make_pair,
    random_deformation,
)
from Testing.Support.examples import run_example

FIXED = Grid((48, 48, 48), (1.3, 1.3, 1.3), (-30.0, -32.0, -28.0))
MOVING = Grid((60, 60, 60), (1.4, 1.4, 1.4), (-42.0, -44.0, -42.0))
CLEAN = ContrastConfig(noise=0.0, coil_gain=0.0, bias=0.0, texture=0.0)


@pytest.fixture(scope="module")
def pair():
    return make_pair(
        7, FIXED, MOVING, DeformationConfig(translation_mm=2), shape=KneeShape(seed=3),
        contrast_fixed=CLEAN, contrast_moving=CLEAN,
    )  # fmt: skip


def known_map(pair) -> torch.Tensor:
    field = torch.from_numpy(pair.displacement_field_mm).movedim(-1, 0)[None]
    return maps.from_displacement(field, FIXED)


def test_the_deformation_is_large(pair):
    length = np.linalg.norm(pair.displacement_field_mm, axis=-1)
    assert length.mean() > 2
    assert pair.displacement_field_mm.shape == (*FIXED.shape, 3)
    assert pair.displacement_field_mm.dtype == np.float32


@pytest.mark.parametrize("label", [1, 3])
def test_the_moving_bones_warped_by_the_known_map_are_the_fixed_ones(pair, label):
    moving = torch.from_numpy(pair.moving.labels.array)[None, None]
    warped = maps.warp_labels(moving.int(), MOVING, known_map(pair))[0, 0].numpy()
    a, b = pair.fixed.labels.array == label, warped == label
    assert 2 * (a & b).sum() / (a.sum() + b.sum()) > 0.97


def test_the_moving_image_warped_by_the_known_map_is_the_fixed_one(pair):
    moving = torch.from_numpy(pair.moving.image.array)[None, None]
    warped = maps.warp(moving, MOVING, known_map(pair))[0, 0].numpy()
    assert np.corrcoef(warped.ravel(), pair.fixed.image.array.ravel())[0, 1] > 0.97
    unregistered = maps.warp(moving, MOVING, maps.identity(FIXED))[0, 0].numpy()
    assert np.corrcoef(unregistered.ravel(), pair.fixed.image.array.ravel())[0, 1] < 0.9


def test_tissues_agree_exactly_at_mapped_points(pair):
    rng = np.random.default_rng(0)
    ijk = rng.integers(5, 43, (30, 3))
    points = ijk * 1.3 + np.asarray(FIXED.origin_ras)
    there = pair.deformation.forward_points(points)
    tiny = [Grid((2, 2, 2), (1e-3,) * 3, tuple(p)) for p in there[:4]]
    for (i, j, k), grid in zip(ijk[:4], tiny, strict=True):
        again = make_pair(7, FIXED.resized((2, 2, 2)), grid, pair.deformation, shape=KneeShape(seed=3))
        assert again.moving.tissues.array[0, 0, 0] == pair.fixed.tissues.array[k, j, i]


def test_map_and_inverse_undo_each_other_and_nothing_folds(pair):
    points = np.random.default_rng(1).uniform(-80, 80, (5000, 3))
    there = pair.deformation.forward_points(points)
    assert np.abs(pair.deformation.inverse_points(there) - points).max() < 0.01
    assert np.abs(pair.deformation.forward_points(pair.deformation.inverse_points(points)) - points).max() < 0.01
    assert float(maps.jacobian_determinant(known_map(pair), FIXED).min()) > 0.2


def test_the_inverse_field_is_the_inverse_map_on_its_grid(pair):
    field = pair.deformation.displacement_field_mm(MOVING, inverse=True)
    point = np.asarray(MOVING.origin_ras) + 1.4 * np.array([20, 11, 33])
    expected = pair.deformation.inverse_points(point[None])[0] - point
    assert np.allclose(field[33, 11, 20], expected, atol=1e-4)


def test_the_flow_is_that_of_its_velocity_field():
    deformation = random_deformation(11, DeformationConfig(nonlinear_mm=8.0))
    start = np.array([12.0, -20.0, 5.0])

    def velocity(_, x):
        return deformation._velocity(torch.tensor(x, dtype=torch.float32)[:, None])[:, 0].double().numpy()

    end = solve_ivp(velocity, (0, 1), start, rtol=1e-8, atol=1e-6).y[:, -1]
    expected = deformation.affine_ras[:3, :3] @ end + deformation.affine_ras[:3, 3]
    assert np.allclose(deformation.forward_points(start[None])[0], expected, atol=2e-3)


def test_pairs_are_reproducible_and_their_noise_is_not_shared():
    small = Grid((16, 16, 16), (4, 4, 4), (-30, -30, -30))
    first, again = make_pair(2, small), make_pair(2, small)
    assert np.array_equal(first.moving.image.array, again.moving.image.array)
    still = DeformationConfig(nonlinear_mm=0, rotation_deg=0, translation_mm=0, scaling=0, shear=0)
    same = make_pair(2, small, deformation=still)
    assert np.array_equal(same.fixed.tissues.array, same.moving.tissues.array)
    assert not np.array_equal(same.fixed.image.array, same.moving.image.array)
    assert np.abs(same.displacement_field_mm).max() == 0


def test_a_flexion_pair_moves_the_shafts_but_keeps_the_knee():
    grid = Grid((30, 30, 30), (4, 4, 4), (-58, -58, -58))
    fixed, moving = make_flexion_pair(3, (0.0, 25.0), grid, shape=KneeShape())
    assert (fixed.labels.array != moving.labels.array).mean() > 0.02
    for label in (1, 3, 5):
        volumes = [(knee.labels.array == label).sum() for knee in (fixed, moving)]
        assert volumes[0] == pytest.approx(volumes[1], rel=0.15)


def test_bad_pairs_are_refused_by_name():
    with pytest.raises(ConfigError, match=r"make_pair\.seed"):
        make_pair(-1)
    with pytest.raises(ConfigError, match=r"DeformationConfig\.nonlinear_mm"):
        DeformationConfig(nonlinear_mm=99)
    with pytest.raises(ConfigError, match="wavelengths_mm"):
        DeformationConfig(wavelengths_mm=(50, 10))
    with pytest.raises(ConfigError, match="flexion_deg"):
        make_flexion_pair(1, (0.0, 120.0))


def test_the_example_of_the_docs_runs(monkeypatch):
    monkeypatch.setattr(phantom, "default_grid", lambda: FIXED)
    monkeypatch.setattr(phantom.pairs, "working_grid", lambda: FIXED)
    names = run_example("docs/phantom.md", 0, points_ras=torch.zeros(1, 3))
    assert names["knee"].image.grid == names["knee"].tissues.grid == FIXED
    assert names["fixed"].labels.grid == FIXED and names["pair"].displacement_field_mm.shape == (*FIXED.shape, 3)
