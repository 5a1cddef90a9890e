"""A known smooth invertible map between two knees: affine after the flow of a stationary velocity."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..core.errors import ConfigError
from ..core.geometry import Grid, affine_matrix
from .knee import lattice_points
from .shapes.knee_shape import check_range, check_seed
from .tissues.random_fields import WaveField

_CHUNK = 1 << 15


@dataclass(frozen=True)
class DeformationConfig:
    """How far a random pair is apart.

    Args:
        nonlinear_mm: root mean square velocity of the flow, mm per unit time.
        wavelengths_mm: shortest and longest wave of the velocity.
        rotation_deg, translation_mm: standard deviation per axis of the affine part.
        scaling, shear: standard deviation per axis of the logarithm of scales, and of shears.

    Raises:
        ConfigError: naming the field, the value found and the range allowed.
    """

    nonlinear_mm: float = 3.0
    wavelengths_mm: tuple[float, float] = (55.0, 160.0)
    rotation_deg: float = 4.0
    translation_mm: float = 3.0
    scaling: float = 0.03
    shear: float = 0.02

    def __post_init__(self) -> None:
        check_range("DeformationConfig", "nonlinear_mm", self.nonlinear_mm, 0.0, 15.0)
        check_range("DeformationConfig", "rotation_deg", self.rotation_deg, 0.0, 20.0)
        check_range("DeformationConfig", "translation_mm", self.translation_mm, 0.0, 50.0)
        check_range("DeformationConfig", "scaling", self.scaling, 0.0, 0.2)
        check_range("DeformationConfig", "shear", self.shear, 0.0, 0.2)
        low, high = self.wavelengths_mm
        if not 20.0 <= low <= high <= 1000.0:
            raise ConfigError(
                f"DeformationConfig.wavelengths_mm: {self.wavelengths_mm!r} is out of range; "
                "give two lengths from 20 to 1000, the shorter first"
            )


class Deformation:
    """T = A o Exp(v): sends fixed RAS points to moving ones; exact inverse Exp(-v) o A^-1.

    v is a sum of plane waves, so T is known at every point of space, not only on a lattice. The flow
    is integrated by RK4; at the default step count the round trip stays below 0.001 mm.

    Args:
        affine_ras: 4x4.
        velocity: mm per unit time; points (3, M) to velocities (3, M).
        steps: of RK4 over unit time.
    """

    def __init__(self, affine_ras: npt.ArrayLike, velocity: WaveField, steps: int = 6) -> None:
        self.affine_ras = np.asarray(affine_ras, dtype=np.float64)
        self._inverse_affine = np.linalg.inv(self.affine_ras)
        self._velocity = velocity
        self._steps = steps

    def forward(self, points_ras: Tensor) -> Tensor:
        """Fixed points (3, M) to moving points, RAS mm."""
        return _affine(self.affine_ras, self._flow(points_ras, 1.0))

    def inverse(self, points_ras: Tensor) -> Tensor:
        """Moving points (3, M) to fixed points, RAS mm."""
        return self._flow(_affine(self._inverse_affine, points_ras), -1.0)

    def forward_points(self, points_ras: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """:meth:`forward` for an array (n, 3), e.g. landmarks."""
        points = torch.as_tensor(np.asarray(points_ras, dtype=np.float32).T)
        return np.asarray(self.forward(points).T.numpy(), dtype=np.float64)

    def inverse_points(self, points_ras: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """:meth:`inverse` for an array (n, 3)."""
        points = torch.as_tensor(np.asarray(points_ras, dtype=np.float32).T)
        return np.asarray(self.inverse(points).T.numpy(), dtype=np.float64)

    def displacement_field_mm(self, grid: Grid, *, inverse: bool = False) -> npt.NDArray[np.float32]:
        """T(x) - x at the points of ``grid``, (k, j, i, 3), RAS mm; with ``inverse`` T^-1(y) - y."""
        field = np.empty((grid.num_voxels, 3), dtype=np.float32)
        for start in range(0, grid.num_voxels, _CHUNK):
            stop = min(start + _CHUNK, grid.num_voxels)
            points = lattice_points(grid, start, stop)
            there = self.inverse(points) if inverse else self.forward(points)
            field[start:stop] = (there - points).T.numpy()
        return field.reshape(*grid.shape, 3)

    def _flow(self, points: Tensor, direction: float) -> Tensor:
        step = direction / self._steps
        v = self._velocity
        for _ in range(self._steps):
            k1 = v(points)
            k2 = v(points + step / 2 * k1)
            k3 = v(points + step / 2 * k2)
            k4 = v(points + step * k3)
            points = points + step / 6 * (k1 + 2 * (k2 + k3) + k4)
        return points


def random_deformation(
    seed: int, config: DeformationConfig | None = None, device: torch.device | str = "cpu"
) -> Deformation:
    """A random :class:`Deformation` about the joint's middle.

    Raises:
        ConfigError: if the seed is none.
    """
    check_seed("random_deformation", seed)
    config = config or DeformationConfig()
    rng = np.random.default_rng(seed)

    def normal(deviation: float) -> npt.NDArray[np.float64]:
        return deviation * np.clip(rng.standard_normal(3), -2, 2)

    rotation = _rotation(np.radians(normal(config.rotation_deg)))
    shear = np.eye(3)
    shear[np.triu_indices(3, 1)] = normal(config.shear)
    affine = affine_matrix(rotation @ shear @ np.diag(np.exp(normal(config.scaling))), normal(config.translation_mm))
    velocity = WaveField(int(rng.integers(2**31)), config.nonlinear_mm, config.wavelengths_mm, 8, device)
    return Deformation(affine, velocity)


def _affine(matrix: npt.NDArray[np.floating], points: Tensor) -> Tensor:
    m = torch.as_tensor(matrix.astype(np.float32), device=points.device)
    return torch.addmm(m[:3, 3:], m[:3, :3], points)


def _rotation(vector: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Rodrigues' formula: the rotation about ``vector`` by its length in radians."""
    angle = float(np.linalg.norm(vector))
    if angle == 0.0:
        return np.eye(3)
    x, y, z = vector / angle
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.asarray(np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross)
