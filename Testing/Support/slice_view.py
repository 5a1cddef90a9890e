"""Slice views drawn off-screen by Slicer's own slice logic and displayable managers.

What comes out is what a slice view of desktop Slicer shows of the same nodes: background and
foreground volumes blended by the slice logic, segmentations, transform grids and colour legends by
their displayable managers. No window and no Qt; on Linux without a display VTK draws through EGL.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import vtk_to_numpy

from JointRegistrationLib.core.errors import ResourceError
from JointRegistrationLib.core.system.children import code_command
from JointRegistrationMRML.nodes.arrays import ownedList

from .slice_plane import IN_PLANE, SlicePlane, onlyVisible, rasBounds

_DISPLAYABLE_MANAGERS = (
    "vtkMRMLModelSliceDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager2D",
    "vtkMRMLTransformsDisplayableManager2D",
    "vtkMRMLColorLegendDisplayableManager",
    "vtkMRMLRulerDisplayableManager",
)

_PROBE = """
import vtk
window = vtk.vtkRenderWindow()
window.SetOffScreenRendering(1)
window.SetSize(8, 8)
renderer = vtk.vtkRenderer()
renderer.SetBackground(0, 1, 0)
window.AddRenderer(renderer)
window.Render()
capture = vtk.vtkWindowToImageFilter()
capture.SetInput(window)
capture.ReadFrontBufferOff()
capture.Update()
green = capture.GetOutput().GetScalarComponentAsFloat(4, 4, 0, 1)
window.Finalize()
sys.exit(0 if green == 255 else 1)
"""


def preferOffScreenOpenGL() -> None:
    """On Linux without a display, let VTK start with EGL instead of a failing X connection."""
    if sys.platform.startswith("linux") and not os.environ.get("DISPLAY"):
        os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")


def canRender(timeoutS: float = 60.0) -> bool:
    """Return whether this machine can draw off-screen.

    Tried in a child process: without OpenGL, VTK ends the process that renders (segmentation fault).
    """
    preferOffScreenOpenGL()
    program, arguments, environment = code_command(_PROBE)
    try:
        done = subprocess.run(
            [program, *arguments], env=environment, capture_output=True, timeout=timeoutS, check=False
        )
        return done.returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


class SliceViewRenderer:
    """Draws slices of a scene's nodes into arrays. Close it (or use ``with``) before the scene goes.

    Only where :func:`canRender` says yes.

    Args:
        scene: the MRML scene that holds the nodes.
        appLogic: its application logic.

    Example::

        with SliceViewRenderer(scene, appLogic) as renderer:
            picture = renderer.render("Sagittal", 12.5, fixedNode, overlays=[segmentationNode])
    """

    def __init__(self, scene: Any, appLogic: Any) -> None:
        preferOffScreenOpenGL()
        self._scene = scene
        self._renderer = vtk.vtkRenderer()
        self._renderer.GetActiveCamera().ParallelProjectionOn()
        self._window = createWindow(self._renderer)
        # Displayable managers ask the window's interactor for sizes; nobody interacts.
        self._interactor = vtk.vtkGenericRenderWindowInteractor()
        self._interactor.SetRenderWindow(self._window)
        self._plane = SlicePlane(scene, appLogic)
        self._managers = _createDisplayableManagers(appLogic, self._renderer, self._plane.node)
        announceLegends(scene)
        self._imageMapper = _addSliceImage(self._renderer)
        self._letters = [_addLetter(self._renderer) for _ in range(3)]

    def __enter__(self) -> SliceViewRenderer:
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
        """One slice, as (height, width, 3) uint8 RGB, its first row at the top.

        Args:
            orientation: one of :data:`.slice_plane.ORIENTATIONS`; the slice is parallel to the RAS axes,
                with the patient's right on the left of coronal and axial slices, as in Slicer.
            offsetRas: position along the slice's normal, RAS mm.
            background, foreground: volume nodes; the foreground is blended with ``foregroundOpacity``
                and shows its colour legend, if it has one.
            label: label map volume node to draw over both.
            overlays: displayable nodes to draw on top (segmentations, transforms); all others are
                hidden for this picture.
            fitTo: volume node whose extent fills the picture; the background by default.
            longSidePx: longer side of the picture; the other follows from the extent.
            annotated: with orientation letters and a ruler.

        Raises:
            ResourceError: if OpenGL gives no picture.
        """
        size = self._plane.place(orientation, offsetRas, rasBounds(fitTo or background), longSidePx)
        self._window.SetSize(*size)
        self._plane.setLayers(background, foreground, foregroundOpacity, label)
        node = self._plane.node
        node.SetRulerType(node.RulerTypeThin if annotated else node.RulerTypeNone)
        self._placeLetters(IN_PLANE[orientation][2], size, annotated)
        shown = [*overlays, *(node for node in (background, foreground, label) if node)]
        with onlyVisible(self._scene, shown):
            self._imageMapper.SetInputConnection(self._plane.imageConnection())
            self._window.Render()
            return grab(self._window, size)

    def close(self) -> None:
        """Let go of window, view nodes and logic, in the order that ends without a crash."""
        if self._window is None:
            return
        self._managers.SetMRMLDisplayableNode(None)
        self._managers.SetRenderer(None)
        self._imageMapper.RemoveAllInputConnections(0)
        self._plane.close()
        self._interactor.SetRenderWindow(None)
        self._window.Finalize()
        self._managers = self._plane = self._imageMapper = self._interactor = self._window = None

    def _placeLetters(self, letters: str, size: tuple[int, int], visible: bool) -> None:
        width, height = size
        pixels = max(12, round(max(size) / 32))
        # The ruler has the lower edge to itself.
        places = ((pixels, height / 2), (width - pixels, height / 2), (width / 2, height - pixels))
        for actor, letter, place in zip(self._letters, letters, places, strict=True):
            actor.SetInput(letter)
            actor.SetPosition(*place)
            actor.GetTextProperty().SetFontSize(pixels)
            actor.SetVisibility(visible)


def createWindow(renderer: Any) -> Any:
    """An off-screen window for one renderer."""
    window = vtk.vtkRenderWindow()
    window.SetOffScreenRendering(1)
    window.SetShowWindow(False)
    window.SetMultiSamples(8)
    window.AddRenderer(renderer)
    return window


def _createDisplayableManagers(appLogic: Any, renderer: Any, sliceNode: Any) -> Any:
    factory = slicer.vtkMRMLSliceViewDisplayableManagerFactory.GetInstance()
    factory.SetMRMLApplicationLogic(appLogic)
    for name in _DISPLAYABLE_MANAGERS:
        if not factory.IsDisplayableManagerRegistered(name):
            factory.RegisterDisplayableManager(name)
    group = slicer.vtkMRMLDisplayableManagerGroup()
    group.Initialize(factory, renderer)
    group.SetMRMLDisplayableNode(sliceNode)
    return group


def announceLegends(scene: Any) -> None:
    """Let a new view know of the colour legends that the scene has already.

    Their displayable manager only learns of legends that are added while it is there, as in Slicer's window, whose
    views come first.
    """
    for legend in ownedList(scene.GetNodesByClass("vtkMRMLColorLegendDisplayNode")):
        scene.InvokeEvent(slicer.vtkMRMLScene.NodeAddedEvent, legend)


def _addSliceImage(renderer: Any) -> Any:
    """Mapper that paints the slice logic's RGBA image behind everything, as Slicer's slice widget does."""
    mapper = vtk.vtkImageMapper()
    mapper.SetColorWindow(255)
    mapper.SetColorLevel(127.5)
    actor = vtk.vtkActor2D()
    actor.SetMapper(mapper)
    actor.GetProperty().SetDisplayLocationToBackground()
    renderer.AddViewProp(actor)
    return mapper


def _addLetter(renderer: Any) -> Any:
    letter = vtk.vtkTextActor()
    text = letter.GetTextProperty()
    text.SetFontFamilyToArial()
    text.SetColor(1, 1, 1)
    text.ShadowOn()
    text.BoldOn()
    text.SetJustificationToCentered()
    text.SetVerticalJustificationToCentered()
    renderer.AddViewProp(letter)
    return letter


def grab(window: Any, size: tuple[int, int]) -> np.ndarray:
    """Grab what a window shows, (height, width, 3) uint8 RGB, its first row at the top."""
    capture = vtk.vtkWindowToImageFilter()
    capture.SetInput(window)
    capture.ReadFrontBufferOff()
    capture.SetInputBufferTypeToRGB()
    capture.Update()
    image = capture.GetOutput()
    width, height, _ = image.GetDimensions()
    scalars = image.GetPointData().GetScalars()
    if (width, height) != size or scalars is None:
        raise ResourceError(
            f"off-screen drawing gave a picture of {width} x {height} pixels instead of {size[0]} x {size[1]}: "
            "OpenGL does not work here; on Debian or Ubuntu install libegl1 and libgl1-mesa-dri"
        )
    return vtk_to_numpy(scalars).reshape(height, width, -1)[::-1].copy()
