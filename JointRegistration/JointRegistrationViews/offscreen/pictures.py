"""The pictures by which a registration is judged: slices of its nodes, three orientations a row."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from JointRegistrationLib.core.image import Image
from JointRegistrationLib.ops import maps
from JointRegistrationLib.ops.separable.resampling import to_tensor
from JointRegistrationMRML.inspection.deformation import SPACING_MM, inTurn
from JointRegistrationMRML.inspection.images import DIFFERENCE_LIMIT_PERCENT
from JointRegistrationMRML.measure.images import brightnessRange, checkerboard, differencePercent
from JointRegistrationMRML.nodes.arrays import newNode, vtkMatrix
from JointRegistrationMRML.nodes.colors import DIFFERENCE_COLORS, FIXED_COLOR, MAGNITUDE_COLORS, WARPED_COLOR, scaleNode
from JointRegistrationMRML.nodes.segments.segmentations import maskSegmentation
from JointRegistrationMRML.nodes.volumes import imageFromVolume, volumeFromImage
from JointRegistrationMRML.report.captions import rowOf
from JointRegistrationMRML.report.page import PictureRow
from JointRegistrationMRML.report.slices import mostTellingOffsets

from .slice_plane import NORMAL_AXIS, ORIENTATIONS

_SQUARE_MM = 18.0


@dataclass(frozen=True)
class ShownNodes:
    """The nodes of one registration that pictures are made of.

    Args:
        fixed, moving, warped, log2Jacobian: scalar volume nodes.
        movingToFixed: grid transform node, fixed-to-moving map on its from-parent side.
        folds: segmentation node.
        affineLeftOut: 4x4, fixed RAS points to moving ones, where the grid is drawn without the affine part.
        longestMm: of the grid's colours.
        gridRemark: what is to be said of the grid beside its caption.
    """

    fixed: Any
    moving: Any
    warped: Any
    log2Jacobian: Any
    movingToFixed: Any
    folds: Any
    affineLeftOut: Any = None
    longestMm: float = 10.0
    gridRemark: str = ""


@dataclass(frozen=True)
class OutlinedTissue:
    """Masks of the same tissue, (k, j, i) on the fixed lattice: fixed, and moving before and after.

    ``interest`` says what the slices should show, by the RAS axis they are stacked along.
    """

    name: str
    fixed: npt.NDArray[np.bool_]
    before: npt.NDArray[np.bool_]
    after: npt.NDArray[np.bool_]
    interest: Mapping[int, npt.NDArray[np.bool_]]


@dataclass
class PictureMaker:
    """Draws the rows of one registration.

    Args:
        scene: the MRML scene of the nodes; temporary nodes are added to it and removed again.
        renderer: a :class:`.slice_view.SliceViewRenderer` or :class:`.slice_plot.SlicePlotRenderer`.
        nodes: what to draw.
        tissue: what to outline and to choose slices by; None for slices through the centre.
        longSidePx: size of each picture.
    """

    scene: Any
    renderer: Any
    nodes: ShownNodes
    tissue: OutlinedTissue | None = None
    longSidePx: int = 560
    _offsets: dict[int, float] = field(init=False)

    def __post_init__(self) -> None:
        interest = {} if self.tissue is None else self.tissue.interest
        self._offsets = mostTellingOffsets(imageFromVolume(self.nodes.fixed).grid, interest)
        shareWindows(self.nodes)

    def rows(self, drawn: Callable[[str], None] | None = None) -> list[PictureRow]:
        """All rows; ``drawn`` is called with the title of each when it is done."""
        makers = [self._images, self._differences, self._checkerboards, self._deformation]
        if self.tissue is not None:
            makers.insert(1, self._outlines)
        rows = []
        for maker in makers:
            for row in maker():
                rows.append(row)
                if drawn is not None:
                    drawn(row.title)
        return rows

    def positionsMm(self) -> dict[str, float]:
        """Return where the slices lie along their normal, RAS mm."""
        return {orientation: self._offsets[NORMAL_AXIS[orientation]] for orientation in ORIENTATIONS}

    # -- the rows -----------------------------------------------------------------------------------

    def _images(self) -> Iterator[PictureRow]:
        for key, node in (("fixed", self.nodes.fixed), ("moving", self.nodes.moving), ("warped", self.nodes.warped)):
            yield self._row(key, node)

    def _outlines(self) -> Iterator[PictureRow]:
        tissue = self.tissue
        grid = imageFromVolume(self.nodes.fixed).grid
        with self._temporary(
            maskSegmentation(tissue.fixed, grid, "fixed outline", FIXED_COLOR),
            maskSegmentation(tissue.before, grid, "moving outline", WARPED_COLOR),
            maskSegmentation(tissue.after, grid, "warped outline", WARPED_COLOR),
        ) as (fixed, before, after):
            for node in (fixed, before, after):
                showAsOutline(node)
            for key, moved in (("outlines_before", before), ("outlines_after", after)):
                yield self._row(key, self.nodes.fixed, overlays=[fixed, moved])

    def _differences(self) -> Iterator[PictureRow]:
        fixed, before, after, movingRange = self._comparable()
        colors = _tableNode("difference", DIFFERENCE_COLORS)
        with self._temporary(
            colors,
            _volumeNode(differencePercent(fixed, before, movingRange)),
            _volumeNode(differencePercent(fixed, after, movingRange)),
        ) as (_, differenceBefore, differenceAfter):
            for key, node in (("difference_before", differenceBefore), ("difference_after", differenceAfter)):
                display = node.GetDisplayNode()
                display.SetAndObserveColorNodeID(colors.GetID())
                display.AutoWindowLevelOff()
                display.SetWindowLevel(2 * DIFFERENCE_LIMIT_PERCENT, 0.0)
                yield self._row(key, node)

    def _checkerboards(self) -> Iterator[PictureRow]:
        fixed, before, after, movingRange = self._comparable()
        with self._temporary(
            _volumeNode(checkerboard(fixed, before, movingRange, _SQUARE_MM)),
            _volumeNode(checkerboard(fixed, after, movingRange, _SQUARE_MM)),
        ) as (boardBefore, boardAfter):
            for key, node in (("checkerboard_before", boardBefore), ("checkerboard_after", boardAfter)):
                node.GetDisplayNode().AutoWindowLevelOff()
                node.GetDisplayNode().SetWindowLevel(1.0, 0.5)
                yield self._row(key, node)

    def _deformation(self) -> Iterator[PictureRow]:
        nodes = self.nodes
        with self._temporary(self._gridNode(), scaleNode("displacement", MAGNITUDE_COLORS, nodes.longestMm)) as drawn:
            grid, colors = drawn
            spacingMm = showAsGrid(grid, SPACING_MM["grid"])
            grid.GetDisplayNode().SetAndObserveColorNodeID(colors.GetID())
            yield self._row("grid", nodes.warped, spacingMm, nodes.gridRemark, overlays=[grid])
        showAsFill(nodes.folds)
        layers = {"foreground": nodes.log2Jacobian, "foregroundOpacity": 0.5, "overlays": [nodes.folds]}
        yield self._row("jacobian", nodes.fixed, **layers)

    def _gridNode(self) -> Any:
        """A transform node whose to-parent side is what the grid shows; the run's own stays as it is displayed."""
        node, affine = newNode("vtkMRMLTransformNode", "grid"), self.nodes.affineLeftOut
        toFixed = self.nodes.movingToFixed.GetTransformToParent()
        node.SetAndObserveTransformToParent(toFixed if affine is None else inTurn(vtkMatrix(affine), toFixed))
        return node

    # -- help ---------------------------------------------------------------------------------------

    def _row(self, key: str, background: Any, spacingMm: float = 0.0, remark: str = "", **layers: Any) -> PictureRow:
        pictures = {
            orientation: self.renderer.render(
                orientation,
                self._offsets[NORMAL_AXIS[orientation]],
                background,
                fitTo=self.nodes.fixed,
                longSidePx=self.longSidePx,
                **layers,
            )
            for orientation in ORIENTATIONS
        }
        tissue = "" if self.tissue is None else self.tissue.name.lower()
        return rowOf(key, pictures, tissue, spacingMm, remark)

    def _comparable(self) -> tuple[Image, Image, Image, tuple[float, float]]:
        """Fixed, moving as it lay, and warped, all on the fixed lattice; and the moving image's range."""
        fixed, moving, warped = (
            imageFromVolume(node) for node in (self.nodes.fixed, self.nodes.moving, self.nodes.warped)
        )
        return fixed, onGridOf(fixed, moving), warped, brightnessRange(moving)

    @contextmanager
    def _temporary(self, *nodes: Any) -> Iterator[tuple[Any, ...]]:
        """Nodes in the scene, with display nodes, for the length of the block."""
        for node in nodes:
            self.scene.AddNode(node)
            if node.IsA("vtkMRMLDisplayableNode"):
                node.CreateDefaultDisplayNodes()
        try:
            yield nodes
        finally:
            for node in reversed(nodes):
                if node.IsA("vtkMRMLDisplayableNode"):
                    for display in [node.GetNthDisplayNode(n) for n in range(node.GetNumberOfDisplayNodes())]:
                        self.scene.RemoveNode(display)
                self.scene.RemoveNode(node)


