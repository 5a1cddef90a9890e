"""Slicer's own slice views, off-screen: they show the extension's nodes at the right pixel, in the right colour."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from JointRegistrationLib.core.geometry import Grid
from JointRegistrationLib.core.image import Image
from JointRegistrationMRML.nodes.colors import addLegend, divergingColors
from JointRegistrationMRML.nodes.jacobian import showJacobian
from JointRegistrationMRML.nodes.volumes import volumeFromImage
from JointRegistrationMRML.scene.headless import HeadlessScene, createHeadlessScene
from Testing.Support import slice_view
from Testing.Support.at_once import gridTransformNode, maskSegmentation
from Testing.Support.known_scene import latticePoints
from Testing.Support.slice_plane import NORMAL_AXIS, ORIENTATIONS
from Testing.Support.slice_view import SliceViewRenderer, canRender

# Sagittal like a knee DESS: i to posterior, j to inferior, k to the right; 60 x 76 x 40 mm.
KNEE_GRID = Grid((40, 38, 20), (1.5, 2.0, 2.0), (-20.0, 30.0, 40.0), ((0, 0, 1), (-1, 0, 0), (0, -1, 0)))
HAS_OPENGL = canRender()


@pytest.fixture
def hosted() -> HeadlessScene:
    return createHeadlessScene()


@pytest.fixture
def renderer(hosted: HeadlessScene) -> Iterator[Any]:
    if not HAS_OPENGL:
        pytest.skip("this machine has no OpenGL for off-screen rendering")
    with SliceViewRenderer(hosted.scene, hosted.applicationLogic) as made:
        yield made


def shown(hosted: HeadlessScene, node: Any) -> Any:
    hosted.scene.AddNode(node)
    node.CreateDefaultDisplayNodes()
    return node


def volume(hosted: HeadlessScene, array: np.ndarray, low: float, high: float) -> Any:
    node = shown(hosted, volumeFromImage(Image(array.astype(np.float32), KNEE_GRID), "volume"))
    node.GetDisplayNode().AutoWindowLevelOff()
    node.GetDisplayNode().SetWindowLevelMinMax(low, high)
    return node


def fieldOfView() -> np.ndarray:
    """(3, 2) RAS bounds, outer voxel faces included."""
    half = np.abs(np.asarray(KNEE_GRID.direction_ras) @ np.asarray(KNEE_GRID.spacing_mm)) / 2
    corners = KNEE_GRID.corners_ras
    return np.stack([corners.min(axis=0) - half, corners.max(axis=0) + half], axis=1)


def expectedPixel(orientation: str, pointRas: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Row and column, by radiological convention: superior (or anterior) up, right or anterior on the left."""
    across, up = {"Sagittal": (1, 2), "Coronal": (0, 2), "Axial": (0, 1)}[orientation]
    bounds = fieldOfView()
    row, column = (
        (bounds[axis, 1] - pointRas[axis]) / (bounds[axis, 1] - bounds[axis, 0]) * pixels
        for axis, pixels in ((up, shape[0]), (across, shape[1]))
    )
    return np.array([row, column])


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_a_bright_blob_is_at_its_pixel(hosted, renderer, orientation):
    center = np.array([7.0, -13.5, -10.0])
    distance = np.linalg.norm(latticePoints(KNEE_GRID) - center, axis=-1)
    node = volume(hosted, 100.0 * (distance < 5), 0, 100)
    picture = renderer.render(orientation, center[NORMAL_AXIS[orientation]], node, longSidePx=380, annotated=False)
    assert max(picture.shape[:2]) == 380
    bright = np.argwhere(picture[:, :, 0] > 128)
    np.testing.assert_allclose(bright.mean(axis=0) + 0.5, expectedPixel(orientation, center, picture.shape), atol=6)
    pixelsPerMm = 380 / (76 if orientation != "Axial" else 60)
    assert np.sqrt(len(bright) / np.pi) == pytest.approx(5 * pixelsPerMm, rel=0.25)


