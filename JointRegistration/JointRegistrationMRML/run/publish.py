"""The results of one run as nodes: built outside the scene, then put into it, all or none.

Building is where things can go wrong (memory, odd segmentations), so it is over before the scene is
touched. What then still fails, or is cancelled, is taken back by the transaction: new nodes are removed, reused
ones get their old content, and the moving volume its old transform. All of it comes in steps, between which a window
stays alive.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import fields
from typing import Any

import slicer

from JointRegistrationLib.core.errors import InputError
from JointRegistrationLib.core.image import Image
from JointRegistrationLib.core.lattices.segments import RunSegments, SegmentLayers
from JointRegistrationLib.core.progress import finished
from JointRegistrationLib.core.result import RegistrationResult

from ..mrml import Node, Scene
from ..nodes.arrays import INPUT_ROLES, RESULT_ATTRIBUTE, movedBy
from ..nodes.jacobian import foldsSteps, jacobianSteps
from ..nodes.segments.segmentations import segmentationSteps
from ..nodes.transforms import FIXED_ROLE, MOVING_ROLE, affineTransformNode, gridTransformNodeSteps
from ..nodes.volumes import volumeFromImage
from ..scene.transaction import RunRecord, SceneTransaction, checkTarget, isEmpty, placeUnder
from ..translation import _
from .display import displayResults, showPairSteps
from .record import putRecord
from .registration_nodes import (
    OUTPUT_CLASSES,
    OUTPUT_KINDS,
    InputNodes,
    OutputNodes,
    OutputOptions,
    Overlap,
    RegistrationOutputs,
)
from .results_table import overlapSteps, resultsTableSteps
from .segments import warpSegmentsSteps

_WORDS = {
    "transform": _("transform"),
    "inverseTransform": _("inverse transform"),
    "affine": _("affine part"),
    "warpedVolume": _("warped volume"),
    "warpedSegmentation": _("warped segments"),
    "jacobian": _("volume change"),
    "folds": _("folds"),
    "resultsTable": _("results table"),
}


def transformLeftOut(inputs: InputNodes, reuse: OutputNodes) -> Any:
    """The transform that does not count as standing above the inputs; None if there is none.

    It is the result of an earlier run that shows the moving volume, or else the node that will be given the result.
    """
    shown = None if inputs.moving is None else movedBy(inputs.moving)
    return reuse.transform if shown is None else shown


def checkOutputs(scene: Scene, inputs: InputNodes, reuse: OutputNodes) -> None:
    """Make sure that the nodes to be reused can take the results.

    Raises:
        InputError: if one is of the wrong kind, in another scene, an input, or given twice, or holds something that
            no run made.
    """
    given = [(kind, getattr(reuse, kind)) for kind in OUTPUT_KINDS if getattr(reuse, kind) is not None]
    sources = [getattr(inputs, field.name) for field in fields(InputNodes) if field.name != "startTransform"]
    seen: list[Any] = []
    for kind, node in given:
        checkTarget(node, OUTPUT_CLASSES[kind], scene, _WORDS[kind])
        if any(node is source for source in sources):
            text = _("{kind}: {name} is an input of this run; choose another node for the result")
        elif any(node is other for other in seen):
            text = _("{kind}: {name} is chosen for two results; choose another node for one")
        elif node.GetAttribute(RESULT_ATTRIBUTE) is None and not isEmpty(node):
            text = _("{kind}: {name} holds what no registration made, and would be overwritten; choose another node")
        else:
            seen.append(node)
            continue
        raise InputError(text.format(kind=_WORDS[kind], name=node.GetName()))


def publishResult(
    scene: Scene,
    inputs: InputNodes,
    result: RegistrationResult,
    options: OutputOptions | None = None,
    reuse: OutputNodes | None = None,
) -> RegistrationOutputs:
    """All of :func:`publishSteps` at once."""
    return finished(publishSteps(scene, inputs, result, options, reuse))


def publishSteps(
    scene: Scene,
    inputs: InputNodes,
    result: RegistrationResult,
    options: OutputOptions | None = None,
    reuse: OutputNodes | None = None,
    segments: RunSegments | None = None,
) -> Generator[None, None, RegistrationOutputs]:
    """Put the results of a run into ``scene``, all or none, with pauses in which a window stays alive.

    If the generator is closed before its end, the scene becomes what it was.

    Args:
        scene: MRML scene that holds the input nodes.
        inputs: the run's nodes.
        result: what the runner returned for them.
        options: which results are wanted; default: all but the live view.
        reuse: nodes of the scene to be given the results instead of new ones.
        segments: the run's segments, if they are carried already.

    Raises:
        InputError: if a node to be reused cannot take its result, a segmentation cannot be read, or a result was
            removed in a pause.
    """
    options, reuse = options or OutputOptions(), reuse or OutputNodes()
    checkOutputs(scene, inputs, reuse)
    leftOut = transformLeftOut(inputs, reuse)
    segments = segments or (yield from warpSegmentsSteps(inputs, options, result, leftOut))
    overlaps = yield from overlapSteps(segments)
    built = yield from _buildSteps(inputs, result, options, segments.warped, overlaps)
    checkOutputs(scene, inputs, reuse)  # again: nodes may have been filled in a pause
    with SceneTransaction(scene, batch=False) as transaction:
        put = {}
        for kind, node in built.items():
            put[kind] = transaction.put(node, getattr(reuse, kind))
            yield from transaction.pause()
        nodes = OutputNodes(**put)
        _setRoles(transaction, nodes, inputs)
        yield from transaction.pause()
        displayResults(transaction, scene, nodes, inputs)
        yield from transaction.pause()
        putRecord(transaction, scene, nodes, inputs, result, overlaps)
        yield from transaction.pause()
        members = [node for node in _present(nodes) if transaction.isNew(node)]
        if options.showMovingTransformed:
            members += yield from showPairSteps(transaction, scene, inputs, nodes.transform, leftOut)
        folderItem = _intoFolder(transaction, scene, members, _runName(inputs))
    return RegistrationOutputs(nodes, folderItem, result, inputs, RunRecord(transaction), overlaps)


def _present(nodes: OutputNodes) -> list[Any]:
    return [getattr(nodes, kind) for kind in OUTPUT_KINDS if getattr(nodes, kind) is not None]


def _runName(inputs: InputNodes) -> str:
    return f"{inputs.moving.GetName()} to {inputs.fixed.GetName()}"


# -- building, outside the scene ----------------------------------------------------------------------


def _buildSteps(
    inputs: InputNodes,
    result: RegistrationResult,
    options: OutputOptions,
    warped: SegmentLayers | None,
    overlaps: tuple[Overlap, ...],
) -> Generator[None, None, dict[str, Any]]:
    """The wanted nodes by kind, in no scene. Fields and voxels are the result's own memory, not copied."""
    run, fixed, moving = _runName(inputs), inputs.fixed.GetName(), inputs.moving.GetName()
    grid = result.fixed_grid
    makers: dict[str, Callable[[], Generator[None, None, Any]]] = {
        "transform": lambda: gridTransformNodeSteps(result.displacement_field_mm, grid, run, share=True),
        "inverseTransform": lambda: gridTransformNodeSteps(
            result.inverse_displacement_field_mm, result.moving_grid, f"{fixed} to {moving}", share=True
        ),
        "affine": lambda: _atOnce(affineTransformNode(result.affine_ras, f"{run} (affine)")),
        "warpedVolume": lambda: _atOnce(
            volumeFromImage(Image(result.warped, grid, moving), f"{moving} warped", share=True)
        ),
        "warpedSegmentation": lambda: _warpedSteps(inputs.movingSegmentation, warped),
        "jacobian": lambda: jacobianSteps(result.jacobian_determinant, grid, f"{run} (log2 Jacobian)"),
        "folds": lambda: foldsSteps(result.jacobian_determinant, grid, f"{run} (folds)"),
        "resultsTable": lambda: resultsTableSteps(result, overlaps, f"{run} (results)"),
    }
    wanted = {kind for kind in OUTPUT_KINDS if getattr(options, kind)}
    if inputs.movingSegmentation is None:
        wanted.discard("warpedSegmentation")
    built = {}
    for kind in OUTPUT_KINDS:
        if kind in wanted:
            built[kind] = yield from makers[kind]()
            yield
    return built


