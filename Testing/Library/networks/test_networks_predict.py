"""From images on any grids into the networks' frame and back to millimetres."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from JointRegistrationLib.core.config import VelocityConfig
from JointRegistrationLib.core.errors import InputError
from JointRegistrationLib.core.geometry import Grid
from JointRegistrationLib.networks.model import AVSM, ModelConfig
from JointRegistrationLib.networks.predict import Prediction, canonical_lattice, on_lattice, predict
from JointRegistrationLib.ops import maps
from JointRegistrationLib.ops.similarity.image_pair import ImagePair
from Testing.Support.grids import reoriented

SIZE = (24, 24, 20)
#: A lattice of 6 mm: random momenta are smooth on it with a kernel that is not finer.
KERNEL = VelocityConfig((6.0, 12.0, 20.0, 35.0), (0.25, 0.25, 0.25, 0.25), steps=8)
CONFIG = ModelConfig(
    lattice_ijk=SIZE,
    momentum_channels=(8, 8, 8, 8),
    affine_spacing_mm=0.0,
    affine_steps=1,
    vsvf_steps=2,
    velocity=KERNEL,
)


def model() -> AVSM:
    """Random networks whose output depends on the images."""
    torch.manual_seed(0)
    network = AVSM(CONFIG)
    torch.nn.init.normal_(network.affine.heat.weight, std=0.3)
    torch.nn.init.normal_(network.momentum.output.weight, std=0.05)
    torch.nn.init.normal_(network.momentum.output.bias, std=0.3)
    return network.eval()


def blobs(grid: Grid, shift: float) -> torch.Tensor:
    """A smooth image that is a function of RAS position."""
    points = maps.identity(grid)
    center = torch.as_tensor(grid.center_ras, dtype=torch.float32).view(1, 3, 1, 1, 1) + shift
    offset = (points - center) / 25
    wave = 1 + 0.5 * torch.sin(3 * offset[:, :1] + offset[:, 1:2])
    return (torch.exp(-offset.square().sum(dim=1, keepdim=True)) * wave).clamp(0, 1)


def pair(fixed: Grid, moving: Grid) -> ImagePair:
    return ImagePair(blobs(fixed, 0.0), fixed, blobs(moving, 4.0), moving)


def run(images: ImagePair, side: str = "right") -> Prediction:
    return predict(model(), images, side=side)


def test_canonical_lattice_follows_the_image_axes(grid: Grid) -> None:
    lattice = canonical_lattice(grid, SIZE)
    assert lattice.size_ijk == SIZE and lattice.orientation == "ASR"
    assert np.allclose(lattice.center_ras, grid.center_ras)
    own = np.abs(np.asarray(grid.direction_ras).T @ np.asarray(lattice.direction_ras))
    assert np.allclose(np.sort(own, axis=0), np.array([[0, 0, 0], [0, 0, 0], [1, 1, 1]]), atol=1e-6)
    assert canonical_lattice(grid, SIZE, "left").orientation == "ASL"


def test_unknown_side_is_refused(ras_grid: Grid) -> None:
    with pytest.raises(InputError, match="side 'both'"):
        canonical_lattice(ras_grid, SIZE, "both")


def test_sampling_on_the_lattice_keeps_positions(grid: Grid) -> None:
    grid = Grid((40, 44, 38), (3.0, 2.5, 3.5), grid.origin_ras, grid.direction_ras)
    lattice = canonical_lattice(grid, SIZE)
    points = maps.identity(grid)
    for axis in range(3):
        found = on_lattice(points[:, axis : axis + 1], grid, lattice)
        wanted = maps.identity(lattice)[:, axis : axis + 1]
        inner = maps.inside(grid, maps.identity(lattice), margin_voxels=-4)
        assert inner.any()
        assert torch.allclose(found[inner], wanted[inner], atol=0.3)


def test_untrained_networks_lay_the_fields_of_view_onto_each_other(oblique_grid: Grid, ras_grid: Grid) -> None:
    untrained = AVSM(CONFIG).eval()
    found = predict(untrained, pair(oblique_grid, ras_grid))
    moved = found.affine_ras @ [*oblique_grid.center_ras, 1]
    assert np.allclose(moved[:3], ras_grid.center_ras, atol=1e-3)
    assert torch.equal(found.psi_mm, torch.zeros_like(found.psi_mm))


def test_orientation_of_the_voxel_axes_does_not_matter(ras_grid: Grid) -> None:
    axes, flips = (2, 0, 1), (True, False, True)
    turned = reoriented(ras_grid, axes, flips)
    first, second = run(pair(ras_grid, ras_grid)), run(pair(turned, ras_grid))
    assert np.allclose(first.affine_ras, second.affine_ras, atol=1e-3)
    assert torch.allclose(first.psi_mm, second.psi_mm, atol=1e-2)


def test_a_left_knee_is_the_mirror_image_of_a_right_one(oblique_grid: Grid) -> None:
    mirror = np.diag([-1.0, 1.0, 1.0, 1.0])
    mirrored = Grid.from_ijk_to_ras(oblique_grid.size_ijk, mirror @ oblique_grid.ijk_to_ras)
    right = pair(oblique_grid, oblique_grid)
    left = ImagePair(right.fixed, mirrored, right.moving, mirrored)
    a, b = run(right), run(left, "left")
    assert np.abs(a.affine_ras - np.eye(4)).max() > 0.01
    assert np.allclose(b.affine_ras, mirror @ a.affine_ras @ mirror, atol=1e-3)
    flip = torch.tensor([-1.0, 1.0, 1.0]).view(1, 3, 1, 1, 1)
    assert a.psi_mm.abs().max() > 0.05
    assert torch.allclose(b.psi_mm, flip * a.psi_mm, atol=1e-2)


def test_prediction_says_the_same_as_the_model_in_millimetres(oblique_grid: Grid, ras_grid: Grid) -> None:
    images = pair(oblique_grid, ras_grid)
    found = run(images)
    lattice, other = canonical_lattice(oblique_grid, SIZE), canonical_lattice(ras_grid, SIZE)
    with torch.no_grad():
        output = model()(
            on_lattice(images.moving, ras_grid, other), on_lattice(images.fixed, oblique_grid, lattice), lattice
        )
    points = maps.identity(lattice)
    psi = points + maps.resample_displacement(found.psi_mm, found.grid, lattice)
    here = maps.apply_matrix(found.affine_ras, psi)
    there = maps.apply_matrix(other.ijk_to_ras @ lattice.ras_to_ijk, output.map_ras)
    assert torch.allclose(here, there, atol=2e-2)


def test_inverse_psi_is_its_inverse(ras_grid: Grid) -> None:
    found = run(pair(ras_grid, ras_grid))
    there = maps.from_displacement(found.psi_mm, found.grid)
    back = maps.compose_displacement(found.inverse_psi_mm, found.grid, there) - maps.identity(found.grid)
    assert back[..., 2:-2, 2:-2, 2:-2].norm(dim=1).mean() < 0.1 * found.psi_mm.norm(dim=1).mean() + 1e-3


def test_networks_begin_from_a_given_start(oblique_grid: Grid) -> None:
    """The moving image, turned about in space, registers as before when the start undoes the turn."""
    images = pair(oblique_grid, oblique_grid)
    away = np.array([[0.0, -1, 0, 40], [1, 0, 0, -30], [0, 0, 1, 8], [0, 0, 0, 1]])
    turned = Grid.from_ijk_to_ras(oblique_grid.size_ijk, away @ oblique_grid.ijk_to_ras)
    moved = ImagePair(images.fixed, oblique_grid, images.moving, turned)
    plain = predict(model(), images)
    found = predict(model(), moved, start_ras=away)
    assert np.abs(plain.affine_ras - np.eye(4)).max() > 0.01
    assert np.allclose(found.affine_ras, away @ plain.affine_ras, atol=1e-3)
    assert torch.allclose(found.psi_mm, plain.psi_mm, atol=1e-2)


def test_a_mirroring_start_makes_a_left_knee_of_a_right_one(oblique_grid: Grid) -> None:
    images = pair(oblique_grid, oblique_grid)
    mirror = np.diag([-1.0, 1.0, 1.0, 1.0])
    mirrored = Grid.from_ijk_to_ras(oblique_grid.size_ijk, mirror @ oblique_grid.ijk_to_ras)
    found = predict(model(), ImagePair(images.fixed, oblique_grid, images.moving, mirrored), start_ras=mirror)
    assert np.allclose(found.affine_ras, mirror @ predict(model(), images).affine_ras, atol=1e-3)
