"""The report's pictures beside what Slicer's own slice views draw of the same nodes, off-screen."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy import ndimage

from JointRegistrationLib.core.geometry import transform_points
from JointRegistrationMRML.measure.images import brightnessRange
from JointRegistrationMRML.nodes.colors import FIXED_COLOR, sharedDivergingColors
from JointRegistrationMRML.nodes.jacobian import showJacobian
from JointRegistrationMRML.nodes.volumes import imageFromVolume
from JointRegistrationMRML.report.pictures import LONG_SIDE_PX, reportPictures
from JointRegistrationMRML.report.slices import Plane, planesThrough
from JointRegistrationMRML.run.registration_nodes import RegistrationOutputs
from Testing.Support.at_once import jacobianVolume
from Testing.Support.known_scene import addVolume, latticePoints
from Testing.Support.measured_run import GRID, linearResult, masks, outputsOf
from Testing.Support.slice_plane import ORIENTATIONS, rasBounds
from Testing.Support.slice_view import SliceViewRenderer, canRender

pytestmark = pytest.mark.skipif(not canRender(), reason="no OpenGL off-screen")


@pytest.fixture
def outputs(headless) -> RegistrationOutputs:
    """A fixed image with structure, segments, and a volume change that varies."""
    r, a, s = np.moveaxis((latticePoints(GRID) - GRID.center_ras) / 5.0, -1, 0)
    determinant = (1.0 + 0.4 * np.sin(r + a)).astype(np.float32)
    result = dataclasses.replace(linearResult(np.eye(3)), jacobian_determinant=determinant)
    found = outputsOf(headless.scene, result, masks(), masks((3.0, -1.0, 2.0)))
    image = (100 * (2 + np.sin(a) + np.cos(s - r))).astype(np.float32)
    fixed = addVolume(headless.scene, image, GRID, "fixed knee")
    return dataclasses.replace(found, inputs=dataclasses.replace(found.inputs, fixed=fixed))


def atPoints(picture: np.ndarray, bounds: np.ndarray, plane: Plane) -> np.ndarray:
    """What a slice view that shows ``bounds`` (3, 2) has at the points of a plane, (h, w, 3)."""
    across, down = plane.axes
    columns, rows = (
        ((bounds[axis, 1] - plane.points_ras[..., axis]) / np.ptp(bounds[axis]) * size).astype(int)
        for axis, size in ((across, picture.shape[1]), (down, picture.shape[0]))
    )
    return picture[rows.clip(0, picture.shape[0] - 1), columns.clip(0, picture.shape[1] - 1)]


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_slicers_slice_views_show_the_same(headless, outputs, orientation):
    scene, inputs = headless.scene, outputs.inputs
    drawn = reportPictures(outputs)
    rows, offset = {row.key: row.pictures[orientation] for row in drawn.rows}, drawn.positionsMm[orientation]
    low, high = brightnessRange(imageFromVolume(inputs.fixed))
    inputs.fixed.GetDisplayNode().AutoWindowLevelOff()
    inputs.fixed.GetDisplayNode().SetWindowLevelMinMax(low, high)
    determinant = outputs.result.jacobian_determinant
    log2 = scene.AddNode(jacobianVolume(determinant, GRID, "log2 J"))
    log2.CreateDefaultDisplayNodes()
    showJacobian(log2, sharedDivergingColors(scene), np.log2(determinant))
    segmentation = inputs.fixedSegmentation
    segmentation.GetDisplayNode().SetVisibility2DFill(False)
    segmentation.GetDisplayNode().SetSegmentVisibility(segmentation.GetSegmentation().GetNthSegmentID(0), False)  # bone
    segmentation.GetSegmentation().GetNthSegment(1).SetColor(FIXED_COLOR)
    with SliceViewRenderer(scene, headless.applicationLogic) as renderer:

        def view(**layers):
            return renderer.render(
                orientation, offset, inputs.fixed, longSidePx=LONG_SIDE_PX, annotated=False, **layers
            )

        shown = {
            "fixed": view(),
            "jacobian": view(foreground=log2, foregroundOpacity=0.5),
            "outlines_before": view(overlays=[segmentation]),
        }
    planes = planesThrough(GRID, dict.fromkeys(range(3), offset), LONG_SIDE_PX)
    (plane,) = (plane for plane in planes if plane.orientation == orientation)
    height, width = plane.points_ras.shape[:2]
    index = transform_points(GRID.ras_to_ijk, plane.points_ras)
    inside = ((index > 1) & (index < np.asarray(GRID.size_ijk) - 2)).all(axis=-1)
    inside[: height // 8] = inside[-height // 8 :] = inside[:, : width // 8] = inside[:, -width // 8 :] = False  # marks
    theirs = {key: atPoints(picture, rasBounds(inputs.fixed), plane).astype(float) for key, picture in shown.items()}
    for key in ("fixed", "jacobian"):
        assert theirs[key][inside].std() > 15, "there is something to compare"
        assert np.abs(rows[key] - theirs[key])[inside].mean() < 2, key
    lines = [
        (found["outlines_before"][..., 0] - 1.0 * found["outlines_before"][..., 2] > 120) & inside
        for found in (rows, theirs)
    ]
    for line, other in (lines, lines[::-1]):
        assert line.sum() > 100
        awayMm = ndimage.distance_transform_edt(~other)[line] * plane.pixelMm
        assert np.percentile(awayMm, 95) < max(GRID.spacing_mm) / 2, "Slicer's follow the voxels' corners"
