"""The embedded application: a headless scene, a registration in it, and how desktop Slicer will show it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import slicer

from JointRegistrationLib.core.image import Image
from JointRegistrationLib.core.lattices.segments import SegmentLayers
from JointRegistrationMRML.nodes.segments.segmentations import segmentationFromLabels
from JointRegistrationMRML.nodes.volumes import volumeFromImage
from JointRegistrationMRML.run.register import registerVolumes
from JointRegistrationMRML.run.registration_nodes import InputNodes, RegistrationOutputs
from JointRegistrationMRML.run.runner import Runner, runInProcess
from JointRegistrationMRML.scene.headless import HeadlessScene

from .inputs import DemoInputs

_LABEL_COLORS = {
    "femur": (0.93, 0.84, 0.62),
    "femoral cartilage": (0.35, 0.75, 0.90),
    "tibia": (0.85, 0.74, 0.52),
    "tibial cartilage": (0.45, 0.83, 0.55),
    "patella": (0.95, 0.90, 0.74),
    "patellar cartilage": (0.85, 0.55, 0.85),
}

_OTHER_COLOR = (0.35, 0.75, 0.90)

#: The three slice views of Slicer's standard layout, and the RAS axis across their slices.
_DESKTOP_VIEWS = {"Red": ("Axial", 2), "Yellow": ("Sagittal", 0), "Green": ("Coronal", 1)}


def registerInScene(
    scene: Any,
    inputs: DemoInputs,
    config: Any = None,
    progress: Callable[[str, float, float | None], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
    runner: Runner = runInProcess,
) -> RegistrationOutputs:
    """Put the inputs into the scene as nodes and register them there; a fixed segmentation is among the run's inputs.

    Raises:
        InputError, RegistrationCancelled, ResourceError: see :func:`registerVolumes`.
    """
    fixed, moving = (_shown(scene, volumeFromImage(image, image.name)) for image in (inputs.fixed, inputs.moving))
    fixedSegmentation, movingSegmentation = (
        None if labels is None else _shown(scene, _segmentation(labels, inputs.labelNames, f"{image.name} tissues"))
        for labels, image in ((inputs.fixedLabels, inputs.fixed), (inputs.movingLabels, inputs.moving))
    )
    nodes = InputNodes(fixed, moving, movingSegmentation=movingSegmentation)
    run = registerVolumes(scene, nodes, config, runner=runner, progress=progress, cancelled=cancelled)
    return replace(run, inputs=replace(nodes, fixedSegmentation=fixedSegmentation))


def arrangeDesktopViews(hosted: HeadlessScene, run: RegistrationOutputs, positionsMm: dict[str, float]) -> None:
    """Let desktop Slicer open the scene on the result: warped over fixed, tissues as outlines.

    Args:
        hosted: the scene and its logics.
        run: what to show.
        positionsMm: where the slices shall lie, by orientation, RAS mm.
    """
    for segmentation in (run.inputs.fixedSegmentation, run.nodes.warpedSegmentation):
        if segmentation is not None:
            segmentation.GetDisplayNode().SetVisibility2DFill(False)
            segmentation.GetDisplayNode().SetSliceIntersectionThickness(2)
    for hidden in (run.inputs.movingSegmentation, run.nodes.transform):
        if hidden is not None and hidden.GetDisplayNode() is not None:
            hidden.GetDisplayNode().SetVisibility(False)
    slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(hosted.scene, True)
    assert run.nodes.warpedVolume is not None
    for name, (orientation, axis) in _DESKTOP_VIEWS.items():
        logic = slicer.vtkMRMLSliceLogic()
        logic.SetMRMLApplicationLogic(hosted.applicationLogic)
        logic.SetMRMLScene(hosted.scene)
        logic.AddSliceNode(name)
        logic.GetSliceNode().SetOrientation(orientation)
        composite = logic.GetSliceCompositeNode()
        composite.SetBackgroundVolumeID(run.inputs.fixed.GetID())
        composite.SetForegroundVolumeID(run.nodes.warpedVolume.GetID())
        composite.SetForegroundOpacity(0.5)
        composite.SetLinkedControl(True)
        logic.GetSliceNode().SetDimensions(512, 512, 1)
        logic.FitSliceToBackground()
        logic.SetSliceOffset(_offsetOf(logic, positionsMm[orientation], axis))
        model = (logic.GetSliceModelNode(), logic.GetSliceModelDisplayNode(), logic.GetSliceModelTransformNode())
        logic.SetMRMLScene(None)
        for node in model:
            if node is not None and node.GetScene() is not None:
                hosted.scene.RemoveNode(node)


def _offsetOf(logic: Any, positionMm: float, axis: int) -> float:
    """The slice offset at an RAS position: the normal of Slicer's sagittal view points to the left."""
    return positionMm * float(logic.GetSliceNode().GetSliceToRAS().GetElement(axis, 2))


def _shown(scene: Any, node: Any) -> Any:
    scene.AddNode(node)
    node.CreateDefaultDisplayNodes()
    return node


def _segmentation(labels: Image, names: dict[int, str], name: str) -> Any:
    titles = {value: (text.capitalize(), _LABEL_COLORS.get(text, _OTHER_COLOR)) for value, text in names.items()}
    return segmentationFromLabels(SegmentLayers.of(labels, titles), name)
