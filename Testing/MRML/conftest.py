"""Scenes, grids and a known registration for the MRML tests. Skips where slicer-core is not installed."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")
pytest.importorskip("vtk", reason="slicer-core is not installed")

from JointRegistrationLib.geometry import Grid, transform_points


def _rotation(axis: tuple[float, float, float], degrees: float) -> np.ndarray:
    x, y, z = np.asarray(axis) / np.linalg.norm(axis)
    angle = np.deg2rad(degrees)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def _grid(size: tuple[int, int, int], spacing: tuple[float, float, float], direction: np.ndarray) -> Grid:
    """A grid whose centre is (5, -10, 20) RAS, so that all of them overlap."""
    matrix = np.eye(4)
    matrix[:3, :3] = direction * np.asarray(spacing)
    matrix[:3, 3] = np.array([5.0, -10.0, 20.0]) - matrix[:3, :3] @ ((np.asarray(size) - 1) / 2)
    return Grid.from_ijk_to_ras(size, matrix)


GRIDS = {
    "RAS": _grid((20, 22, 24), (2.0, 2.0, 2.0), np.eye(3)),
    "LAS-left-handed": _grid((20, 22, 24), (2.0, 2.0, 2.0), np.diag([-1.0, 1, 1])),
    "LPS": _grid((20, 22, 24), (2.0, 2.0, 2.0), np.diag([-1.0, -1, 1])),
    "sagittal-PIR": _grid((24, 22, 12), (1.8, 1.8, 3.5), np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])),
    "oblique": _grid((21, 19, 23), (2.0, 2.1, 1.9), _rotation((1, 2, 3), 25)),
    "oblique-anisotropic-left-handed": _grid(
        (30, 24, 12), (1.3, 1.7, 3.6), _rotation((2, -1, 1), 40) @ np.diag([1.0, 1, -1])
    ),
}


@pytest.fixture(params=list(GRIDS))
def grid(request: pytest.FixtureRequest) -> Grid:
    return GRIDS[request.param]


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20240501)


def latticePoints(grid: Grid) -> np.ndarray:
    """(k, j, i, 3) RAS positions of the lattice."""
    indices = np.stack(np.meshgrid(*(np.arange(n) for n in grid.size_ijk), indexing="ij"), axis=-1)
    return transform_points(grid.ijk_to_ras, indices.transpose(2, 1, 0, 3))


def smoothField(grid: Grid, amplitudeMm: float = 4.0) -> np.ndarray:
    """A smooth displacement field (k, j, i, 3) in RAS mm with a different law per component, without folds."""
    r, a, s = np.moveaxis((latticePoints(grid) - grid.center_ras) / 25.0, -1, 0)
    field = np.stack([np.sin(a + 0.5), np.cos(s - 0.3 * r), 0.6 * np.sin(r + a)], axis=-1)
    return amplitudeMm * field


def pointsInside(grid: Grid, rng: np.random.Generator, count: int = 300, margin: float = 0.0) -> np.ndarray:
    """Random (count, 3) RAS points, at least ``margin`` (a fraction of the field of view) from its border."""
    return transform_points(grid.unit_to_ras, rng.uniform(margin, 1 - margin, size=(count, 3)))
