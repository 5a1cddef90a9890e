"""The panel's parameters, saved with the scene, and what they mean for the library and the scene layer.

The controls are tied to them in the .ui file (property ``SlicerParameterName``); the five choices by
:mod:`.choices`, because they show other words than they save.
"""

import dataclasses
from typing import Annotated, Any, Union, get_type_hints

import slicer
from slicer import (
    vtkMRMLLabelMapVolumeNode,
    vtkMRMLMarkupsFiducialNode,
    vtkMRMLScalarVolumeNode,
    vtkMRMLSegmentationNode,
    vtkMRMLTableNode,
    vtkMRMLTransformNode,
)
from slicer.parameterNodeWrapper import WithinRange, isNodeOrUnionOfNodes, parameterNodeWrapper

from JointRegistrationLib.core.config import RegistrationConfig, detail_of, with_detail
from JointRegistrationMRML.run.registration_nodes import InputNodes, OutputNodes, OutputOptions

DEFAULTS = RegistrationConfig()
DEFAULT_MILLIONS = round(DEFAULTS.preprocess.max_working_voxels / 1e6, 2)

#: The results that a run can put into the scene.
OUTPUT_KINDS = tuple(field.name for field in dataclasses.fields(OutputNodes))


# The wrapper of Slicer 5.6 knows typing.Union, not the | of types. Unlike a single class, a union takes no None, which
# is what stands there at first, unless it names it.
Mask = Union[vtkMRMLLabelMapVolumeNode, vtkMRMLSegmentationNode, None]  # noqa: UP007


@parameterNodeWrapper
class PanelParameters:
    """What a person chose in the panel. ``workingMillions``: at most so many million working points."""

    fixedVolume: vtkMRMLScalarVolumeNode
    movingVolume: vtkMRMLScalarVolumeNode
    fixedSegmentation: vtkMRMLSegmentationNode
    movingSegmentation: vtkMRMLSegmentationNode
    fixedMask: Mask
    movingMask: Mask
    fixedMaskSegment: str = ""
    movingMaskSegment: str = ""
    fixedLandmarks: vtkMRMLMarkupsFiducialNode
    movingLandmarks: vtkMRMLMarkupsFiducialNode
    initialTransform: vtkMRMLTransformNode
    startTransform: vtkMRMLTransformNode

    method: str = DEFAULTS.method
    device: str = DEFAULTS.device
    side: str = DEFAULTS.network.side
    checkSide: bool = DEFAULTS.check_side
    similarity: str = DEFAULTS.vsvf.similarity.name
    detail: str = detail_of(DEFAULTS.vsvf.velocity)
    refine: Annotated[int, WithinRange(0, 500)] = DEFAULTS.network.refine
    affineSteps: Annotated[int, WithinRange(1, 20)] = DEFAULTS.network.affine_steps
    vsvfSteps: Annotated[int, WithinRange(1, 10)] = DEFAULTS.network.vsvf_steps
    workingMillions: Annotated[float, WithinRange(0.05, 20)] = DEFAULT_MILLIONS
    regularity: Annotated[float, WithinRange(0, 10000)] = DEFAULTS.vsvf.regularity
    landmarkWeight: Annotated[float, WithinRange(0, 1000)] = DEFAULTS.landmarks.weight

    wantsTransform: bool = True
    wantsInverseTransform: bool = True
    wantsAffine: bool = False
    wantsWarpedVolume: bool = True
    wantsWarpedSegmentation: bool = True
    wantsJacobian: bool = True
    wantsFolds: bool = False
    wantsResultsTable: bool = True

    transformNode: vtkMRMLTransformNode
    inverseTransformNode: vtkMRMLTransformNode
    affineNode: vtkMRMLTransformNode
    warpedVolumeNode: vtkMRMLScalarVolumeNode
    warpedSegmentationNode: vtkMRMLSegmentationNode
    jacobianNode: vtkMRMLScalarVolumeNode
    foldsNode: vtkMRMLSegmentationNode
    resultsTableNode: vtkMRMLTableNode


#: The parameters that hold nodes.
NODE_PARAMETERS = tuple(name for name, kind in get_type_hints(PanelParameters).items() if isNodeOrUnionOfNodes(kind))


def release(parameters: Any, node: Any) -> None:
    """Choose nothing where ``node`` is chosen: a selector whose node is removed would choose another one."""
    holding = [name for name in NODE_PARAMETERS if getattr(parameters, name) is node]
    if holding:
        with slicer.util.NodeModify(parameters):
            for name in holding:
                setattr(parameters, name, None)


#: Which parameters "Restore defaults" resets.
SETTINGS = (
    "side", "checkSide", "similarity", "detail", "refine", "affineSteps", "vsvfSteps", "workingMillions", "regularity",
    "landmarkWeight",
)  # fmt: skip


def restoreDefaults(parameters: Any) -> None:
    """Give :data:`SETTINGS` the library's own values."""
    restored = parametersFromConfig(DEFAULTS)
    for name in SETTINGS:
        setattr(parameters, name, restored[name])


