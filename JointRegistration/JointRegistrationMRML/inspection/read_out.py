"""What a registration says about one point: where it lies in both images, how far that is, and J."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from JointRegistrationLib.core.geometry import transform_points

from ..run.registration_nodes import RegistrationOutputs
from ..translation import _

Point = tuple[float, float, float]
_AXES = (("L", "R"), ("P", "A"), ("I", "S"))


@dataclass(frozen=True)
class ReadOut:
    """A fixed point and its moving point, world RAS mm; moving minus fixed, mm; and J there.

    ``jacobian`` is the determinant of the fixed-to-moving map: 2 where the moving anatomy is twice as
    large, <= 0 in a fold.
    """

    fixed_ras: Point
    moving_ras: Point
    displacement_ras: Point
    jacobian: float


def readOut(ras: Sequence[float], outputs: RegistrationOutputs) -> ReadOut | None:
    """Read the result at a point of the fixed image; None outside its voxels' centres.

    The point goes through the transform node's from-parent side; where the run made no such node, through
    the result's displacement field. Between voxels both field and determinant are interpolated linearly.

    Args:
        ras: world RAS mm.
        outputs: of one run.
    """
    result = outputs.result
    index = transform_points(result.fixed_grid.ras_to_ijk, np.asarray(ras, dtype=float))
    if not ((index >= -1e-6) & (index <= np.asarray(result.fixed_grid.size_ijk) - 1 + 1e-6)).all():
        return None
    fixed = np.asarray(ras, dtype=float)
    node = outputs.nodes.transform
    if node is not None:
        moving = np.asarray(node.GetTransformFromParent().TransformPoint(*fixed))
    else:
        moving = fixed + _linear(result.displacement_field_mm, index)
    jacobian = float(_linear(result.jacobian_determinant, index))
    return ReadOut(_point(fixed), _point(moving), _point(moving - fixed), jacobian)


def readOutText(reading: ReadOut | None) -> str:
    """One line for people, e.g. ``fixed R 12.0 A -3.1 S 40.2 mm ...``."""
    if reading is None:
        return _("outside the fixed image")
    length = float(np.linalg.norm(reading.displacement_ras))
    return _("fixed {fixed} mm   moving {moving} mm   moved {length} mm ({displacement})   {size}").format(
        fixed=_place(reading.fixed_ras),
        moving=_place(reading.moving_ras),
        length=f"{length:.1f}",
        displacement=_signed(reading.displacement_ras),
        size=_size(reading.jacobian),
    )


def _size(jacobian: float) -> str:
    if jacobian <= 0:
        text = _("J {jacobian}: the map folds here")
    elif abs(jacobian - 1) < 0.005:
        text = _("J {jacobian}: same size")
    elif jacobian > 1:
        text = _("J {jacobian}: {percent} larger in the moving image")
    else:
        text = _("J {jacobian}: {percent} smaller in the moving image")
    return text.format(jacobian=f"{jacobian:.2f}", percent=f"{abs(jacobian - 1):.0%}")


def _place(point: Point) -> str:
    """Letters of the side a coordinate lies on, as Slicer's Data Probe writes positions."""
    return " ".join(f"{axis[x >= 0]} {abs(x):.1f}" for axis, x in zip(_AXES, point, strict=True))


def _signed(vector: Point) -> str:
    return " ".join(f"{axis[1]} {x:+.1f}" for axis, x in zip(_AXES, vector, strict=True))


def _point(values: npt.NDArray[np.float64]) -> Point:
    return float(values[0]), float(values[1]), float(values[2])


def _linear(array: npt.NDArray[Any], index: npt.NDArray[np.float64]) -> Any:
    """``array`` (k, j, i, ...) at a fractional index (i, j, k) inside it."""
    last = np.asarray(array.shape[:3]) - 2
    at = index[::-1]
    first = np.clip(np.floor(at).astype(int), 0, last)
    cell = array[tuple(slice(n, n + 2) for n in first)].astype(np.float64)
    for part in at - first:
        cell = cell[0] * (1 - part) + cell[1] * part
    return cell
