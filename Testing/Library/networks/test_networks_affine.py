"""The affine networks: layer counts, the identity at the start, the published recurrence, any size."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from JointRegistrationLib.core.errors import ConfigError
from JointRegistrationLib.core.geometry import Grid
from JointRegistrationLib.networks.affine import (
    LandmarkAffineNet,
    PublishedAffineNet,
    affine_frame,
    affine_ras,
    fit_affine,
    frame_to_ras,
    homogeneous,
    multi_step_affine,
    warp_affine,
)
from JointRegistrationLib.networks.blocks import fold
from JointRegistrationLib.ops import maps

ANGLE = 0.3
OBLIQUE = Grid(
    (14, 11, 9),
    (1.0, 1.5, 2.5),
    (-7.0, 3.0, 20.0),
    ((np.cos(ANGLE), -np.sin(ANGLE), 0.0), (np.sin(ANGLE), np.cos(ANGLE), 0.0), (0.0, 0.0, 1.0)),
)


def random_matrices(count: int, seed: int) -> torch.Tensor:
    g = torch.Generator().manual_seed(seed)
    linear = torch.eye(3) + 0.1 * torch.randn(count, 3, 3, generator=g)
    return homogeneous(linear, 0.2 * torch.randn(count, 3, generator=g))


def test_published_variant_has_the_published_number_of_parameters() -> None:
    assert sum(p.numel() for p in PublishedAffineNet().parameters()) == 147_920


def test_published_layers_reach_the_published_feature_size_on_the_published_grid() -> None:
    with torch.device("meta"):
        network = PublishedAffineNet(identity_start=False)
        features = torch.cat([network.shared(torch.empty(1, 1, 80, 192, 192))] * 2, dim=1)
        assert network.trunk(features).shape == (1, 4, 3, 6, 6)


@pytest.mark.parametrize("network", [PublishedAffineNet(), LandmarkAffineNet()])
@pytest.mark.parametrize("shape", [(16, 16, 16), (17, 21, 13)])
def test_an_untrained_network_returns_the_identity_on_any_size(
    network: torch.nn.Module, shape: tuple[int, int, int]
) -> None:
    images = torch.rand(2, 1, *shape, generator=torch.Generator().manual_seed(0))
    out = network(images, images.flip(2))
    assert out.shape == (2, 4, 4)
    assert torch.allclose(out, torch.eye(4).expand(2, 4, 4), atol=1e-5)


def test_without_identity_start_the_published_network_starts_near_the_zero_matrix() -> None:
    torch.manual_seed(0)
    out = PublishedAffineNet(identity_start=False)(torch.rand(1, 1, 16, 16, 16), torch.rand(1, 1, 16, 16, 16))
    assert out[0, :3].abs().max() < 0.5
    assert not torch.allclose(out, torch.eye(4)[None], atol=0.1)


def trained_like(seed: int = 0) -> LandmarkAffineNet:
    """Landmarks that depend on the image, as after training."""
    torch.manual_seed(seed)
    network = LandmarkAffineNet(channels=(8, 8, 16))
    torch.nn.init.normal_(network.heat.weight, std=2.0)
    torch.nn.init.normal_(network.confidence.weight)
    return network


def test_landmark_network_gives_exactly_the_identity_for_equal_images() -> None:
    image = torch.rand(1, 1, 18, 20, 16, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(trained_like()(image, image), torch.eye(4)[None], atol=1e-5)


def test_landmark_network_is_not_the_identity_for_different_images() -> None:
    g = torch.Generator().manual_seed(1)
    out = trained_like()(torch.rand(1, 1, 16, 16, 16, generator=g), torch.rand(1, 1, 16, 16, 16, generator=g))
    assert (out - torch.eye(4)).abs().max() > 1e-3


@pytest.mark.parametrize("network", [PublishedAffineNet(identity_start=False), trained_like()])
def test_gradients_reach_every_parameter(network: torch.nn.Module) -> None:
    g = torch.Generator().manual_seed(2)
    moving, fixed = torch.rand(2, 1, 1, 24, 24, 24, generator=g)
    out = network(moving, fixed)
    (out[:, :3] * torch.randn(3, 4, generator=g)).sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
    assert sum(float(p.grad.abs().sum()) for p in network.parameters() if p.grad is not None) > 0


def test_fit_affine_recovers_a_known_affine() -> None:
    g = torch.Generator().manual_seed(3)
    wanted = random_matrices(2, 4).double()
    start = torch.randn(2, 30, 3, generator=g, dtype=torch.float64)
    end = start @ wanted[:, :3, :3].mT + wanted[:, None, :3, 3]
    weights = torch.softmax(torch.randn(2, 30, generator=g, dtype=torch.float64), dim=1)
    assert torch.allclose(fit_affine(start, end, weights, ridge=0.0), wanted, atol=1e-9)


def test_fit_affine_ignores_points_of_no_weight() -> None:
    g = torch.Generator().manual_seed(5)
    start = torch.randn(1, 20, 3, generator=g, dtype=torch.float64)
    end = start.clone()
    end[:, 0] += 100
    weights = torch.full((1, 20), 1 / 19, dtype=torch.float64)
    weights[:, 0] = 0
    assert torch.allclose(fit_affine(start, end, weights, ridge=0.0), torch.eye(4).double()[None], atol=1e-9)


def test_recurrence_composes_parameters_in_the_published_order() -> None:
    increments = list(random_matrices(3, 6).double().split(1))
    calls = iter(increments)
    image = torch.zeros(1, 1, *OBLIQUE.shape, dtype=torch.float64)
    matrices = multi_step_affine(lambda moving, fixed: next(calls), image, image, OBLIQUE, 3)
    a, b = torch.eye(3).double(), torch.zeros(3).double()
    for step, found in zip(increments, matrices, strict=True):
        a, b = step[0, :3, :3] @ a, step[0, :3, :3] @ b + step[0, :3, 3]  # spec, section 2
        frame = affine_frame(found.double(), OBLIQUE)[0]
        assert torch.allclose(frame[:3, :3], a, atol=1e-5)
        assert torch.allclose(frame[:3, 3], b, atol=1e-5)


def test_increments_measured_on_the_fixed_side_act_there() -> None:
    increments = list(random_matrices(3, 6).double().split(1))
    calls = iter(increments)
    image = torch.zeros(1, 1, *OBLIQUE.shape, dtype=torch.float64)
    matrices = multi_step_affine(lambda moving, fixed: next(calls), image, image, OBLIQUE, 3, fixed_side=True)
    wanted = increments[0] @ increments[1] @ increments[2]
    assert torch.allclose(affine_frame(matrices[-1], OBLIQUE), wanted, atol=1e-5)


def test_every_step_resamples_the_original_moving_image_once() -> None:
    increments = iter(random_matrices(3, 7).split(1))
    g = torch.Generator().manual_seed(8)
    moving, fixed = torch.rand(2, 1, 1, *OBLIQUE.shape, generator=g)
    seen: list[torch.Tensor] = []

    def step(warped: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        assert target is fixed
        seen.append(warped)
        return next(increments)

    matrices = multi_step_affine(step, moving, fixed, OBLIQUE, 3)
    assert torch.equal(seen[0], moving)
    for warped, before in zip(seen[1:], matrices, strict=False):
        assert torch.equal(warped, warp_affine(moving, before, OBLIQUE))


def test_zero_steps_are_refused() -> None:
    image = torch.zeros(1, 1, *OBLIQUE.shape)
    with pytest.raises(ConfigError, match="at least 1"):
        multi_step_affine(PublishedAffineNet(), image, image, OBLIQUE, 0)


def test_frame_maps_the_corner_voxels_to_minus_one_and_one() -> None:
    corners = np.array([[-1, -1, -1, 1], [1, 1, 1, 1]], dtype=float)
    found = (frame_to_ras(OBLIQUE) @ corners.T).T[:, :3]
    assert np.allclose(found, OBLIQUE.corners_ras[[0, -1]])


def test_affine_ras_agrees_with_moving_points_in_the_frame() -> None:
    matrix = random_matrices(1, 9).double()
    points = torch.randn(3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(10))
    to_ras = torch.as_tensor(frame_to_ras(OBLIQUE))
    apply = lambda m, p: m[:3, :3] @ p + m[:3, 3:]  # noqa: E731
    in_frame = apply(to_ras, apply(matrix[0], points))
    in_ras = apply(affine_ras(matrix, OBLIQUE)[0], apply(to_ras, points))
    assert torch.allclose(in_frame, in_ras, atol=1e-9)


def test_fold_keeps_every_voxel() -> None:
    x = torch.arange(2 * 4 * 6 * 2.0).reshape(1, 2, 4, 6, 2)
    folded = fold(x)
    assert folded.shape == (1, 16, 2, 3, 1)
    assert torch.equal(folded.flatten().sort().values, x.flatten().sort().values)
    assert torch.equal(folded[0, :8, 0, 0, 0].sort().values, x[0, 0, :2, :2, :2].flatten().sort().values)


def test_warp_affine_equals_sampling_at_the_moved_points() -> None:
    image = torch.rand(2, 1, *OBLIQUE.shape, generator=torch.Generator().manual_seed(11))
    matrices = affine_ras(random_matrices(2, 12), OBLIQUE)
    for n in range(2):
        alone = maps.warp(image[n : n + 1], OBLIQUE, maps.affine_map(matrices[n], OBLIQUE, image))
        assert torch.allclose(warp_affine(image, matrices, OBLIQUE)[n], alone[0], atol=1e-5)
