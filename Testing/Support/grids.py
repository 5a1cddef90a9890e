"""Small named grids: the same kind of lattice in the orientations that break wrong code."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import SimpleITK as sitk
import torch

from JointRegistrationLib.core.geometry import Grid
from JointRegistrationLib.core.result import RegistrationResult


def remarks(result: RegistrationResult) -> tuple[str, ...]:
    """The notes of a run but those on the size of its images: the tests' are smaller than knees."""
    return tuple(note for note in result.notes if " measures " not in note)


def rotation(axis: tuple[float, float, float], degrees: float) -> np.ndarray:
    """3x3 rotation about ``axis`` (Rodrigues)."""
    x, y, z = np.asarray(axis, dtype=float) / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = np.deg2rad(degrees)
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def _grid(direction: np.ndarray, size=(20, 18, 16), spacing=(1.0, 1.25, 2.0), center=(11.0, -23.0, 37.0)) -> Grid:
    """A grid around ``center`` with the given direction."""
    extent = np.asarray(spacing) * (np.asarray(size) - 1)
    origin = np.asarray(center) - np.asarray(direction, dtype=float) @ extent / 2
    return Grid(size, spacing, tuple(origin), tuple(map(tuple, np.asarray(direction, dtype=float))))


OBLIQUE = rotation((1.0, 2.0, -0.5), 27.0)

GRIDS: dict[str, Grid] = {
    "isotropic": _grid(np.eye(3), (18, 18, 18), (1.0, 1.0, 1.0)),
    "ras": _grid(np.eye(3)),
    "las": _grid(np.diag([-1.0, 1.0, 1.0])),
    "lps": _grid(np.diag([-1.0, -1.0, 1.0])),
    "oblique": _grid(OBLIQUE, spacing=(0.7, 0.7, 2.8)),
    "oblique_left_handed": _grid(OBLIQUE @ np.diag([1.0, 1.0, -1.0])),
    "permuted": _grid(np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])),
}


def sitk_image(array: np.ndarray, grid: Grid, *, is_vector: bool = False) -> sitk.Image:
    """A SimpleITK image on a grid, built without the library's file layer."""
    image = sitk.GetImageFromArray(array, isVector=is_vector)
    image.SetSpacing(grid.spacing_mm)
    image.SetOrigin(grid.origin_lps)
    image.SetDirection(grid.direction_lps)
    return image


def smooth_random(shape: tuple[int, ...], seed: int, passes: int = 3) -> torch.Tensor:
    """Smooth noise in double precision, about unit amplitude: shape (N, C, D, H, W)."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(shape, generator=generator, dtype=torch.float64)
    for _ in range(passes):
        noise = torch.nn.functional.avg_pool3d(noise, 3, stride=1, padding=1, count_include_pad=False)
    return noise / noise.std()


def reoriented(grid: Grid, axes: Sequence[int], flips: Sequence[bool]) -> Grid:
    """The same voxels with index axes permuted and reversed.

    New axis c runs along old axis ``axes[c]``, backwards where ``flips[c]``. The array of the new grid is given by
    :func:`reorient_array` with the same arguments.
    """
    matrix = np.zeros((4, 4))
    matrix[3, 3] = 1.0
    for new, old in enumerate(axes):
        matrix[old, new], matrix[old, 3] = (-1.0, grid.size_ijk[old] - 1) if flips[new] else (1.0, 0.0)
    return Grid.from_ijk_to_ras([grid.size_ijk[old] for old in axes], grid.ijk_to_ras @ matrix)


def reorient_array(array: np.ndarray, axes: Sequence[int], flips: Sequence[bool]) -> np.ndarray:
    """The (k, j, i) ``array`` on the grid returned by :func:`reoriented`. A view, not a copy."""
    by_ijk = array.transpose(2, 1, 0).transpose(*axes)
    slices = tuple(slice(None, None, -1) if flip else slice(None) for flip in flips)
    return by_ijk[slices].transpose(2, 1, 0)
