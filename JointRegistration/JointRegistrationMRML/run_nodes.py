"""The nodes of a run that views show; a result that the run made no node of gets one for as long as a view is open."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from JointRegistrationLib.core.errors import InputError
from JointRegistrationLib.core.image import Image

from .nodes.arrays import numpyView
from .nodes.colors import divergingColors
from .nodes.jacobian import jacobianVolume, showJacobian
from .nodes.volumes import volumeFromImage
from .open_view import OpenView
from .translation import _

if TYPE_CHECKING:
    from .run.registration_nodes import RegistrationOutputs


def fixedVolume(view: OpenView, outputs: RegistrationOutputs) -> Any:
    """The run's fixed volume.

    Raises:
        InputError: if it was removed from the scene.
    """
    node = outputs.inputs.fixed
    if node.GetScene() is not view.scene:
        text = _("fixed volume: {name} is no longer in the scene; load it and run the registration again")
        raise InputError(text.format(name=node.GetName()))
    return node


def warpedVolume(view: OpenView, outputs: RegistrationOutputs) -> Any:
    """The moving volume on the fixed grid: the run's node, or one of the view's own."""
    node = outputs.nodes.warpedVolume
    if isThere(view, node):
        return node
    name = f"{outputs.inputs.moving.GetName()} warped"
    built = volumeFromImage(Image(outputs.result.warped, outputs.result.fixed_grid, name), name)  # a copy
    return addVolume(view, "warped", built)


def log2JacobianVolume(view: OpenView, outputs: RegistrationOutputs) -> Any:
    """log2 J on the fixed grid: the run's node, or one of the view's own."""
    node = outputs.nodes.jacobian
    if isThere(view, node):
        return node
    name = f"{outputs.inputs.moving.GetName()} to {outputs.inputs.fixed.GetName()} (log2 Jacobian)"
    colors = view.add("colors", divergingColors())
    built = jacobianVolume(outputs.result.jacobian_determinant, outputs.result.fixed_grid, name)
    node = addVolume(view, "jacobian", built, colors.GetID())
    showJacobian(node, colors, numpyView(node.GetImageData()))
    return node


def addVolume(view: OpenView, kind: str, built: Any, colorID: str = "vtkMRMLColorTableNodeGrey") -> Any:
    """Bring a scalar volume into the scene for as long as the view is open, with a display node."""
    display = view.giveDisplay(built, "vtkMRMLScalarVolumeDisplayNode")
    display.AutoWindowLevelOff()  # looking for a window takes a while on a knee; whoever adds it sets one
    display.SetAndObserveColorNodeID(colorID)
    return view.add(kind, built)


def isThere(view: OpenView, node: Any) -> bool:
    """Whether there is such a node, in the view's scene, with something to draw it by."""
    return node is not None and node.GetScene() is view.scene and node.GetDisplayNode() is not None
