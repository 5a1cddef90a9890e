"""A map that folds is found out, and its momentum weakened where it does."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from JointRegistrationLib.core.config import SimilarityConfig, VelocityConfig, VsvfConfig
from JointRegistrationLib.core.geometry import Grid
from JointRegistrationLib.core.progress import Reporter
from JointRegistrationLib.ops import maps
from JointRegistrationLib.ops.folds import folded_cells, unfolded
from JointRegistrationLib.ops.similarity.image_pair import ImagePair
from JointRegistrationLib.registration.methods.momentum import deformation
from Testing.Support import knees

GRID = knees.centered_grid((16, 14, 12), (2.0, 2.0, 2.4))
POINTS = maps.identity(GRID, dtype=torch.float64)


def pinch(height_mm: float, center: float = -6.0, width_mm: float = 4.0) -> Tensor:
    """A displacement along R that folds around ``center`` if it is high enough."""
    x = POINTS - POINTS.new_tensor([center, 0.0, 0.0]).view(1, 3, 1, 1, 1)
    bump = torch.exp(-0.5 * (x / width_mm).square().sum(dim=1, keepdim=True))
    return torch.cat([-height_mm * x[:, :1] * bump, torch.zeros_like(x[:, :2])], dim=1)


def test_cells_fold_where_a_displacement_turns_them_over() -> None:
    assert not folded_cells(POINTS + pinch(0.8), GRID).any()
    cells = folded_cells(POINTS + pinch(1.6), GRID)
    middle = POINTS[..., :-1, :-1, :-1][cells.expand(1, 3, -1, -1, -1)].view(3, -1).mean(dim=1)
    assert cells.any()
    assert float((middle - torch.tensor([-6.0, 0.0, 0.0]) + 1.0).norm()) < 3


def test_a_lattice_of_either_handedness_counts_its_own_orientation_as_upright() -> None:
    mirrored = Grid(GRID.size_ijk, GRID.spacing_mm, GRID.origin_ras, np.diag([-1.0, 1.0, 1.0]))
    for grid in (GRID, mirrored):
        assert not folded_cells(maps.identity(grid), grid).any()


def test_a_fold_between_points_is_found_that_differences_over_two_cells_miss() -> None:
    map_ras = POINTS.clone()
    map_ras[0, 0, 5, 5, 5] += 2.5  # one point passes its neighbour
    assert folded_cells(map_ras, GRID).any()
    assert (maps.jacobian_determinant(map_ras, GRID) > 0).all()


def test_the_momentum_is_weakened_around_folds_and_kept_elsewhere() -> None:
    momentum = pinch(1.6) + pinch(0.5, center=11.0)

    def map_of(field: Tensor) -> Tensor:
        return POINTS + field

    result = unfolded(momentum, GRID, map_of)
    assert not folded_cells(map_of(result), GRID).any()
    share = result.norm() / momentum.norm()
    assert 0.4 < share < 1
    far = (POINTS[:, :1] > 10).expand_as(momentum)
    torch.testing.assert_close(result[far], momentum[far], rtol=0.02, atol=1e-3)


def test_a_momentum_without_folds_is_left_as_it_is() -> None:
    momentum = pinch(0.5)
    assert unfolded(momentum, GRID, lambda field: POINTS + field) is momentum


def test_what_cannot_be_unfolded_ends() -> None:
    folded = POINTS + pinch(1.6)
    assert torch.isfinite(unfolded(pinch(0.5), GRID, lambda _field: folded)).all()


def test_optimisation_without_regularity_ends_without_folds() -> None:
    random = torch.Generator().manual_seed(0)
    fixed, moving = torch.rand(2, 1, 1, *GRID.shape, generator=random)
    config = VsvfConfig(
        SimilarityConfig("lncc", 5), VelocityConfig((2.0,), (1.0,)), regularity=0.0, levels=(1,), iterations=15
    )
    found = deformation(ImagePair(fixed, GRID, moving, GRID), np.eye(4), config, Reporter())[0]
    assert found.forward_mm.norm(dim=1).max() > 1
    assert not folded_cells(maps.from_displacement(found.forward_mm, found.grid), found.grid).any()