def parametersFromConfig(config: RegistrationConfig) -> dict[str, Any]:
    """The parameters that show ``config``; what the panel has no control for is left out."""
    return {
        "method": config.method,
        "device": config.device,
        "side": config.network.side,
        "checkSide": config.check_side,
        "similarity": config.vsvf.similarity.name,
        "detail": detail_of(config.vsvf.velocity),
        "refine": config.network.refine,
        "affineSteps": config.network.affine_steps,
        "vsvfSteps": config.network.vsvf_steps,
        "workingMillions": round(config.preprocess.max_working_voxels / 1e6, 2),
        "regularity": config.vsvf.regularity,
        "landmarkWeight": config.landmarks.weight,
    }


def configFrom(parameters: Any) -> RegistrationConfig:
    """The library's configuration that the panel shows."""
    replace = dataclasses.replace
    similarity = replace(DEFAULTS.vsvf.similarity, name=parameters.similarity)
    return replace(
        DEFAULTS,
        method=parameters.method,
        device=parameters.device,
        check_side=parameters.checkSide,
        preprocess=replace(DEFAULTS.preprocess, max_working_voxels=_workingVoxels(parameters.workingMillions)),
        vsvf=replace(
            DEFAULTS.vsvf,
            regularity=parameters.regularity,
            similarity=similarity,
            velocity=with_detail(DEFAULTS.vsvf.velocity, parameters.detail),
        ),
        lddmm=replace(DEFAULTS.lddmm, regularity=_geodesicRegularity(parameters.regularity), similarity=similarity),
        landmarks=replace(DEFAULTS.landmarks, weight=parameters.landmarkWeight),
        network=replace(
            DEFAULTS.network,
            side=parameters.side,
            refine=parameters.refine,
            affine_steps=parameters.affineSteps,
            vsvf_steps=parameters.vsvfSteps,
        ),
    )


def _geodesicRegularity(regularity: float) -> float:
    """The control shows that of the stationary velocity; the geodesic's own keeps its ratio to it."""
    return regularity * DEFAULTS.lddmm.regularity / DEFAULTS.vsvf.regularity


def _workingVoxels(millions: float) -> int:
    """The control has two decimals; its first value stands for the library's exact one."""
    if abs(millions - DEFAULT_MILLIONS) < 0.005:
        return DEFAULTS.preprocess.max_working_voxels
    return round(millions * 1e6)


def inputNodes(parameters: Any) -> InputNodes:
    """The nodes of the run, as the scene layer takes them."""
    further = {name: getattr(parameters, name) for name in _FURTHER_INPUTS}
    for mask in ("fixedMask", "movingMask"):
        if further[mask] is None or not further[mask].IsA("vtkMRMLSegmentationNode"):
            further[f"{mask}Segment"] = ""  # of a mask that was chosen before
    return InputNodes(parameters.fixedVolume, parameters.movingVolume, **further)


_FURTHER_INPUTS = tuple(field.name for field in dataclasses.fields(InputNodes) if field.name not in ("fixed", "moving"))


def wants(parameters: Any, kind: str) -> bool:
    """Return whether the result ``kind``, of :data:`OUTPUT_KINDS`, is asked for."""
    return bool(getattr(parameters, f"wants{kind[0].upper()}{kind[1:]}"))


def outputOptions(parameters: Any) -> OutputOptions:
    """Return which results are wanted; the moving volume is shown through the transform if there is one."""
    wanted = {kind: wants(parameters, kind) for kind in OUTPUT_KINDS}
    return OutputOptions(**wanted, showMovingTransformed=wanted["transform"])


def nodesToReuse(parameters: Any) -> OutputNodes:
    """The nodes chosen for wanted results."""
    chosen = {kind: getattr(parameters, f"{kind}Node") for kind in OUTPUT_KINDS if wants(parameters, kind)}
    return OutputNodes(**chosen)


def choosePair(parameters: Any, pair: Any) -> None:
    """Choose the nodes of a ``JointRegistrationMRML.scene.sample_pair.SamplePair``."""
    with slicer.util.NodeModify(parameters):
        parameters.fixedVolume, parameters.movingVolume = pair.fixed, pair.moving
        parameters.fixedSegmentation = pair.fixedSegmentation
        parameters.movingSegmentation = pair.movingSegmentation


_PAIRS = (
    ("fixedVolume", "movingVolume"),
    ("fixedSegmentation", "movingSegmentation"),
    ("fixedMask", "movingMask"),
    ("fixedMaskSegment", "movingMaskSegment"),
    ("fixedLandmarks", "movingLandmarks"),
)


def swapInputs(parameters: Any) -> None:
    """Exchange fixed and moving, with what belongs to each. Transforms to start from would be wrong and are let go."""
    for fixed, moving in _PAIRS:
        before = getattr(parameters, fixed), getattr(parameters, moving)
        setattr(parameters, moving, before[0])
        setattr(parameters, fixed, before[1])
    parameters.initialTransform = parameters.startTransform = None
