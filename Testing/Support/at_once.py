"""What the scene layer does in steps, all taken at once."""
# ruff: noqa: N816 they are functions, named as the scene layer's are

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, ParamSpec, TypeVar

from JointRegistrationLib.core.progress import finished
from JointRegistrationMRML.inspection.comparison import comparisonSteps
from JointRegistrationMRML.inspection.outlines import surfaceSteps as outlineSurfaceSteps
from JointRegistrationMRML.measure.surfaces import surfaceSteps
from JointRegistrationMRML.measure.thickness import thicknessChangeSteps, thicknessSteps
from JointRegistrationMRML.nodes.jacobian import foldsSteps, jacobianSteps
from JointRegistrationMRML.nodes.segments.masks import segmentMaskSteps
from JointRegistrationMRML.nodes.segments.segmentations import maskSegmentationSteps, warpLabelsSteps
from JointRegistrationMRML.nodes.transforms import gridTransformNodeSteps, gridTransformSteps
from JointRegistrationMRML.report.surfaces import surfacePictureSteps
from JointRegistrationMRML.run.registration_nodes import RegistrationOutputs
from JointRegistrationMRML.scene.sample_pair import loadSampleSteps, sampleFileSteps
from JointRegistrationMRML.scene.view_state import ViewRecord, restoreViews

P = ParamSpec("P")
T = TypeVar("T")


def atOnce(steps: Callable[P, Generator[Any, None, T]]) -> Callable[P, T]:
    def allOfThem(*arguments: P.args, **options: P.kwargs) -> T:
        return finished(steps(*arguments, **options))

    return allOfThem


gridTransform, gridTransformNode = atOnce(gridTransformSteps), atOnce(gridTransformNodeSteps)
loadSample, sampleFiles = atOnce(loadSampleSteps), atOnce(sampleFileSteps)
segmentMasks, warpLabels = atOnce(segmentMaskSteps), atOnce(warpLabelsSteps)
maskSegmentation = atOnce(maskSegmentationSteps)
jacobianVolume, foldsSegmentation = atOnce(jacobianSteps), atOnce(foldsSteps)
surfacePicture = atOnce(surfacePictureSteps)
cartilageThickness, thicknessChange = atOnce(thicknessSteps), atOnce(thicknessChangeSteps)
maskSurface, surfaceOf = atOnce(surfaceSteps), atOnce(outlineSurfaceSteps)


def showComparison(
    scene: Any, outputs: RegistrationOutputs, mode: str = "warped", earlier: ViewRecord | None = None
) -> ViewRecord:
    """Show it instead of ``earlier``; returns what was changed."""
    record = ViewRecord()
    if earlier is not None:
        restoreViews(scene, earlier)
    finished(comparisonSteps(scene, outputs, record, mode))
    return record
