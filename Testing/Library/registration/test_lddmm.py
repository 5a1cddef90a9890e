"""Method lddmm-opt: the initial momentum of a geodesic, found from images with a known map."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from JointRegistrationLib.core.config import (
    AffineConfig,
    KernelConfig,
    LddmmConfig,
    RegistrationConfig,
    SimilarityConfig,
    VelocityConfig,
    VsvfConfig,
)
from JointRegistrationLib.core.errors import ConfigError, RegistrationCancelled
from JointRegistrationLib.core.geometry import Grid
from JointRegistrationLib.core.progress import Reporter
from JointRegistrationLib.core.result import RegistrationResult
from JointRegistrationLib.core.serialization import from_dict, to_dict
from JointRegistrationLib.ops import maps
from JointRegistrationLib.ops.similarity.image_pair import ImagePair
from JointRegistrationLib.registration.local_map import LocalMap
from JointRegistrationLib.registration.methods.momentum import deformation
from JointRegistrationLib.registration.register import register
from Testing.Support import knees
from Testing.Support.grids import remarks

KERNEL = KernelConfig((4.0, 8.0), (0.4, 0.6))
CONFIG = LddmmConfig(SimilarityConfig("ncc"), KERNEL, steps=4, regularity=0.1, levels=(2, 1), iterations=12)
STATIONARY = VsvfConfig(
    CONFIG.similarity, VelocityConfig(*dataclasses.astuple(KERNEL)), regularity=0.1, levels=(2, 1), iterations=12
)
QUICK = RegistrationConfig(
    "lddmm-opt",
    affine=AffineConfig(levels=(4, 2), iterations=15),
    lddmm=dataclasses.replace(CONFIG, similarity=SimilarityConfig("lncc", 7), iterations=12),
)
GRID = knees.centered_grid((32, 30, 28), (2.0, 2.0, 2.2))
IMAGES = knees.make_pair(
    GRID, knees.centered_grid((30, 36, 34), (2.2, 1.9, 2.0)), lambda y: y - 4 * np.sin(np.roll(y, 1, axis=-1) / 12)
)


def ellipsoid(grid: Grid, center: tuple[float, float, float], radii: tuple[float, float, float]) -> torch.Tensor:
    """1 inside, 0 outside, with an edge of about two voxels."""
    points = torch.as_tensor(knees.lattice_ras(grid), dtype=torch.float32)
    distance = ((points - torch.tensor(center)) / torch.tensor(radii)).norm(dim=-1)
    return torch.sigmoid((1 - distance) * 8)[None, None]


@pytest.fixture(scope="module")
def moved_ellipsoid() -> ImagePair:
    grid = knees.centered_grid((28, 28, 24), (2.0, 2.0, 2.4))
    fixed = ellipsoid(grid, (0.0, 0.0, 0.0), (14.0, 10.0, 12.0))
    return ImagePair(fixed, grid, ellipsoid(grid, (4.0, -3.0, 2.0), (11.0, 14.0, 10.0)), grid)


@pytest.fixture(scope="module")
def geodesic(moved_ellipsoid: ImagePair) -> LocalMap:
    return deformation(moved_ellipsoid, np.eye(4), CONFIG, Reporter())[0]


@pytest.fixture(scope="module")
def result() -> RegistrationResult:
    return register(*IMAGES, QUICK)


def overlap(pair: ImagePair, local: LocalMap | None) -> float:
    """Dice of the ellipsoids."""
    grid = pair.fixed_grid
    here = maps.identity(grid)
    there = here if local is None else maps.compose_displacement(local.forward_mm, local.grid, here)
    warped, fixed = (image > 0.5 for image in (pair.warped(there), pair.fixed))
    return float(2 * (warped & fixed).sum() / (warped.sum() + fixed.sum()))


def test_a_moved_ellipsoid_is_registered(moved_ellipsoid: ImagePair, geodesic: LocalMap) -> None:
    assert overlap(moved_ellipsoid, None) < 0.75
    assert overlap(moved_ellipsoid, geodesic) > 0.96


def test_the_map_has_no_folds_and_its_inverse_leads_back(geodesic: LocalMap) -> None:
    grid = geodesic.grid
    psi = maps.from_displacement(geodesic.forward_mm, grid)
    assert maps.jacobian_determinant(psi, grid).min() > 0.1
    away = (maps.compose_displacement(geodesic.inverse_mm, grid, psi) - maps.identity(grid)).norm(dim=1)
    assert geodesic.forward_mm.norm(dim=1).max() > 4.0
    assert away.mean() < 0.1


def test_the_stationary_velocity_does_about_as_well(moved_ellipsoid: ImagePair, geodesic: LocalMap) -> None:
    stationary = deformation(moved_ellipsoid, np.eye(4), STATIONARY, Reporter())[0]
    assert overlap(moved_ellipsoid, stationary) == pytest.approx(overlap(moved_ellipsoid, geodesic), abs=0.02)
    assert (stationary.forward_mm - geodesic.forward_mm).norm(dim=1).max() > 0.1  # yet they are two models


def test_identical_images_need_no_momentum(moved_ellipsoid: ImagePair) -> None:
    same = dataclasses.replace(moved_ellipsoid, moving=moved_ellipsoid.fixed)
    found = deformation(same, np.eye(4), dataclasses.replace(CONFIG, levels=(2,), iterations=3), Reporter())[0]
    assert found.forward_mm.norm(dim=1).max() < 0.05


def test_register_finds_most_of_a_known_deformation(result: RegistrationResult) -> None:
    x = knees.lattice_ras(GRID)
    near = np.linalg.norm(x, axis=-1) < 22
    warped_back = x + result.displacement_field_mm
    warped_back = warped_back - 4 * np.sin(np.roll(warped_back, 1, axis=-1) / 12)  # the moving point's fixed one
    before = np.linalg.norm(4 * np.sin(x / 12)[near], axis=-1).mean()
    assert np.linalg.norm((warped_back - x)[near], axis=-1).mean() < 0.25 * before
    assert result.similarity_after > 0.97 > result.similarity_before


def test_register_says_what_was_done(result: RegistrationResult) -> None:
    assert result.folds.count == 0
    assert result.inverse_error_mean_mm < 0.1
    assert remarks(result) == ()
    assert result.summary()["method"] == "lddmm-opt"
    assert {"affine", "deformable"} <= set(result.timings_s)


def test_progress_rises_through_the_stages_and_cancel_is_obeyed() -> None:
    seen: list[tuple[str, float, float | None]] = []
    quick = dataclasses.replace(QUICK, lddmm=dataclasses.replace(QUICK.lddmm, levels=(2,)))
    with pytest.raises(RegistrationCancelled, match="during deformable"):
        register(
            *IMAGES,
            quick,
            lambda *report: seen.append(report),
            lambda: sum(stage == "deformable" for stage, _, _ in seen) > 3,
        )
    fractions = [fraction for _, fraction, _ in seen]
    assert fractions == sorted(fractions)
    assert list(dict.fromkeys(stage for stage, _, _ in seen)) == ["preparing", "affine", "deformable"]
    assert seen[-1][2] is not None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 0}, r"lddmm.steps: 0 is out of range; give a value from 1 to 200"),
        ({"regularity": -1.0}, r"lddmm.regularity: -1.0 is out of range"),
        ({"iterations": -1}, r"lddmm.iterations: -1 is out of range"),
        ({"tolerance": 2.0}, r"lddmm.tolerance: 2.0 is out of range"),
        ({"optimizer": "sgd"}, r"lddmm.optimizer: 'sgd' is unknown; choose one of lbfgs, adam"),
        ({"levels": [1, 2]}, r"lddmm.levels: must go from coarse to fine"),
        ({"velocity": {"sigmas_mm": [4.0], "weights": [0.5]}}, r"velocity.weights: must sum to 1"),
        ({"velocity": {"integrator": "rk4"}}, r"unknown setting 'integrator'; known are sigmas_mm, weights"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        from_dict(RegistrationConfig, {"lddmm": settings})


def test_settings_survive_as_json() -> None:
    assert from_dict(RegistrationConfig, to_dict(QUICK)) == QUICK
