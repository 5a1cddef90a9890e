"""What speed costs: a run of avsm against the same steps taken the plain way, everything in float32.

Plain: many steps of integration, the field interpolated point by point on the native lattice, the inverse solved for
at every voxel until it stands still, the map warped and differentiated in one piece. What a native lattice finer
than that of the inverse costs on top is in test_parallel.py.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from JointRegistrationLib.core.config import NetworkConfig, PreprocessConfig, RegistrationConfig
from JointRegistrationLib.core.figures.metrics import dice
from JointRegistrationLib.core.geometry import Grid
from JointRegistrationLib.core.result import RegistrationResult
from JointRegistrationLib.networks import weights
from JointRegistrationLib.networks.model import AVSMOutput
from JointRegistrationLib.networks.predict import Prediction, predict
from JointRegistrationLib.ops import integrate, maps
from JointRegistrationLib.ops.separable.resampling import to_tensor
from JointRegistrationLib.phantom import KneePair, default_grid, make_pair
from JointRegistrationLib.registration.register import prepare_pair, register

CARTILAGE = (2, 4)
MOST_VOXELS = 0.05
MOST_DICE = 0.002
#: The working lattice is coarser than the images, as for a scanner's.
CONFIG = RegistrationConfig(
    device="cpu",
    preprocess=PreprocessConfig(max_working_voxels=110_000),
    network=NetworkConfig(side="right", vsvf_steps=3, refine=0, fallback=False),
)
MANY_STEPS = 64


class Plain(NamedTuple):
    """Displacement fields (1, 3, D, H, W) mm on the native lattices, and what follows from the forward one."""

    forward_mm: Tensor
    backward_mm: Tensor
    warped: Tensor
    determinant: Tensor
    backward_error_mm: Tensor


@pytest.fixture(scope="module")
def pair() -> KneePair:
    return make_pair(7, default_grid().resized((80, 80, 40)))


@pytest.fixture(scope="module")
def fast(pair: KneePair) -> RegistrationResult:
    return register(pair.fixed.image, pair.moving.image, CONFIG)


@pytest.fixture(scope="module")
def predicted(pair: KneePair) -> tuple[Prediction, list[Tensor]]:
    """What the networks predict where every step of theirs is integrated in many, and the velocity of every step."""
    images = prepare_pair(pair.fixed.image, pair.moving.image, CONFIG.preprocess, torch.device("cpu"))
    model, _ = weights.load_model()
    velocity = dataclasses.replace(model.config.velocity, steps=MANY_STEPS)
    model.config = dataclasses.replace(model.config, velocity=velocity)
    outputs: list[AVSMOutput] = []
    model.register_forward_hook(lambda _model, _inputs, output: outputs.append(output))
    prediction = predict(model, images, side="right", affine_steps=7, vsvf_steps=3)
    return prediction, outputs[0].velocities_mm


@pytest.fixture(scope="module")
def found(predicted: tuple[Prediction, list[Tensor]]) -> Prediction:
    return predicted[0]


@pytest.fixture(scope="module")
def plain(pair: KneePair, found: Prediction) -> Plain:
    fixed, moving = pair.fixed.image, pair.moving.image
    with torch.no_grad():
        points = maps.identity(fixed.grid)
        displaced = points + maps.sample(found.psi_mm, found.grid, points, outside=None)
        map_ras = maps.apply_matrix(found.affine_ras, displaced)
        pulled = maps.apply_matrix(np.linalg.inv(found.affine_ras), maps.identity(moving.grid))
        back = maps.inverse(
            found.psi_mm,
            found.grid,
            moving.grid,
            affine_ras=found.affine_ras,
            initial_map_ras=pulled + maps.sample(found.inverse_psi_mm, found.grid, pulled, outside=None),
            iterations=200,
            tolerance_mm=1e-5,
        )
        return Plain(
            map_ras - points,
            back.map_ras - maps.identity(moving.grid),
            maps.warp(to_tensor(moving.array), moving.grid, map_ras),
            maps.jacobian_determinant(map_ras, fixed.grid),
            back.error_mm,
        )


def voxels_off(difference_mm: np.ndarray, grid: Grid) -> np.ndarray:
    """The largest component along the grid's axes, in voxels, of vectors (k, j, i, 3): (k, j, i)."""
    return np.asarray(np.abs(difference_mm @ grid.ras_to_ijk[:3, :3].T).max(axis=-1))


def last(field: Tensor) -> np.ndarray:
    return field[0].movedim(0, -1).numpy()


def test_the_deformation_is_there_to_compare(fast: RegistrationResult) -> None:
    local = fast.displacement_field_mm - (
        last(maps.apply_matrix(fast.affine_ras, maps.identity(fast.fixed_grid)) - maps.identity(fast.fixed_grid))
    )
    assert voxels_off(local, fast.fixed_grid).max() > 1
    assert fast.notes == ()


def test_both_fields_agree_to_a_twentieth_of_a_voxel(fast: RegistrationResult, plain: Plain) -> None:
    off = voxels_off(fast.displacement_field_mm - last(plain.forward_mm), fast.fixed_grid)
    back = voxels_off(fast.inverse_displacement_field_mm - last(plain.backward_mm), fast.moving_grid)
    solved = plain.backward_error_mm[0, 0].numpy() < 1e-3
    assert solved.mean() > 0.99
    assert off.max() < MOST_VOXELS
    assert (back[solved] < MOST_VOXELS).mean() > 0.999  # all but where the fixed-point steps hardly gain
    assert back[solved].max() < 3 * MOST_VOXELS


def test_scaling_and_squaring_is_as_good_as_ten_steps_of_runge_kutta(
    predicted: tuple[Prediction, list[Tensor]],
) -> None:
    """In voxels of the lattice that the velocity lives on."""
    found, velocities_mm = predicted
    assert len(velocities_mm) == 3
    for velocity_mm in velocities_mm:
        one, other = (
            integrate.exponential(velocity_mm, found.grid, method=method, steps=steps)
            for method, steps in (("scaling-squaring", 8), ("rk4", 10))
        )
        off = voxels_off(last(one - other), found.grid)
        assert (off < MOST_VOXELS).mean() > 0.999
        assert off.max() < 2 * MOST_VOXELS


def test_labels_warped_either_way_have_the_same_dice(fast: RegistrationResult, plain: Plain, pair: KneePair) -> None:
    forward = torch.from_numpy(fast.displacement_field_mm).movedim(-1, 0)[None]
    labels, grid = torch.from_numpy(pair.moving.labels.array)[None, None], pair.moving.labels.grid
    scores = []
    for field in (forward, plain.forward_mm):
        warped = maps.warp_labels(labels, grid, maps.from_displacement(field, fast.fixed_grid))
        found = dice(pair.fixed.labels.array, warped[0, 0].numpy(), CARTILAGE)
        scores.append(np.array([found[label] for label in CARTILAGE]))
    assert np.abs(scores[0] - scores[1]).max() < MOST_DICE


def test_warped_image_and_jacobian_agree(fast: RegistrationResult, plain: Plain, pair: KneePair) -> None:
    scale = float(pair.moving.image.array.max())
    off = np.abs(fast.warped - plain.warped[0, 0].numpy())
    assert off.mean() < 1e-3 * scale
    assert np.abs(fast.jacobian_determinant - plain.determinant[0, 0].numpy()).max() < 0.02
