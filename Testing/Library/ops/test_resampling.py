"""Between the voxels of an image, by splines."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates

from JointRegistrationLib.core.geometry import Grid
from JointRegistrationLib.ops.separable.resampling import twice_as_fine
from Testing.Support import knees


@pytest.mark.parametrize("size", [(9, 7, 6), (2, 3, 40)])
def test_twice_as_fine_is_scipy_s_cubic_spline(size: tuple[int, int, int]) -> None:
    grid = knees.centered_grid(size, (1.0, 1.2, 2.0))
    values = torch.rand(1, 1, *grid.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found, finer = twice_as_fine(values, grid)
    places = np.meshgrid(*(np.arange(2 * n - 1) / 2 for n in grid.shape), indexing="ij")
    expected = map_coordinates(values[0, 0].numpy(), places, order=3, mode="mirror")
    np.testing.assert_allclose(found[0, 0].numpy(), expected, atol=1e-12)
    torch.testing.assert_close(found[..., ::2, ::2, ::2], values)
    assert finer.size_ijk == tuple(2 * n - 1 for n in size)


def test_twice_as_fine_covers_the_same_field_of_view(oblique_grid: Grid) -> None:
    _, finer = twice_as_fine(torch.zeros(1, 1, *oblique_grid.shape), oblique_grid)
    np.testing.assert_allclose(finer.corners_ras, oblique_grid.corners_ras, atol=1e-9)
    np.testing.assert_allclose(np.multiply(finer.spacing_mm, 2), oblique_grid.spacing_mm)
