"""The momentum networks: layer counts, output lattice, units and component order."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from JointRegistrationLib.core.errors import ConfigError
from JointRegistrationLib.core.geometry import Grid
from JointRegistrationLib.core.lattices.working_grid import momentum_grid
from JointRegistrationLib.networks.blocks import Conv, Up, convolve
from JointRegistrationLib.networks.momentum import (
    FastMomentumNet,
    LightMomentumNet,
    PublishedMomentumNet,
    momentum_ras,
)

NETWORKS = {
    "fast": lambda: FastMomentumNet((8, 16, 16, 16)),
    "light": LightMomentumNet,
    "published": PublishedMomentumNet,
}


def test_published_networks_have_the_published_number_of_parameters() -> None:
    with torch.device("meta"):
        assert sum(p.numel() for p in PublishedMomentumNet().parameters()) == 5_938_515
        assert sum(p.numel() for p in LightMomentumNet().parameters()) == 781_523


def test_published_network_turns_the_published_grid_into_half_of_it() -> None:
    with torch.device("meta"):
        images = torch.empty(1, 1, 80, 192, 192)
        assert PublishedMomentumNet()(images, images).shape == (1, 3, 40, 96, 96)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("size_ijk", [(16, 24, 32), (17, 19, 21)])
def test_output_lies_on_the_momentum_grid_for_any_size(name: str, size_ijk: tuple[int, int, int]) -> None:
    grid = Grid(size_ijk)
    images = torch.rand(1, 1, *grid.shape)
    assert NETWORKS[name]()(images, images).shape[2:] == momentum_grid(grid).shape


def test_momentum_grid_covers_the_same_field_of_view() -> None:
    grid = Grid((17, 20, 9), (1.0, 2.0, 3.0))
    low = momentum_grid(grid)
    assert low.size_ijk == (9, 10, 5)
    assert np.allclose(low.corners_ras, grid.corners_ras)


def test_our_network_starts_with_no_momentum() -> None:
    images = torch.rand(2, 1, 16, 16, 16)
    assert torch.equal(FastMomentumNet((8, 8, 8, 8))(images, images.flip(3)), torch.zeros(2, 3, 8, 8, 8))


@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_reach_every_parameter(name: str) -> None:
    torch.manual_seed(0)
    network = NETWORKS[name]()
    if isinstance(network, FastMomentumNet):
        torch.nn.init.normal_(network.output.weight)
    moving, fixed = torch.rand(2, 1, 1, 32, 32, 32)
    network(moving, fixed).square().sum().backward()
    for parameter_name, parameter in network.named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), parameter_name


def test_trilinear_upsampling_can_replace_deconvolution() -> None:
    images = torch.rand(1, 1, 16, 16, 16)
    assert LightMomentumNet(upsampling="trilinear")(images, images).shape == (1, 3, 8, 8, 8)


def test_unknown_layers_are_refused() -> None:
    with pytest.raises(ConfigError, match="normalisation 'batch'"):
        Conv(8, 8, norm="batch")
    with pytest.raises(ConfigError, match="upsampling 'nearest'"):
        Up(8, 8, leak=None, upsampling="nearest")


def test_raw_channels_are_array_axes_and_become_ras_millimetres() -> None:
    # i runs along S, j along R, k along A, backwards.
    direction = ((0.0, 1.0, 0.0), (0.0, 0.0, -1.0), (1.0, 0.0, 0.0))
    grid = Grid((5, 6, 7), (1.0, 2.0, 3.0), (0.0, 0.0, 0.0), direction)
    raw = torch.zeros(1, 3, 2, 2, 2)
    raw[:, 0], raw[:, 1], raw[:, 2] = 1.0, 2.0, 3.0  # k, j, i
    found = momentum_ras(raw, grid, scale_mm=10.0)[0, :, 0, 0, 0]
    assert torch.allclose(found, torch.tensor([20.0, -10.0, 30.0]))


def test_published_unit_is_the_field_of_view_along_each_axis() -> None:
    grid = Grid((5, 6, 7), (1.0, 2.0, 3.0))
    found = momentum_ras(torch.ones(1, 3, 1, 1, 1), grid, None).flatten()
    assert torch.allclose(found, torch.tensor([4.0, 10.0, 18.0]))


@pytest.mark.parametrize("shape", [(2, 3, 3), (3, 6, 1), (4, 6, 6)])
@pytest.mark.parametrize("stride", [1, 2])
def test_gradients_under_mixed_precision_come_from_the_images_alone(shape: tuple[int, int, int], stride: int) -> None:
    """The CPU's bfloat16 gradient of a convolution on few voxels reads memory that holds anything."""
    torch.manual_seed(0)
    conv = torch.nn.Conv3d(64, 64, 3, stride=stride, padding=1)
    x = torch.randn(1, 64, *shape)
    (exact,) = torch.autograd.grad(conv(x).square().sum(), conv.weight)
    for _ in range(10):
        junk = [torch.full((int(n),), float("nan")) for n in torch.randint(100, 1_000_000, (40,))]
        del junk
        with torch.autocast("cpu", dtype=torch.bfloat16):
            y = convolve(conv, x)
        (rough,) = torch.autograd.grad(y.float().square().sum(), conv.weight)
        assert (rough - exact).norm() < 0.02 * exact.norm()