def test_a_slice_beside_the_blob_is_dark(hosted, renderer):
    distance = np.linalg.norm(latticePoints(KNEE_GRID) - [7.0, -13.5, -10.0], axis=-1)
    node = volume(hosted, 100.0 * (distance < 5), 0, 100)
    assert renderer.render("Sagittal", -15.0, node, longSidePx=200, annotated=False).max() < 10


def test_expansion_is_red_and_shrinkage_blue_on_their_sides(hosted, renderer):
    anatomy = volume(hosted, np.zeros(KNEE_GRID.shape), 0, 100)
    log2 = np.where(latticePoints(KNEE_GRID)[..., 0] > 0, 1.0, -1.0).astype(np.float32)
    jacobian = volume(hosted, log2, -1, 1)
    showJacobian(jacobian, hosted.scene.AddNode(divergingColors()), log2)
    picture = renderer.render("Coronal", 0.0, anatomy, foreground=jacobian, foregroundOpacity=0.6, annotated=False)
    red, blue = picture[:, :, 0].astype(int), picture[:, :, 2].astype(int)
    half = picture.shape[1] // 2
    assert np.median((red - blue)[:, : half - 30]) > 60  # the patient's right is on the left
    assert np.median((blue - red)[:, half + 30 :]) > 60


def test_no_change_of_volume_is_grey(hosted, renderer):
    anatomy = volume(hosted, np.zeros(KNEE_GRID.shape), 0, 100)
    jacobian = volume(hosted, np.zeros(KNEE_GRID.shape), -1, 1)
    showJacobian(jacobian, hosted.scene.AddNode(divergingColors()), np.zeros(3))
    picture = renderer.render("Axial", 0.0, anatomy, foreground=jacobian, annotated=False).astype(int)
    assert np.ptp(picture, axis=2).max() <= 8
    assert picture.mean() == pytest.approx(0.5 * 0.97 * 255, abs=10)


@pytest.mark.skipif(not HAS_OPENGL, reason="this machine has no OpenGL for off-screen rendering")
def test_the_colour_legend_shows_only_with_its_volume(hosted):
    anatomy = volume(hosted, np.zeros(KNEE_GRID.shape), 0, 100)
    jacobian = volume(hosted, np.full(KNEE_GRID.shape, -0.5), -1, 1)
    showJacobian(jacobian, hosted.scene.AddNode(divergingColors()), np.array([-1.0, 1.0]))
    addLegend(jacobian)
    with SliceViewRenderer(hosted.scene, hosted.applicationLogic) as renderer:
        with_legend = renderer.render("Sagittal", 0.0, anatomy, foreground=jacobian, annotated=False).astype(int)
        without = renderer.render("Sagittal", 0.0, anatomy, annotated=False)
    assert (with_legend[:, :, 0] - with_legend[:, :, 2]).max() > 80  # the table's red end, which no voxel has
    assert without.max() == 0


def test_a_segment_is_outlined_in_its_colour_where_it_is(hosted, renderer):
    anatomy = volume(hosted, np.zeros(KNEE_GRID.shape), 0, 100)
    center = np.array([0.0, 6.0, 4.0])
    mask = np.linalg.norm(latticePoints(KNEE_GRID) - center, axis=-1) < 12
    segmentation = shown(hosted, maskSegmentation(mask, KNEE_GRID, "ball", (0.0, 1.0, 0.0)))
    segmentation.GetDisplayNode().SetVisibility2DFill(False)
    picture = renderer.render("Sagittal", 0.0, anatomy, overlays=[segmentation], longSidePx=380, annotated=False)
    line = np.argwhere((picture[:, :, 1] > 120) & (picture[:, :, 0] < 60))
    np.testing.assert_allclose(line.mean(axis=0), expectedPixel("Sagittal", center, picture.shape), atol=8)
    radius = np.linalg.norm(line - line.mean(axis=0), axis=1) * 76 / 380
    assert radius.min() > 9  # a line, not an area
    assert radius.max() < 14


