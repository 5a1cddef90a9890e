"""Thin sheets survive being carried: there and back through a rotation, volume and topology."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from JointRegistrationLib.core.lattices.sampling import LabelMap
from Testing.Support.at_once import warpLabels
from Testing.Support.grids import rotation
from Testing.Support.known_scene import centeredGrid, latticePoints

GRIDS = {
    "isotropic": centeredGrid((72, 72, 72), (0.7, 0.7, 0.7), np.eye(3)),
    "knee": centeredGrid((110, 110, 56), (0.365, 0.365, 0.7), rotation((1, 2, 3), 25) @ np.diag([1.0, 1, -1])),
}


def eulerNumber(mask: np.ndarray) -> int:
    """Corners - edges + faces - cells of the voxels as closed cubes: components - tunnels + cavities."""
    padded = np.pad(mask.astype(np.uint8), 1)
    total = 0
    for corner in range(8):
        axes = [axis for axis in range(3) if corner >> axis & 1]
        there = padded
        for axis in axes:
            first, second = np.split(there, [1], axis)[1], np.split(there, [-1], axis)[0]
            there = np.maximum(first, second)
        total += (-1) ** (3 - len(axes)) * int(there.sum())
    return total


def components(mask: np.ndarray) -> int:
    return int(ndimage.label(mask, np.ones((3, 3, 3)))[1])


def sheet(points: np.ndarray, kind: str, thicknessMm: float) -> np.ndarray:
    """A sheet around the origin, 28 mm wide and bent like a condyle (radius 25 mm); a ring has a hole."""
    middle = np.array([25.0, 0, 0])
    bent = (points + middle)[..., : 2 if kind == "cylinder" else 3]
    width = np.linalg.norm(points, axis=-1)
    inside = (np.abs(np.linalg.norm(bent, axis=-1) - 25) < thicknessMm / 2) & (width < 14)
    return inside & (width > 2.5) if kind == "ring" else inside


def test_euler_number_of_a_ball_a_ring_and_a_shell():
    distance = np.linalg.norm(np.indices((15, 15, 15)) - 7.0, axis=0)
    ball = distance < 6
    assert eulerNumber(ball) == 1
    hole = np.linalg.norm(np.indices((15, 15)) - 7.0, axis=0) < 2
    assert eulerNumber(ball & ~hole[None]) == 0
    assert eulerNumber(ball & (distance > 3)) == 2


@pytest.mark.parametrize(
    ("kind", "axis", "degrees"), [("sphere", (0, 1, 0.3), 7), ("cylinder", (1, 2, 3), 10), ("ring", (1, 2, 3), 10)]
)
@pytest.mark.parametrize(("name", "thicknessMm"), [("isotropic", 1.4), ("knee", 0.73)])
def test_a_sheet_two_voxels_thick_keeps_its_volume_and_its_topology(name, thicknessMm, kind, axis, degrees):
    grid = GRIDS[name]
    points = latticePoints(grid) - grid.center_ras
    # In the knee's grid the sheet lies across i: there two voxels are thinner than one along k.
    mask = sheet(points @ np.asarray(grid.direction_ras), kind, thicknessMm)
    turn = rotation(axis, degrees)
    there, back = ((points @ rotation - points).astype(np.float32) for rotation in (turn.T, turn))
    turned = warpLabels(LabelMap(mask.astype(np.uint8), grid), grid, there)
    returned = warpLabels(LabelMap(turned, grid), grid, back)
    assert np.count_nonzero(turned) > 0
    assert np.count_nonzero(returned) == pytest.approx(np.count_nonzero(mask), rel=0.03)
    expected = (1, 0 if kind == "ring" else 1)
    assert [(components(labels), eulerNumber(labels)) for labels in (mask, turned, returned)] == [expected] * 3
