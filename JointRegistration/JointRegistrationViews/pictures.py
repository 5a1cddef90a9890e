"""The pictures by which a registration is judged: slices of its nodes, three orientations a row."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from JointRegistrationLib.image import Image
from JointRegistrationMRML.colors import DIFFERENCE_COLORS
from JointRegistrationMRML.compared import brightnessRange, checkerboard, differencePercent
from JointRegistrationMRML.inspect_images import DIFFERENCE_LIMIT_PERCENT
from JointRegistrationMRML.inspect_segments import FIXED_COLOR, WARPED_COLOR
from JointRegistrationMRML.nodes import newNode
from JointRegistrationMRML.segmentations import maskSegmentation
from JointRegistrationMRML.volumes import imageFromVolume, volumeFromImage

from .comparison import onGridOf, telltaleOffsets
from .slice_plane import NORMAL_AXIS, ORIENTATIONS

_SQUARE_MM = 18.0
_GRID_LINES = 24


@dataclass(frozen=True)
class PictureRow:
    """One thing to look at, in every orientation: (height, width, 3) uint8 pictures and how to read them."""

    key: str
    title: str
    caption: str
    pictures: Mapping[str, npt.NDArray[np.uint8]]


@dataclass(frozen=True)
class ShownNodes:
    """The nodes of one registration that pictures are made of.

    Args:
        fixed, moving, warped, log2Jacobian: scalar volume nodes.
        movingToFixed: grid transform node, fixed-to-moving map on its from-parent side.
        folds: segmentation node.
    """

    fixed: Any
    moving: Any
    warped: Any
    log2Jacobian: Any
    movingToFixed: Any
    folds: Any


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
        self._offsets = telltaleOffsets(imageFromVolume(self.nodes.fixed).grid, interest)
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
        """Where the slices lie along their normal, RAS mm."""
        return {orientation: self._offsets[NORMAL_AXIS[orientation]] for orientation in ORIENTATIONS}

    # -- the rows -----------------------------------------------------------------------------------

    def _images(self) -> Iterator[PictureRow]:
        nodes = self.nodes
        yield self._row("fixed", "Fixed", "The reference knee. It stays where it is.", nodes.fixed)
        yield self._row(
            "moving", "Moving", "The other knee where its scanner put it, before any registration.", nodes.moving
        )
        yield self._row(
            "warped",
            "Warped",
            "The moving knee carried onto the fixed one: shapes should be those of the fixed knee, "
            "brightness is still its own.",
            nodes.warped,
        )

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
            yield self._row(
                "outlines_before",
                f"{tissue.name} outlines, before",
                f"On the fixed knee: {tissue.name.lower()} of the fixed knee in yellow, of the moving knee in blue, "
                "before registration.",
                self.nodes.fixed,
                overlays=[fixed, before],
            )
            yield self._row(
                "outlines_after",
                f"{tissue.name} outlines, after",
                "The same after registration: the blue line should lie on the yellow one.",
                self.nodes.fixed,
                overlays=[fixed, after],
            )

    def _differences(self) -> Iterator[PictureRow]:
        fixed, before, after, movingRange = self._comparable()
        colors = _tableNode("difference", DIFFERENCE_COLORS)
        with self._temporary(
            colors,
            _volumeNode(differencePercent(fixed, before, movingRange)),
            _volumeNode(differencePercent(fixed, after, movingRange)),
        ) as (_, differenceBefore, differenceAfter):
            for node in (differenceBefore, differenceAfter):
                display = node.GetDisplayNode()
                display.SetAndObserveColorNodeID(colors.GetID())
                display.AutoWindowLevelOff()
                display.SetWindowLevel(2 * DIFFERENCE_LIMIT_PERCENT, 0.0)
            yield self._row(
                "difference_before",
                "Difference, before",
                "Fixed minus moving. Black: equally bright. Orange: the fixed image is brighter; blue: the other one. "
                "Paired coloured bands along an edge mean that the edges do not meet.",
                differenceBefore,
            )
            yield self._row(
                "difference_after",
                "Difference, after",
                "Fixed minus warped, same colours. It should be darker than before; what stays is noise, "
                "and tissue that only one of the two knees has.",
                differenceAfter,
            )

    def _checkerboards(self) -> Iterator[PictureRow]:
        fixed, before, after, movingRange = self._comparable()
        with self._temporary(
            _volumeNode(checkerboard(fixed, before, movingRange, _SQUARE_MM)),
            _volumeNode(checkerboard(fixed, after, movingRange, _SQUARE_MM)),
        ) as (boardBefore, boardAfter):
            for node in (boardBefore, boardAfter):
                node.GetDisplayNode().AutoWindowLevelOff()
                node.GetDisplayNode().SetWindowLevel(1.0, 0.5)
            yield self._row(
                "checkerboard_before",
                "Checkerboard, before",
                "Squares show the fixed and the moving knee in turn: edges break where squares meet.",
                boardBefore,
            )
            yield self._row(
                "checkerboard_after",
                "Checkerboard, after",
                "Squares show the fixed and the warped knee in turn: edges should run on from square to square.",
                boardAfter,
            )

    def _deformation(self) -> Iterator[PictureRow]:
        nodes = self.nodes
        spacingMm = showAsGrid(nodes.movingToFixed, imageFromVolume(nodes.fixed).grid.extent_mm.max() / _GRID_LINES)
        yield self._row(
            "grid",
            "Warped grid",
            f"A square {spacingMm:g} mm grid drawn on the moving knee, carried along onto the fixed one. Bent lines: "
            "tissue was bent; lines close together: it was compressed. From green to red: how far it was moved.",
            nodes.warped,
            overlays=[nodes.movingToFixed],
        )
        showAsFill(nodes.folds)
        yield self._row(
            "jacobian",
            "Local volume change",
            "Red: this part is larger in the moving knee than in the fixed one; blue: smaller; grey or "
            "white: the same size. On the scale +1 means twice, -1 half the volume. Folds, places where the map is "
            "impossible, would be bright yellow.",
            nodes.fixed,
            foreground=nodes.log2Jacobian,
            foregroundOpacity=0.5,
            overlays=[nodes.folds],
        )

    # -- help ---------------------------------------------------------------------------------------

    def _row(self, key: str, title: str, caption: str, background: Any, **layers: Any) -> PictureRow:
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
        return PictureRow(key, title, caption, pictures)

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
