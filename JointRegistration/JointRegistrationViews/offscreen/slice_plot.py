"""The same pictures as :mod:`.slice_view` on a machine without OpenGL, drawn by matplotlib.

The image layer still comes from Slicer's slice logic, which needs no OpenGL; outlines of segments and
the transform grid, which Slicer draws with OpenGL, are drawn here from the same nodes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import vtk
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from vtk.util.numpy_support import vtk_to_numpy

from JointRegistrationLib.core.geometry import transform_points
from JointRegistrationMRML.nodes.arrays import numpyMatrix
from JointRegistrationMRML.nodes.world import transformPoints

from .slice_plane import IN_PLANE, SlicePlane, rasBounds

_DPI = 100
_GRID_COLOR = (0.5, 0.83, 0.31)
_SHADES = 64


class SlicePlotRenderer:
    """Stands in for :class:`.slice_view.SliceViewRenderer`; same methods, same arguments."""

    description = "matplotlib (this machine has no OpenGL for Slicer's own slice views)"

    def __init__(self, scene: Any, appLogic: Any) -> None:
        self._plane = SlicePlane(scene, appLogic)

    def __enter__(self) -> SlicePlotRenderer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def render(
        self,
        orientation: str,
        offsetRas: float,
        background: Any,
        *,
        foreground: Any = None,
        foregroundOpacity: float = 0.5,
        label: Any = None,
        overlays: Sequence[Any] = (),
        fitTo: Any = None,
        longSidePx: int = 600,
        annotated: bool = True,
    ) -> np.ndarray:
        """See :meth:`.slice_view.SliceViewRenderer.render`."""
        size = self._plane.place(orientation, offsetRas, rasBounds(fitTo or background), longSidePx)
        self._plane.setLayers(background, foreground, foregroundOpacity, label)
        figure = Figure(figsize=(size[0] / _DPI, size[1] / _DPI), dpi=_DPI, facecolor="black")
        canvas = FigureCanvasAgg(figure)
        axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
        axes.imshow(self._sliceImage(size), origin="lower", extent=(0, size[0], 0, size[1]), interpolation="nearest")
        axes.axis("off")
        for node in overlays:
            if node.IsA("vtkMRMLSegmentationNode"):
                self._drawOutlines(axes, node, size)
            elif node.IsA("vtkMRMLTransformNode"):
                self._drawGrid(axes, node, size)
        axes.set(xlim=(0, size[0]), ylim=(0, size[1]))
        if annotated:
            _drawLetters(axes, IN_PLANE[orientation][2], size)
        canvas.draw()
        return np.asarray(canvas.buffer_rgba())[:, :, :3].copy()

    def close(self) -> None:
        """Remove the view nodes."""
        if self._plane is not None:
            self._plane.close()
            self._plane = None

    def _sliceImage(self, size: tuple[int, int]) -> np.ndarray:
        producer = self._plane.imageConnection()
        producer.GetProducer().Update()
        image = producer.GetProducer().GetOutputDataObject(producer.GetIndex())
        rgba = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(size[1], size[0], -1)
        return rgba[:, :, :3]

    def _pixelsRas(self, size: tuple[int, int], stepPx: int = 1) -> np.ndarray:
        x, y = np.meshgrid(np.arange(0, size[0], stepPx), np.arange(0, size[1], stepPx))
        xy = np.stack([x, y, np.zeros_like(x)], axis=-1).astype(float)
        return transform_points(numpyMatrix(self._plane.node.GetXYToRAS()), xy)

    def _drawOutlines(self, axes: Any, node: Any, size: tuple[int, int]) -> None:
        points = self._pixelsRas(size)
        display = node.GetDisplayNode()
        segmentation = node.GetSegmentation()
        for n in range(segmentation.GetNumberOfSegments()):
            segmentID = segmentation.GetNthSegmentID(n)
            if display is not None and not display.GetSegmentVisibility(segmentID):
                continue
            segment = segmentation.GetSegment(segmentID)
            mask = _segmentMask(node, segmentID, segment.GetLabelValue(), points)
            if mask.any():
                axes.contour(mask.astype(float), levels=[0.5], colors=[segment.GetColor()], linewidths=1.5)

    def _drawGrid(self, axes: Any, node: Any, size: tuple[int, int]) -> None:
        """A regular lattice of the plane, carried by the node's transform to its parent, seen in the plane."""
        display = node.GetDisplayNode()
        spacingMm = display.GetGridSpacingMm() if display is not None else 4.0
        mmPerPx = self._plane.node.GetFieldOfView()[0] / size[0]
        stepPx = max(1, round(1.0 / mmPerPx))
        every = max(1, round(spacingMm / (stepPx * mmPerPx)))
        points = self._pixelsRas(size, stepPx)
        moved = transformPoints(node.GetTransformToParent(), points.reshape(-1, 3)).reshape(points.shape)
        xy = transform_points(np.linalg.inv(numpyMatrix(self._plane.node.GetXYToRAS())), moved)
        colors = _lengthColors(display, np.linalg.norm(moved - points, axis=-1))
        for ends, shades in ((xy, colors), (xy.transpose(1, 0, 2), colors.transpose(1, 0, 2))):
            pieces = np.stack([ends[::every, :-1], ends[::every, 1:]], axis=2).reshape(-1, 2, 3)[..., :2]
            axes.add_collection(LineCollection(pieces, colors=shades[::every, :-1].reshape(-1, 3), linewidths=0.8))


