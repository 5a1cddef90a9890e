"""What the grey values of two images have in common."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
import torch

from JointRegistrationLib.ops import maps
from JointRegistrationLib.ops.similarity.image_pair import ImagePair
from JointRegistrationLib.ops.similarity.measures import ncc
from JointRegistrationLib.ops.similarity.relation import better_relation, common_grey_values, related
from Testing.Support import knees
from Testing.Support.grids import smooth_random

GRID = knees.centered_grid((36, 34, 30), (2.0, 2.0, 2.4))
IDENTITY = maps.identity(GRID)

Curve = Callable[[torch.Tensor], torch.Tensor]
CURVES: dict[str, Curve] = {
    "rising": lambda u: 0.25 * u + 1.1 * (u - 0.35).clamp(min=0),
    "falling": lambda u: 1 - u,
    "another order": lambda u: (u - 0.4).abs() / 0.6,
}


def image(noise: float = 0.02, seed: int = 5) -> torch.Tensor:
    """Tissues of four grey values with soft borders, noise on top."""
    shares = torch.cat([smooth_random((1, 1, *GRID.shape), n, passes=3).float() for n in range(4)], dim=1)
    shares = (40 * shares).softmax(dim=1)
    plain = torch.einsum("ncdhw,c->ndhw", shares, torch.tensor([0.1, 0.35, 0.6, 0.9]))[:, None]
    generator = torch.Generator().manual_seed(seed)
    return (plain + noise * torch.randn(plain.shape, generator=generator)).clamp(0, 1)


def pair(curve: Curve) -> ImagePair:
    return ImagePair(image(), GRID, curve(image(seed=6)).clamp(0, 1), GRID)


@pytest.mark.parametrize("name", CURVES)
def test_a_curve_between_two_images_is_found(name: str) -> None:
    given = pair(CURVES[name])
    relation = common_grey_values(given.fixed, given.moving, torch.ones_like(given.fixed))
    found = related(given, relation)
    assert float(ncc(found.fixed, found.moving)) > 0.93
    assert float(ncc(found.fixed, found.moving)) == pytest.approx(relation.correlation, abs=0.04)
    assert all(float(image.min()) >= 0 and float(image.max()) <= 1 for image in (found.fixed, found.moving))


def test_no_functions_of_unrelated_images_correlate() -> None:
    one, other = (torch.rand(1, 1, *GRID.shape, generator=torch.Generator().manual_seed(n)) for n in (1, 2))
    assert common_grey_values(one, other, torch.ones_like(one)).correlation < 0.1


def test_two_values_each_give_the_root_of_their_chi_squared_per_voxel() -> None:
    """Of a 2 x 2 table maximal correlation is its phi coefficient."""
    generator = torch.Generator().manual_seed(3)
    one = (torch.rand(1, 1, *GRID.shape, generator=generator) > 0.4).float()
    other = torch.where(torch.rand(one.shape, generator=generator) < 0.8, one, 1 - one)
    phi = np.corrcoef(one.ravel(), other.ravel())[0, 1]
    assert common_grey_values(one, other, torch.ones_like(one)).correlation == pytest.approx(phi, abs=1e-4)


def test_voxels_of_no_weight_do_not_count() -> None:
    given = pair(CURVES["falling"])
    weight = torch.ones_like(given.fixed)
    weight[..., :10] = 0
    spoilt = given.moving.clone()
    spoilt[..., :10] = 0.5
    found = [common_grey_values(given.fixed, moving, weight) for moving in (given.moving, spoilt)]
    torch.testing.assert_close(found[0].fixed, found[1].fixed)
    assert found[0].correlation == found[1].correlation


def test_only_what_explains_the_images_much_better_is_used() -> None:
    assert better_relation(pair(lambda u: 0.3 + 0.5 * u), IDENTITY) is None
    assert better_relation(pair(CURVES["falling"]), IDENTITY) is None  # a line of other sign is a line
    found = better_relation(pair(CURVES["another order"]), IDENTITY)
    assert found is not None
    relation, plain = found
    assert relation.correlation > 0.93
    assert plain < 0.6


def test_empty_overlap_and_constant_images_relate_nothing() -> None:
    given = pair(CURVES["another order"])
    assert better_relation(given, IDENTITY + 1000.0) is None
    flat = dataclasses.replace(given, moving=torch.full_like(given.moving, 0.3))
    assert better_relation(flat, IDENTITY) is None
