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

from JointRegistrationLib.core.config import RegistrationConfig
from JointRegistrationLib.core.settings import SETTINGS, Setting, camel_case, with_settings
from JointRegistrationMRML.run.registration_nodes import OUTPUT_KINDS, InputNodes, OutputNodes, OutputOptions

# The wrapper of Slicer 5.6 knows typing.Union, not the | of types. Unlike a single class, a union takes no None, which
# is what stands there at first, unless it names it.
Mask = Union[vtkMRMLLabelMapVolumeNode, vtkMRMLSegmentationNode, None]  # noqa: UP007


def _kind(setting: Setting) -> Any:
    kind = type(setting.default)
    return kind if setting.limits is None else Annotated[kind, WithinRange(*setting.limits)]


# The wrapper reads the annotations of base classes too, so that the settings need not be listed again.
_Settings: Any = type(
    "_Settings",
    (),
    {
        "__annotations__": {camel_case(name): _kind(setting) for name, setting in SETTINGS.items()},
        **{camel_case(name): setting.default for name, setting in SETTINGS.items()},
    },
)


@parameterNodeWrapper
class PanelParameters(_Settings):
    """What a person chose in the panel, with the settings of the library's table by their names in camel case."""

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


def restoreDefaults(parameters: Any) -> None:
    """Give the settings the library's own values; method and device are chosen elsewhere, and stay."""
    for name, value in parametersFromConfig(RegistrationConfig()).items():
        if name not in ("method", "device"):
            setattr(parameters, name, value)


def parametersFromConfig(config: RegistrationConfig) -> dict[str, Any]:
    """The parameters that show ``config``; what the panel has no control for is left out."""
    return {camel_case(name): setting.value(config) for name, setting in SETTINGS.items()}


def configFrom(parameters: Any) -> RegistrationConfig:
    """The library's configuration that the panel shows."""
    return with_settings(RegistrationConfig(), {name: getattr(parameters, camel_case(name)) for name in SETTINGS})


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
