"""Smooth implicit functions: negative inside, about the distance in mm near the surface.

Points are tensors (3, M), rows x, y, z; results are (M,).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor


def smoothstep(values: Tensor, low: float, high: float) -> Tensor:
    """0 below ``low``, 1 above ``high``, a cubic in between."""
    t = ((values - low) / (high - low)).clamp(0, 1)
    return t * t * (3 - 2 * t)


def ellipsoid(points: Tensor, center: Sequence[float], radii: Sequence[float]) -> Tensor:
    """Distance to an axis-aligned ellipsoid (first-order estimate: exact on the surface)."""
    u = [(points[c] - center[c]) / radii[c] for c in range(3)]
    value = (u[0] ** 2 + u[1] ** 2 + u[2] ** 2 + 1e-9).sqrt()
    slope = ((u[0] / radii[0]) ** 2 + (u[1] / radii[1]) ** 2 + (u[2] / radii[2]) ** 2 + 1e-12).sqrt()
    return value * (value - 1) / slope


def capsule(points: Tensor, start: Sequence[float], end: Sequence[float], radius: float) -> Tensor:
    """Distance to a rod between two points."""
    axis = [e - s for s, e in zip(start, end, strict=True)]
    offset = [points[c] - start[c] for c in range(3)]
    along = sum(o * a for o, a in zip(offset, axis, strict=True)) / sum(a * a for a in axis)
    along = torch.as_tensor(along).clamp(0, 1)
    d = [o - along * a for o, a in zip(offset, axis, strict=True)]
    return (d[0] ** 2 + d[1] ** 2 + d[2] ** 2).sqrt() - radius


def smooth_union(distances: Sequence[Tensor], softness_mm: float) -> Tensor:
    """Union with rounded creases."""
    return -softness_mm * torch.logsumexp(torch.stack(list(distances)) / -softness_mm, dim=0)


_SMOOTHING_MM = 4.0  # of the table along z, one standard deviation
_REACH = 120  # table steps: three standard deviations


class EllipsoidUnion:
    """Smooth union of rotated ellipsoids, evaluated together.

    Args:
        rows: (centre x, y, z; radii a, b, c; orientation quaternion w, x, y, z) each, mm.
        softness_mm: rounding of the union.
    """

    def __init__(self, rows: Sequence[Sequence[float]], softness_mm: float, device: torch.device | str) -> None:
        table = np.asarray(rows, dtype=float)
        inverse_radii = 1 / table[:, 3:6]
        axes = _rotations(table[:, 6:10]) * inverse_radii[:, :, None]  # rows: scaled principal axes
        offset = -(axes @ table[:, :3, None])
        self._axes = _tensor(axes.reshape(-1, 3), device)
        self._offset = _tensor(offset.reshape(-1, 1), device)
        self._inverse_radii = _tensor(inverse_radii[:, :, None], device)
        self._softness_mm = softness_mm

    def __call__(self, points: Tensor) -> Tensor:
        u = torch.addmm(self._offset, self._axes, points).view(-1, 3, points.shape[1])
        squared = u * u
        value = (squared[:, 0] + squared[:, 1] + squared[:, 2]).add_(1e-6).sqrt_()
        squared *= self._inverse_radii * self._inverse_radii
        slope = (squared[:, 0] + squared[:, 1] + squared[:, 2]).add_(1e-8).sqrt_()
        distance = value.mul(value - 1).div_(slope)
        return -self._softness_mm * torch.logsumexp(distance.div_(-self._softness_mm), dim=0)


class Polynomial:
    """Polynomial in x, y, z of a total degree, lengths in ``unit_mm`` from ``origin``, by Horner's rule."""

    def __init__(self, coefficients: Sequence[float], origin: Sequence[float], unit_mm: float) -> None:
        self._degree = next(n for n in range(9) if (n + 1) * (n + 2) * (n + 3) // 6 == len(coefficients))
        self._coefficients = tuple(coefficients)
        self._origin = tuple(origin)
        self._unit_mm = unit_mm

    def __call__(self, points: Tensor) -> Tensor:
        x, y, z = ((points[c] - self._origin[c]) / self._unit_mm for c in range(3))
        values = iter(self._coefficients)
        n = self._degree
        nested = [[[next(values) for _ in range(n + 1 - i - j)] for j in range(n + 1 - i)] for i in range(n + 1)]
        total = torch.zeros_like(x)
        for in_yz in reversed(nested):
            inner = torch.zeros_like(x)
            for in_z in reversed(in_yz):
                innermost = torch.full_like(x, in_z[-1])
                for value in reversed(in_z[:-1]):
                    innermost = innermost.mul_(z).add_(value)
                inner = inner.mul_(y).add_(innermost)
            total = total.mul_(x).add_(inner)
        return total


class TubeBundle:
    """Structures that run along z with elliptic sections, evaluated together from tables along z.

    Args:
        courses: rows of (z, x, y, half width in x, half width in y) each, mm, z descending.
        girth: factor on every half width.
        taper_mm: length over which the ends are rounded off.
    """

    _STEP_MM = 0.1
    _LOW_MM, _HIGH_MM = -140.0, 160.0

    def __init__(
        self,
        courses: Sequence[Sequence[Sequence[float]]],
        device: torch.device | str,
        girth: float = 1.0,
        taper_mm: float = 0.1,
    ) -> None:
        self._taper_mm = taper_mm
        z = np.arange(self._LOW_MM, self._HIGH_MM, self._STEP_MM)
        rows = np.stack([self._profile(course, z) for course in courses])  # course, (x, y, rx, ry, end), z
        rows[:, 2:4] *= girth
        self._table = _tensor(rows.reshape(-1, len(z)), device)
        self._count = len(courses)

    def _profile(self, course: Sequence[Sequence[float]], z: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        knots = np.asarray(course)[::-1]
        kernel = np.exp(-0.5 * (np.arange(-_REACH, _REACH + 1) * self._STEP_MM / _SMOOTHING_MM) ** 2)
        kernel /= kernel.sum()
        rows = []
        for column in range(1, 5):
            values = np.interp(z, knots[:, 0], knots[:, column])
            rows.append(np.convolve(np.pad(values, _REACH, mode="edge"), kernel, mode="valid"))
        middle, half = (knots[0, 0] + knots[-1, 0]) / 2, (knots[-1, 0] - knots[0, 0]) / 2
        end = np.abs(z - middle) - half
        taper = np.sqrt(np.clip(1 - np.clip(1 + end / self._taper_mm, 0, 1) ** 2, 0.0025, 1))
        rows[2], rows[3] = rows[2] * taper, rows[3] * taper
        rows.append(end)
        return np.stack(rows)

    def __call__(self, points: Tensor) -> Tensor:
        """Distances (number of courses, M)."""
        index = ((points[2] - self._LOW_MM) / self._STEP_MM).round_().clamp_(0, self._table.shape[1] - 1).long()
        x, y, rx, ry, end = self._table[:, index].view(self._count, 5, -1).unbind(1)
        u = (points[0] - x) / rx
        v = (points[1] - y) / ry
        value = (u * u + v * v).add_(1e-6).sqrt_()
        slope = ((u / rx).square_() + (v / ry).square_()).add_(1e-8).sqrt_()
        distance = value.mul(value - 1).div_(slope)
        beyond = (distance.clamp(min=0).square_() + end.clamp(min=0).square_()).sqrt_()  # round caps
        return torch.where(end > 0, beyond, distance)


def _rotations(quaternions: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    w, x, y, z = (quaternions / np.linalg.norm(quaternions, axis=1, keepdims=True)).T
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.moveaxis(np.asarray(rows), -1, 0)


def _tensor(values: npt.ArrayLike, device: torch.device | str) -> Tensor:
    return torch.as_tensor(np.asarray(values, dtype=np.float32), device=device)
