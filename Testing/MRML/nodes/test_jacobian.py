"""The Jacobian's colours, window and floor."""

from __future__ import annotations

import numpy as np
import pytest

from JointRegistrationLib.core.geometry import transform_points
from JointRegistrationLib.core.result import LOG2_JACOBIAN_FLOOR
from JointRegistrationMRML.nodes.colors import divergingColors, sharedDivergingColors
from JointRegistrationMRML.nodes.jacobian import halfWindow
from JointRegistrationMRML.nodes.segments.segmentations import labelsFromSegmentation
from JointRegistrationMRML.nodes.volumes import imageFromVolume
from Testing.Support.at_once import foldsSegmentation, jacobianVolume
from Testing.Support.known_scene import latticePoints


def test_volume_of_an_affine_map_is_the_log2_of_its_determinant(grid):
    torch = pytest.importorskip("torch")
    from JointRegistrationLib.ops import maps

    matrix = np.array([[1.2, 0.1, 0, 5], [0, 0.9, 0.2, -3], [0.05, 0, 1.1, 2], [0, 0, 0, 1.0]])
    there = transform_points(matrix, latticePoints(grid))
    determinant = maps.jacobian_determinant(torch.as_tensor(there).movedim(-1, 0)[None], grid)[0, 0].numpy()
    image = imageFromVolume(jacobianVolume(determinant, grid, "jacobian"))
    np.testing.assert_allclose(image.array, np.log2(np.linalg.det(matrix)), atol=1e-5)
    assert image.grid.is_close(grid)


def test_folds_are_zero_or_less_and_lie_on_the_fixed_grid(scene, grid, rng):
    determinant = rng.uniform(-0.2, 2, size=grid.shape).astype(np.float32)
    determinant[3, 4, 5] = 0.0
    node = scene.AddNode(foldsSegmentation(determinant, grid, "run (folds)"))
    np.testing.assert_array_equal(labelsFromSegmentation(node, grid).layers[0].labels > 0, determinant <= 0)
    assert node.GetSegmentation().GetNthSegment(0).GetName() == "Folds"


def test_window_is_symmetric_ignores_folds_and_stays_within_bounds():
    values = np.linspace(-1, 1, 1001, dtype=np.float32)
    assert halfWindow(values) == 1.0
    assert halfWindow(np.append(values * 0.5, [LOG2_JACOBIAN_FLOOR] * 500)) == 0.6
    assert halfWindow(values / 1000) == 0.2
    assert halfWindow(values * 8) == 3.0
    assert halfWindow(np.full(8, LOG2_JACOBIAN_FLOOR)) == 3.0


def test_colours_go_from_blue_over_white_to_red_and_differ_in_lightness_alike():
    table = divergingColors()
    rgba = [0.0] * 4
    colours = []
    for index in range(table.GetNumberOfColors()):
        table.GetColor(index, rgba)
        colours.append(rgba[:3])
    luma = np.asarray(colours) @ (0.2126, 0.7152, 0.0722)
    assert np.all(np.diff(luma[:128]) > 0) and np.all(np.diff(luma[128:]) < 0)
    assert luma[127:129].min() > 0.93
    leftOut, above = colours[0], colours[-1]
    assert leftOut[2] > leftOut[0] + 0.4, "smaller is blue"
    assert above[0] > above[2] + 0.4, "larger is red"


def test_one_colour_table_serves_a_scene_and_is_kept_in_a_file_every_slicer_reads(scene):
    table = sharedDivergingColors(scene)
    assert sharedDivergingColors(scene) is table
    assert table.GetStorageNode().GetDefaultWriteFileExtension() == "ctbl"
    assert table.GetSaveWithScene()
    assert not table.GetHideFromEditors()