def test_what_is_not_asked_for_is_hidden_and_comes_back(hosted, renderer):
    anatomy = volume(hosted, np.zeros(KNEE_GRID.shape), 0, 100)
    segmentation = shown(hosted, maskSegmentation(np.ones(KNEE_GRID.shape, bool), KNEE_GRID, "all", (1.0, 0.0, 0.0)))
    assert renderer.render("Axial", 0.0, anatomy, annotated=False).max() == 0
    assert segmentation.GetDisplayNode().GetVisibility() == 1
    assert segmentation.GetDisplayNode().GetVisibility2D() == 1


def gridLines(renderer: Any, hosted: HeadlessScene, anatomy: Any, shiftRas: tuple[float, float, float]) -> np.ndarray:
    """Brightness summed along columns of a sagittal view of a translation's 10 mm grid."""
    field = np.broadcast_to(np.asarray(shiftRas, np.float32), (*KNEE_GRID.shape, 3)).copy()
    node = hosted.scene.AddNode(gridTransformNode(field, KNEE_GRID, "shift"))
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetVisualizationMode(display.VIS_MODE_GRID)
    display.SetGridScalePercent(100)
    display.SetGridSpacingMm(10.0)
    display.SetGridResolutionMm(2.5)
    picture = renderer.render("Sagittal", 0.0, anatomy, overlays=[node], longSidePx=380, annotated=False)
    return picture.max(axis=2)[150:230].astype(float).sum(axis=0)


def test_the_grid_of_a_translation_is_shifted_against_it(hosted, renderer):
    """From-parent +4 mm to anterior: moving tissue comes 4 mm to posterior, which is to the right."""
    anatomy = volume(hosted, np.zeros(KNEE_GRID.shape), 0, 100)
    still = gridLines(renderer, hosted, anatomy, (0, 0, 0))
    moved = gridLines(renderer, hosted, anatomy, (0, 4.0, 0))
    assert still.max() > 3 * np.median(still)  # there are lines at all
    pixelsPerMm = 380 / 76
    inner = slice(60, 240)
    scores = [np.dot(still[inner], np.roll(moved, -shift)[inner]) for shift in range(round(10 * pixelsPerMm))]
    assert int(np.argmax(scores)) == pytest.approx(4 * pixelsPerMm, abs=2)


def test_a_picture_is_fitted_to_the_volume_named(hosted, renderer):
    wide = volume(hosted, np.full(KNEE_GRID.shape, 100.0), 0, 100)
    small = Grid((10, 10, 10), (1.0, 1.0, 1.0), (-5.0, -5.0, -5.0))
    part = shown(hosted, volumeFromImage(Image(np.zeros(small.shape, np.float32), small), "part"))
    picture = renderer.render("Axial", 0.0, wide, fitTo=part, longSidePx=120, annotated=False)
    assert picture.shape == (120, 120, 3)
    assert picture.min() > 240


@pytest.mark.skipif(not HAS_OPENGL, reason="this machine has no OpenGL for off-screen rendering")
def test_closing_leaves_the_scene_as_it_was(hosted):
    anatomy = volume(hosted, np.zeros(KNEE_GRID.shape), 0, 100)
    before = {hosted.scene.GetNthNode(n).GetID() for n in range(hosted.scene.GetNumberOfNodes())}
    with SliceViewRenderer(hosted.scene, hosted.applicationLogic) as renderer:
        renderer.render("Axial", 0.0, anatomy, longSidePx=60)
    assert {hosted.scene.GetNthNode(n).GetID() for n in range(hosted.scene.GetNumberOfNodes())} == before


def test_a_renderer_that_crashes_its_process_counts_as_no_opengl(monkeypatch):
    monkeypatch.setattr(slice_view, "_PROBE", "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    assert not canRender()


def test_nothing_of_the_current_folder_is_run_to_see_whether_slices_can_be_drawn(tmp_path, monkeypatch):
    (tmp_path / "vtk.py").write_text(f"import pathlib; pathlib.Path({str(tmp_path)!r}, 'ran').touch()")
    monkeypatch.chdir(tmp_path)
    assert canRender() == HAS_OPENGL
    assert not (tmp_path / "ran").exists()
