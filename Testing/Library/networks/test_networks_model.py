"""AVSM as a whole: what it composes, at any size, and what inference needs from it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from JointRegistrationLib.core.config import VelocityConfig
from JointRegistrationLib.core.errors import ConfigError
from JointRegistrationLib.core.geometry import Grid
from JointRegistrationLib.core.serialization import from_dict, to_dict
from JointRegistrationLib.networks.model import (
    AVSM,
    PUBLISHED,
    ModelConfig,
    affine_blocks,
    compose_step,
    inverse_psi,
    shrunk,
    shrunk_grid,
)
from JointRegistrationLib.ops import integrate, maps
from JointRegistrationLib.ops.separable.smoothing import velocity

ANGLE = 0.2
GRID = Grid(
    (20, 18, 14),
    (2.0, 2.2, 2.5),
    (-20.0, 5.0, 9.0),
    ((np.cos(ANGLE), 0.0, np.sin(ANGLE)), (0.0, 1.0, 0.0), (-np.sin(ANGLE), 0.0, np.cos(ANGLE))),
)
VELOCITY = VelocityConfig(sigmas_mm=(7.0, 14.0), weights=(0.5, 0.5), steps=8)
SMALL = ModelConfig(
    momentum_channels=(8, 8, 8, 8), affine_spacing_mm=0.0, affine_steps=2, vsvf_steps=2, velocity=VELOCITY
)


def images(grid: Grid, count: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(0)
    moving, fixed = torch.rand(2, count, 1, *grid.shape, generator=g)
    return moving, fixed


def moving_model(config: ModelConfig = SMALL, size: float = 0.3) -> AVSM:
    """A model whose untrained momentum network does something."""
    torch.manual_seed(1)
    model = AVSM(config)
    torch.nn.init.normal_(model.momentum.output.weight, std=0.05)
    torch.nn.init.normal_(model.momentum.output.bias, std=size)
    return model.eval()


def small_affine(grid: Grid) -> torch.Tensor:
    matrix = np.eye(4)
    matrix[:3, :3] += 0.05 * np.array([[0, 1, 0], [-1, 0.5, 0], [0, 0, -0.5]])
    matrix[:3, 3] = grid.center_ras - matrix[:3, :3] @ grid.center_ras + [1.0, -2.0, 0.5]
    return torch.as_tensor(matrix, dtype=torch.float32)[None]


@torch.no_grad()
@pytest.mark.parametrize("size_ijk", [(16, 16, 16), (19, 22, 15)])
def test_an_untrained_model_is_the_identity(size_ijk: tuple[int, int, int]) -> None:
    grid = Grid(size_ijk, (2.0, 2.0, 3.0))
    moving, fixed = images(grid, 2)
    output = AVSM(SMALL)(moving, fixed, grid)
    assert torch.allclose(output.map_ras, maps.identity(grid).expand(2, -1, -1, -1, -1), atol=1e-3)
    assert torch.allclose(output.warped, moving, atol=1e-3)
    assert len(output.affines_ras) == 2 and len(output.steps) == 2


@torch.no_grad()
def test_number_of_steps_is_chosen_at_run_time() -> None:
    moving, fixed = images(GRID)
    output = moving_model()(moving, fixed, GRID, affine_steps=5, vsvf_steps=0)
    assert len(output.affines_ras) == 5 and output.steps == []
    assert torch.equal(output.psi_displacement_mm, torch.zeros_like(output.psi_displacement_mm))
    assert len(moving_model()(moving, fixed, GRID, vsvf_steps=4).velocities_mm) == 4


@torch.no_grad()
def test_map_is_the_affine_after_psi_and_warps_the_original_once() -> None:
    moving, fixed = images(GRID)
    affine = small_affine(GRID)
    output = moving_model().deform(moving, fixed, GRID, [affine], 2)
    points = maps.identity(GRID) + maps.upsampled(output.psi_displacement_mm, GRID)
    assert torch.allclose(output.map_ras, maps.apply_matrix(affine, points), atol=1e-4)
    assert torch.equal(output.warped, maps.warp(moving, GRID, output.map_ras))
    assert torch.equal(output.steps[-1].map_ras, output.map_ras)
    assert output.psi_displacement_mm.abs().max() > 0.05


@torch.no_grad()
def test_psi_composes_the_steps_in_order() -> None:
    moving, fixed = images(GRID)
    output = moving_model().deform(moving, fixed, GRID, [small_affine(GRID)], 2)
    low, (first, second) = output.momentum_grid, output.velocities_mm
    exp = [integrate.exponential(-v, low, steps=8) for v in (first, second)]
    wanted = maps.compose_displacement(exp[0], low, maps.from_displacement(exp[1], low))
    assert torch.allclose(maps.from_displacement(output.psi_displacement_mm, low), wanted, atol=1e-4)
    assert not torch.allclose(first, second, atol=1e-3)


@torch.no_grad()
def test_inverse_psi_undoes_psi() -> None:
    low = Grid((24, 24, 24), (2.0, 2.0, 2.0))
    g = torch.Generator().manual_seed(2)
    velocities = [velocity(20 * torch.randn(1, 3, *low.shape, generator=g), low, VELOCITY) for _ in range(3)]
    psi = torch.zeros_like(velocities[0])
    for v in velocities:
        psi = compose_step(psi, v, low, VELOCITY)
    back = inverse_psi(velocities, low, VELOCITY)
    there = maps.from_displacement(psi, low)
    error = maps.compose_displacement(back, low, there) - maps.identity(low)
    size, left = (f[..., 5:-5, 5:-5, 5:-5].norm(dim=1) for f in (psi, error))
    assert size.mean() > 0.3
    assert left.mean() < 0.1 * size.mean()
    assert left.max() < 0.2 * size.max()


def test_gradients_reach_both_networks_through_all_steps() -> None:
    model = moving_model().train()
    moving, fixed = images(GRID)
    model(moving, fixed, GRID, 2, 2).warped.square().mean().backward()
    for part in (model.affine, model.momentum):
        total = sum(float(p.grad.abs().sum()) for p in part.parameters() if p.grad is not None)
        assert np.isfinite(total) and total > 0


@torch.no_grad()
def test_same_input_gives_the_same_bits_on_cpu() -> None:
    moving, fixed = images(GRID)
    first, second = (moving_model()(moving, fixed, GRID) for _ in range(2))
    assert torch.equal(first.map_ras, second.map_ras)


@torch.no_grad()
def test_a_batch_equals_its_pairs_one_by_one() -> None:
    moving, fixed = images(GRID, 2)
    model = moving_model()
    both = model(moving, fixed, GRID)
    for n in range(2):
        alone = model(moving[n : n + 1], fixed[n : n + 1], GRID)
        assert torch.allclose(both.map_ras[n], alone.map_ras[0], atol=2e-3)


@torch.no_grad()
def test_published_configuration_runs_at_any_size() -> None:
    grid = Grid((16, 18, 17), (2.0, 2.0, 2.0))
    moving, fixed = images(grid)
    output = AVSM(PUBLISHED)(moving, fixed, grid, 2, 1)
    assert output.map_ras.shape == (1, 3, *grid.shape)
    assert torch.isfinite(output.warped).all()


def test_affine_network_sees_blocks_of_about_the_configured_spacing() -> None:
    grid = Grid((192, 192, 80), (0.73, 0.73, 1.4))
    assert affine_blocks(grid, 2.9) == (2, 4, 4)
    assert affine_blocks(grid, 0.5) == (1, 1, 1)


def test_shrunk_grid_has_the_block_centres() -> None:
    positions = maps.identity(GRID)
    coarse = shrunk_grid(GRID, (2, 3, 2))
    assert torch.allclose(shrunk(positions, (2, 3, 2)), maps.identity(coarse), atol=1e-4)


def test_configuration_survives_json_and_refuses_nonsense() -> None:
    assert from_dict(ModelConfig, to_dict(PUBLISHED)) == PUBLISHED
    for values in (
        {"affine_network": "vgg"},
        {"momentum_network": "unet"},
        {"affine_steps": 0},
        {"vsvf_steps": -1},
        {"momentum_channels": [8, 8]},
        {"momentum_scale_mm": -1.0},
        {"lattice_ijk": [96, 96]},
    ):
        with pytest.raises(ConfigError):
            from_dict(ModelConfig, values)


def test_the_published_kernel_is_a_share_of_the_field_of_view_weighted_by_its_width() -> None:
    kernel = PUBLISHED.velocity
    assert kernel.sigmas_mm == pytest.approx([140 * share for share in (0.05, 0.1, 0.15, 0.2, 0.25)])
    assert kernel.weights == pytest.approx([sigma / sum(kernel.sigmas_mm) for sigma in kernel.sigmas_mm])
    assert (kernel.integrator, kernel.steps) == ("rk4", 10)
