"""The energy's images on a coarser lattice, and the local correlation with an image that stays."""

from __future__ import annotations

import pytest
import torch

from JointRegistrationLib.core.config import LOCAL_SIMILARITIES, SIMILARITIES, SimilarityConfig
from JointRegistrationLib.core.geometry import Grid
from JointRegistrationLib.core.lattices.working_grid import momentum_grid
from JointRegistrationLib.ops import maps
from JointRegistrationLib.ops.separable.filters import apply_along_axes, apply_with_channels_last, interpolation_matrix
from JointRegistrationLib.ops.separable.resampling import twice_as_fine
from JointRegistrationLib.ops.similarity.image_pair import ImagePair, LatticeDissimilarity
from JointRegistrationLib.ops.similarity.measures import FixedLocal, similarity_loss
from Testing.Support import knees
from Testing.Support.grids import smooth_random

FIXED_GRID = knees.centered_grid((14, 12, 11), (2.0, 2.0, 2.4))
MOVING_GRID = knees.centered_grid((13, 15, 12), (2.1, 1.9, 2.0))
LATTICE = momentum_grid(FIXED_GRID)


def volume(shape: tuple[int, ...], seed: int) -> torch.Tensor:
    return 0.5 + 0.2 * smooth_random((1, 1, *shape), seed, passes=1)


def pair(*, moving_mask: bool = False) -> ImagePair:
    mask = (volume(MOVING_GRID.shape, 3) > 0.45).double() if moving_mask else None
    return ImagePair(
        volume(FIXED_GRID.shape, 1), FIXED_GRID, volume(MOVING_GRID.shape, 2), MOVING_GRID, moving_mask=mask
    )


def some_map(seed: int, size_mm: float = 1.0) -> torch.Tensor:
    return maps.identity(LATTICE, dtype=torch.float64) + size_mm * smooth_random((1, 3, *LATTICE.shape), seed)


def expected_loss(images: ImagePair, config: SimilarityConfig, coarse: torch.Tensor) -> torch.Tensor:
    """The map interpolated to the fixed grid, the moving image sampled between the voxels of its cubic spline."""
    map_ras = maps.upsampled(coarse, FIXED_GRID)
    moving, grid = twice_as_fine(images.moving, images.moving_grid)
    unit = maps.apply_matrix(grid.ras_to_unit, map_ras)
    warped = maps.sample_unit(moving, grid, unit, outside=None)
    return similarity_loss(config.name, config.window_voxels, config.noise)(
        warped, images.fixed, images.weight(map_ras)
    )


@pytest.mark.parametrize("name", SIMILARITIES)
@pytest.mark.parametrize("moving_mask", [False, True])
def test_it_is_the_loss_of_the_interpolated_map(name: str, moving_mask: bool) -> None:
    images, config = pair(moving_mask=moving_mask), SimilarityConfig(name, 5)
    coarse = some_map(4, 3.0)
    expected = expected_loss(images, config, coarse)
    torch.testing.assert_close(LatticeDissimilarity(images, config, LATTICE)(coarse), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", LOCAL_SIMILARITIES)
def test_its_gradient_agrees_with_finite_differences(name: str) -> None:
    dissimilarity = LatticeDissimilarity(pair(), SimilarityConfig(name, 5), LATTICE)
    start, toward = some_map(5, 0.5), smooth_random((1, 3, *LATTICE.shape), 6)
    dissimilarity(start)  # sets the overlap

    def along(t: torch.Tensor) -> torch.Tensor:
        return dissimilarity(start + t * toward)

    t = torch.zeros((), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(along, (t,), eps=1e-7, atol=1e-5)


def test_the_overlap_stays_that_of_the_first_map() -> None:
    dissimilarity = LatticeDissimilarity(pair(), SimilarityConfig("lncc", 5), LATTICE)
    first = some_map(5)
    value = dissimilarity(first)
    dissimilarity(first + 8.0)
    assert dissimilarity(first) == value


def test_a_moving_mask_moves_with_the_map() -> None:
    images = pair(moving_mask=True)
    dissimilarity = LatticeDissimilarity(images, SimilarityConfig("lncc", 5), LATTICE)
    dissimilarity(some_map(5))
    after = some_map(7, 4.0)
    expected = expected_loss(images, SimilarityConfig("lncc", 5), after)
    torch.testing.assert_close(dissimilarity(after), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", LOCAL_SIMILARITIES)
@pytest.mark.parametrize("noise", [0.0, 0.1])
@pytest.mark.parametrize("window", [3, 5, 9])
def test_with_an_image_that_stays_the_local_loss_is_the_same(name: str, noise: float, window: int) -> None:
    x, y = (volume((7, 12, 10), seed) for seed in (1, 2))
    weight = (volume((7, 12, 10), 3) > 0.4).double()
    weight[..., :6] = 0
    x.requires_grad_()
    loss = FixedLocal(y, weight, SimilarityConfig(name, window, noise))(x)
    expected = similarity_loss(name, window, noise)(x, y, weight)
    torch.testing.assert_close(loss, expected)
    (gradient,), (same,) = torch.autograd.grad(loss, x), torch.autograd.grad(expected, x)
    torch.testing.assert_close(gradient, same)


@pytest.mark.parametrize("name", LOCAL_SIMILARITIES)
def test_with_an_image_that_stays_the_local_loss_passes_gradcheck(name: str) -> None:
    x, y, weight = (volume((5, 6, 7), seed).abs() for seed in (1, 2, 3))
    assert torch.autograd.gradcheck(FixedLocal(y, weight, SimilarityConfig(name, 4, 0.05)), (x.requires_grad_(),))


@pytest.mark.parametrize("name", LOCAL_SIMILARITIES)
@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_nothing_to_compare_gives_one_with_a_finite_gradient(name: str, weight: float) -> None:
    x = volume((6, 6, 6), 1).requires_grad_()
    loss = FixedLocal(torch.full_like(x, 0.3), torch.full_like(x, weight), SimilarityConfig(name, 3, 0.03))(x)
    assert float(loss.detach()) == pytest.approx(1.0)
    assert torch.isfinite(torch.autograd.grad(loss, x)[0]).all()


def test_interpolation_along_axes_is_trilinear_and_leaves_points_together_in_memory() -> None:
    coarse, fine = Grid((5, 4, 3), (1.0, 1.0, 1.0)), (7, 9, 10)
    field = smooth_random((1, 3, *coarse.shape), 0)
    d, h, w = (torch.as_tensor(interpolation_matrix(n, m)) for n, m in zip(coarse.shape, fine, strict=True))
    result = apply_with_channels_last(field, (d, h, w))
    torch.testing.assert_close(result, apply_along_axes(field, (d, h, w)))
    torch.testing.assert_close(
        result, torch.nn.functional.interpolate(field, size=fine, mode="trilinear", align_corners=True)
    )
    assert result.movedim(1, -1).is_contiguous()