def _lengthColors(display: Any, lengthsMm: np.ndarray) -> np.ndarray:
    """(h, w, 3) RGB of displacements (h, w), by the display node's scale."""
    colors = None if display is None else display.GetColorNode()
    if colors is None or not colors.IsA("vtkMRMLProceduralColorNode"):
        return np.broadcast_to(_GRID_COLOR, (*lengthsMm.shape, 3))
    scale = colors.GetColorTransferFunction()
    ticks = np.linspace(*scale.GetRange(), _SHADES)
    channels = (scale.GetRedValue, scale.GetGreenValue, scale.GetBlueValue)
    tables = ([value(tick) for tick in ticks] for value in channels)
    return np.stack([np.interp(lengthsMm, ticks, table) for table in tables], axis=-1)


def _segmentMask(node: Any, segmentID: str, labelValue: int, points: np.ndarray) -> np.ndarray:
    """Which of the points (h, w, 3), RAS mm, lie in a segment's binary label map."""
    labels = node.GetBinaryLabelmapInternalRepresentation(segmentID)
    outside = np.zeros(points.shape[:2], dtype=bool)
    if labels is None or labels.GetPointData().GetScalars() is None:
        return outside
    matrix = vtk.vtkMatrix4x4()
    labels.GetWorldToImageMatrix(matrix)
    extent = np.asarray(labels.GetExtent()).reshape(3, 2)
    ijk = np.rint(transform_points(numpyMatrix(matrix), points)).astype(int) - extent[:, 0]
    sizes = extent[:, 1] - extent[:, 0] + 1
    inside = np.all((ijk >= 0) & (ijk < sizes), axis=-1)
    array = vtk_to_numpy(labels.GetPointData().GetScalars()).reshape(sizes[::-1])
    i, j, k = np.where(inside[..., None], ijk, 0).transpose(2, 0, 1)
    return inside & (array[k, j, i] == labelValue)


def _drawLetters(axes: Any, letters: str, size: tuple[int, int]) -> None:
    margin = max(size) / 32
    places = ((margin, size[1] / 2), (size[0] - margin, size[1] / 2), (size[0] / 2, size[1] - margin))
    for letter, place in zip(letters, places, strict=True):
        axes.text(*place, letter, color="white", ha="center", va="center", weight="bold", fontsize=11)
