"""A 3D view of a scene's models, drawn off-screen by Slicer's displayable managers."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
import vtk

from Testing.Support.slice_view import announceLegends, createWindow, grab, preferOffScreenOpenGL

_DISPLAYABLE_MANAGERS = ("vtkMRMLModelDisplayableManager", "vtkMRMLColorLegendDisplayableManager")
_BACKGROUND, _BACKGROUND_TOP = (0.756863, 0.764706, 0.909804), (0.454902, 0.470588, 0.745098)  # Slicer's own


class SurfaceViewRenderer:
    """Draws what 3D views show of a scene. Close it (or use ``with``) before the scene goes.

    Only where :func:`.slice_view.canRender` says yes.

    Args:
        scene: the MRML scene.
        appLogic: its application logic.
    """

    def __init__(self, scene: Any, appLogic: Any) -> None:
        preferOffScreenOpenGL()
        self._scene = scene
        self._renderer = vtk.vtkRenderer()
        self._renderer.SetBackground(_BACKGROUND)
        self._renderer.SetBackground2(_BACKGROUND_TOP)
        self._renderer.GradientBackgroundOn()
        self._window = createWindow(self._renderer)
        self._window.SetAlphaBitPlanes(1)
        self._window.SetMultiSamples(0)  # with it, depth peeling of translucent surfaces draws none
        self._renderer.SetUseDepthPeeling(True)
        self._interactor = vtk.vtkGenericRenderWindowInteractor()
        self._interactor.SetRenderWindow(self._window)
        self._node = scene.AddNewNodeByClass("vtkMRMLViewNode", "JointRegistrationOffScreen3D")
        self._node.SetSaveWithScene(False)
        self._node.SetHideFromEditors(True)
        factory = slicer.vtkMRMLThreeDViewDisplayableManagerFactory.GetInstance()
        factory.SetMRMLApplicationLogic(appLogic)
        for name in _DISPLAYABLE_MANAGERS:
            if not factory.IsDisplayableManagerRegistered(name):
                factory.RegisterDisplayableManager(name)
        self._managers = slicer.vtkMRMLDisplayableManagerGroup()
        self._managers.Initialize(factory, self._renderer)
        self._managers.SetMRMLDisplayableNode(self._node)
        announceLegends(scene)

    def __enter__(self) -> SurfaceViewRenderer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def render(
        self, towards: tuple[float, float, float] = (0.6, 1.0, 0.35), sizePx: tuple[int, int] = (600, 600)
    ) -> np.ndarray:
        """Everything that is visible, as (height, width, 3) uint8 RGB, its first row at the top.

        Args:
            towards: direction from the middle of what is shown to the eye, RAS; superior is up.
            sizePx: width and height.
        """
        self._window.SetSize(*sizePx)
        self._window.Render()
        camera = self._renderer.GetActiveCamera()
        camera.SetFocalPoint(0, 0, 0)
        camera.SetPosition(*towards)
        camera.SetViewUp(0, 0, 1)
        self._renderer.ResetCamera()
        camera.Zoom(1.3)
        self._renderer.ResetCameraClippingRange()
        self._window.Render()
        return grab(self._window, sizePx)

    def close(self) -> None:
        """Let go of window and view node."""
        if self._window is None:
            return
        self._managers.SetMRMLDisplayableNode(None)
        self._managers.SetRenderer(None)
        self._interactor.SetRenderWindow(None)
        self._window.Finalize()
        self._scene.RemoveNode(self._node)
        self._managers = self._interactor = self._window = None