def shareWindows(nodes: ShownNodes) -> None:
    """Show each image from the 0.1 to the 99.9 percentile, as it is compared; warped like moving."""
    for source, shown in ((nodes.fixed, [nodes.fixed]), (nodes.moving, [nodes.moving, nodes.warped])):
        low, high = brightnessRange(imageFromVolume(source))
        for node in shown:
            display = node.GetDisplayNode()
            display.AutoWindowLevelOff()
            display.SetWindowLevel(high - low, (high + low) / 2)


def showAsOutline(node: Any) -> None:
    """Show a segmentation in slices by its outline only."""
    display = node.GetDisplayNode()
    display.SetVisibility2DFill(False)
    display.SetVisibility2DOutline(True)
    display.SetSliceIntersectionThickness(2)


def showAsFill(node: Any) -> None:
    """Show a segmentation in slices as opaque areas."""
    display = node.GetDisplayNode()
    display.SetVisibility2DFill(True)
    display.SetOpacity2DFill(1.0)
    display.SetVisibility2DOutline(True)


def showAsGrid(node: Any, spacingMm: float) -> float:
    """Let a transform node draw its warped grid in slices; returns the spacing, whole millimetres."""
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    rounded = max(1.0, float(round(spacingMm)))
    display.SetVisualizationMode(display.VIS_MODE_GRID)
    display.SetGridScalePercent(100)
    display.SetGridSpacingMm(rounded)
    display.SetGridResolutionMm(rounded / 4)
    return rounded


def _volumeNode(image: Image) -> Any:
    return volumeFromImage(image, image.name)


def _tableNode(name: str, colors: tuple[tuple[float, float, float], ...], count: int = 256) -> Any:
    node = newNode("vtkMRMLColorTableNode", name)
    node.SetTypeToUser()
    node.SetNumberOfColors(count)
    positions = np.linspace(0, 1, len(colors))
    channels = [np.interp(np.linspace(0, 1, count), positions, channel) for channel in zip(*colors, strict=True)]
    for index, (red, green, blue) in enumerate(zip(*channels, strict=True)):
        node.SetColor(index, str(index), float(red), float(green), float(blue), 1.0)
    return node


def onGridOf(fixed: Image, moving: Image) -> Image:
    """``moving`` sampled at the fixed lattice's positions in RAS, as it lies before registration; 0 outside."""
    values = maps.sample(to_tensor(moving.array, "cpu"), moving.grid, maps.identity(fixed.grid))
    return Image(values[0, 0].numpy(), fixed.grid, moving.name)
