"""What is said at the crosshair equals the map and its determinant, interpolated by SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from JointRegistrationLib.core.geometry import transform_points
from JointRegistrationMRML.inspection.read_out import ReadOut, readOut, readOutText
from JointRegistrationMRML.run.register import registerVolumes
from JointRegistrationMRML.run.registration_nodes import OutputOptions
from Testing.Support.known_scene import FIXED_GRID, pointsInside


def _interpolated(array, ras):
    index = transform_points(FIXED_GRID.ras_to_ijk, np.asarray(ras))[::-1]
    return ndimage.map_coordinates(array.astype(float), index[:, None], order=1)[0]


@pytest.mark.parametrize("transform", [True, False], ids=["by the node", "by the result"])
def test_points_displacement_and_determinant_are_those_of_the_map(knee, rng, transform):
    options = OutputOptions(transform=transform)
    outputs = registerVolumes(knee.scene, knee.nodes, runner=knee.run, options=options)
    result = knee.result
    for ras in pointsInside(FIXED_GRID, rng, count=20, margin=0.01):
        reading = readOut(ras, outputs)
        expected = [_interpolated(result.displacement_field_mm[..., axis], ras) for axis in range(3)]
        np.testing.assert_allclose(reading.displacement_ras, expected, atol=1e-4)
        np.testing.assert_allclose(reading.fixed_ras, ras)
        np.testing.assert_allclose(np.subtract(reading.moving_ras, ras), expected, atol=1e-4)
        assert reading.jacobian == pytest.approx(_interpolated(result.jacobian_determinant, ras), abs=1e-4)


def test_a_fold_is_read_as_one(knee):
    outputs = registerVolumes(knee.scene, knee.nodes, runner=knee.run)
    reading = readOut(transform_points(FIXED_GRID.ijk_to_ras, np.array([7.5, 6.5, 5.5])), outputs)
    assert reading.jacobian == pytest.approx(-0.5)
    assert "folds here" in readOutText(reading)


def test_the_corner_voxels_can_be_read_and_what_is_beyond_cannot(knee):
    outputs = registerVolumes(knee.scene, knee.nodes, runner=knee.run)
    for corner in FIXED_GRID.corners_ras:
        assert readOut(corner, outputs) is not None
        assert readOut(corner + 0.1 * (corner - FIXED_GRID.center_ras), outputs) is None
    assert readOutText(None) == "outside the fixed image"


@pytest.mark.parametrize(
    ("jacobian", "words"),
    [(1.25, "25% larger in the moving image"), (0.8, "20% smaller in the moving image"), (1.001, "same size")],
)
def test_the_text_says_sides_lengths_and_direction(jacobian, words):
    text = readOutText(ReadOut((12.0, -3.1, 40.2), (15.0, -3.1, 36.2), (3.0, 0.0, -4.0), jacobian))
    assert "fixed R 12.0 P 3.1 S 40.2 mm" in text
    assert "moving R 15.0 P 3.1 S 36.2 mm" in text
    assert "moved 5.0 mm (R +3.0 A +0.0 S -4.0)" in text
    assert words in text
