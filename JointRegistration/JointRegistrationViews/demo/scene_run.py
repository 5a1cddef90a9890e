"""The embedded application: a headless scene, a registration in it, and how desktop Slicer will show it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import slicer

from JointRegistrationLib.core.image import Image
from JointRegistrationLib.core.result import RegistrationResult
from JointRegistrationMRML.inspection.deformation import affineToLeaveOut, leftOutText, longestMm
from JointRegistrationMRML.measure.folds import foldsOf
from JointRegistrationMRML.measure.measurement import measure
from JointRegistrationMRML.nodes.segments.segmentations import LabelLayers, SegmentLabel, segmentationFromLabels
from JointRegistrationMRML.nodes.volumes import volumeFromImage
from JointRegistrationMRML.pauses import finished
from JointRegistrationMRML.report.tables import ReportNumbers, reportNumberSteps
from JointRegistrationMRML.run.register import registerVolumes
from JointRegistrationMRML.run.registration_nodes import InputNodes, OutputNodes, RegistrationOutputs
from JointRegistrationMRML.run.runner import Runner, runInProcess
from JointRegistrationMRML.scene.headless import HeadlessScene

from ..offscreen.pictures import ShownNodes, showAsOutline
from ..offscreen.slice_plane import NORMAL_AXIS
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

#: The three slice views of Slicer's standard layout.
_DESKTOP_VIEWS = {"Red": "Axial", "Yellow": "Sagittal", "Green": "Coronal"}


@dataclass(frozen=True)
class SceneRun:
    """One registration in a scene: its inputs and outputs as nodes, and its figures."""

    inputs: InputNodes
    fixedSegmentation: Any
    outputs: OutputNodes
    result: RegistrationResult
    run: RegistrationOutputs

    @property
    def shown(self) -> ShownNodes:
        """The nodes that pictures are made of."""
        leftOut = affineToLeaveOut(self.result)
        return ShownNodes(
            fixed=self.inputs.fixed,
            moving=self.inputs.moving,
            warped=self.outputs.warpedVolume,
            log2Jacobian=self.outputs.jacobian,
            movingToFixed=self.outputs.transform,
            folds=self.outputs.folds,
            affineLeftOut=leftOut,
            longestMm=longestMm(self.result, leftOut),
            gridRemark="" if leftOut is None else leftOutText(self.result),
        )


def registerInScene(
    scene: Any,
    inputs: DemoInputs,
    config: Any = None,
    progress: Callable[[str, float, float | None], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
    runner: Runner = runInProcess,
) -> SceneRun:
    """Put the inputs into the scene as nodes and register them there.

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
    measured = replace(run, inputs=replace(nodes, fixedSegmentation=fixedSegmentation))
    return SceneRun(nodes, fixedSegmentation, run.nodes, run.result, measured)


def numbersOf(run: SceneRun) -> ReportNumbers:
    """All numbers of the run, as the panel's table and plots have them, for the report."""
    folds = foldsOf(run.result.jacobian_determinant, run.result.fixed_grid)
    return finished(reportNumberSteps(measure(run.run), folds))


def arrangeDesktopViews(hosted: HeadlessScene, run: SceneRun, positionsMm: dict[str, float]) -> None:
    """Let desktop Slicer open the scene on the result: warped over fixed, tissues as outlines.

    Args:
        hosted: the scene and its logics.
        run: what to show.
        positionsMm: where the slices shall lie, by orientation, RAS mm.
    """
    for segmentation in (run.fixedSegmentation, run.outputs.warpedSegmentation):
        if segmentation is not None:
            showAsOutline(segmentation)
    for hidden in (run.inputs.movingSegmentation, run.outputs.transform):
        if hidden is not None and hidden.GetDisplayNode() is not None:
            hidden.GetDisplayNode().SetVisibility(False)
    for name, orientation in _DESKTOP_VIEWS.items():
        logic = slicer.vtkMRMLSliceLogic()
        logic.SetMRMLApplicationLogic(hosted.applicationLogic)
        logic.SetMRMLScene(hosted.scene)
        logic.AddSliceNode(name)
        logic.GetSliceNode().SetOrientation(orientation)
        composite = logic.GetSliceCompositeNode()
        composite.SetBackgroundVolumeID(run.inputs.fixed.GetID())
        composite.SetForegroundVolumeID(run.outputs.warpedVolume.GetID())
        composite.SetForegroundOpacity(0.5)
        composite.SetLinkedControl(True)
        logic.GetSliceNode().SetDimensions(512, 512, 1)
        logic.FitSliceToBackground()
        logic.SetSliceOffset(_offsetOf(logic, positionsMm[orientation], NORMAL_AXIS[orientation]))
        model = (logic.GetSliceModelNode(), logic.GetSliceModelDisplayNode(), logic.GetSliceModelTransformNode())
        logic.SetMRMLScene(None)
        for node in model:
            if node is not None and node.GetScene() is not None:
                hosted.scene.RemoveNode(node)


def _offsetOf(logic: Any, positionMm: float, axis: int) -> float:
    """The slice offset at an RAS position: the normal of Slicer's sagittal view points to the left."""
    return positionMm * logic.GetSliceNode().GetSliceToRAS().GetElement(axis, 2)


def _shown(scene: Any, node: Any) -> Any:
    scene.AddNode(node)
    node.CreateDefaultDisplayNodes()
    return node


def _segmentation(labels: Image, names: dict[int, str], name: str) -> Any:
    segments = tuple(
        SegmentLabel(text.replace(" ", "_"), text.capitalize(), _LABEL_COLORS.get(text, _OTHER_COLOR), 0, value)
        for value, text in names.items()
    )
    return segmentationFromLabels(LabelLayers(labels.grid, (labels.array,), segments), name)