def _atOnce(node: Node) -> Generator[None, None, Any]:
    yield from ()
    return node


def _warpedSteps(moving: Any, warped: SegmentLayers | None) -> Generator[None, None, Any]:
    assert warped is not None  # whoever wants warped segments has them carried
    return (yield from segmentationSteps(warped, f"{moving.GetName()} warped", like=moving))


# -- inside the scene -----------------------------------------------------------------------------------


def _setRoles(transaction: SceneTransaction, nodes: OutputNodes, inputs: InputNodes) -> None:
    """Every output says what it is and refers to the two volumes; for the inverse their parts are exchanged."""
    for kind in OUTPUT_KINDS:
        node = getattr(nodes, kind)
        if node is None:
            continue
        transaction.setAttribute(node, RESULT_ATTRIBUTE, kind)
        inverse = node is nodes.inverseTransform
        fixed, moving = (inputs.moving, inputs.fixed) if inverse else (inputs.fixed, inputs.moving)
        transaction.setReference(node, FIXED_ROLE, fixed)
        transaction.setReference(node, MOVING_ROLE, moving)
    for name, role in INPUT_ROLES.items():
        if nodes.transform is not None and getattr(inputs, name) is not None:
            transaction.setReference(nodes.transform, role, getattr(inputs, name))


def _intoFolder(transaction: SceneTransaction, scene: Scene, nodes: list[Any], name: str) -> int:
    """A new subject-hierarchy folder with ``nodes``; its item, or 0 if there are no nodes."""
    if not nodes:
        return 0
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    folder = hierarchy.CreateFolderItem(hierarchy.GetSceneItemID(), _freeName(hierarchy, f"Registration: {name}"))
    transaction.noteFolder(hierarchy, folder)
    for node in nodes:
        placeUnder(hierarchy, folder, node)
    return int(folder)


def _freeName(hierarchy: Any, name: str) -> str:
    """``name``, numbered if the hierarchy has it already."""
    free, number = name, 1
    while hierarchy.GetItemChildWithName(hierarchy.GetSceneItemID(), free) != hierarchy.GetInvalidItemID():
        number += 1
        free = f"{name} ({number})"
    return free
