"""One run in a scene: nodes to images, the runner, the result to nodes.

Example::

    outputs = registerVolumes(scene, InputNodes(fixed, moving, movingSegmentation=labels))
    outputs.nodes.warpedVolume, outputs.result.similarity_after
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from JointRegistrationLib.core.config import RegistrationConfig
from JointRegistrationLib.core.errors import InputError, RegistrationCancelled
from JointRegistrationLib.core.progress import CancelCheck, ProgressCallback
from JointRegistrationLib.core.settings import SETTINGS, camel_case, with_settings

from ..mrml import Scene
from ..translation import _
from .inputs import readInputs
from .publish import checkOutputs, publishResult
from .registration_nodes import InputNodes, OutputNodes, OutputOptions, RegistrationOutputs
from .runner import Runner, runInProcess

#: Share of the progress that the runner gets; the rest is making the nodes.
_RUNNER_SHARE = 0.95


def registerVolumes(
    scene: Scene,
    nodes: InputNodes,
    config: RegistrationConfig | None = None,
    *,
    options: OutputOptions | None = None,
    reuse: OutputNodes | None = None,
    runner: Runner = runInProcess,
    progress: ProgressCallback | None = None,
    cancelled: CancelCheck | None = None,
) -> RegistrationOutputs:
    """Register the moving volume to the fixed one and put the results into ``scene``, all or none.

    Args:
        scene: MRML scene that holds the nodes.
        nodes: fixed and moving volume, and what else there is.
        config: method and settings; defaults if None.
        options: which results are wanted.
        reuse: nodes to be given results instead of new ones.
        runner: what registers.
        progress: called with stage, fraction 0..1 and loss or None.
        cancelled: asked often; True ends the run.

    Raises:
        InputError: an input or output node cannot be used; nothing was run.
        RegistrationCancelled, ResourceError: from the runner; the scene is as it was.
    """
    reuse = reuse or OutputNodes()
    checkOutputs(scene, nodes, reuse)
    inputs = readInputs(nodes, reuse)
    result = runner(inputs, config or RegistrationConfig(), _scaled(progress), cancelled)
    if cancelled is not None and cancelled():
        raise RegistrationCancelled(_("the registration was cancelled; the scene is as it was"))
    if progress is not None:
        progress("publishing", _RUNNER_SHARE, None)
    outputs = publishResult(scene, nodes, result, options, reuse)
    if progress is not None:
        progress("done", 1.0, None)
    return outputs


def _scaled(progress: ProgressCallback | None) -> ProgressCallback | None:
    if progress is None:
        return None
    return lambda stage, fraction, loss: progress(stage, fraction * _RUNNER_SHARE, loss)


#: Methods that can go on from a map; the others do not deform.
REFINING_METHODS = ("avsm", "vsvf-opt", "lddmm-opt")
#: Inputs that steer a run, and that a person may add or change once its result is seen.
_GUIDES = ("fixedMask", "movingMask", "fixedMaskSegment", "movingMaskSegment", "fixedLandmarks", "movingLandmarks")


def refineFurther(
    scene: Scene,
    outputs: RegistrationOutputs,
    config: RegistrationConfig | None = None,
    **arguments: Any,
) -> RegistrationOutputs:
    """Refine a run's transform further; the results go to the same nodes.

    Args:
        scene: MRML scene of the run.
        outputs: the earlier run.
        config: method (one of :data:`REFINING_METHODS`) and settings; defaults if None.
        arguments: ``options``, ``runner``, ``progress``, ``cancelled`` as ``logic.registerVolumes`` takes them.

    Returns:
        The run; :func:`.transaction.discard` of its record brings the earlier results back.

    Raises:
        InputError: the run left no transform, or it is no longer in the scene.
        ConfigError: for a method that does not deform.
        RegistrationCancelled, ResourceError: from the runner; the scene is as it was.
    """
    nodes, reuse = furtherNodes(scene, outputs)
    arguments.setdefault("options", furtherOptions(outputs))
    return registerVolumes(scene, nodes, config, reuse=reuse, **arguments)


def furtherNodes(
    scene: Scene, outputs: RegistrationOutputs, chosen: InputNodes | None = None
) -> tuple[InputNodes, OutputNodes]:
    """The input nodes of a run that refines ``outputs``, and the nodes to be given its results.

    For a :class:`.job.RegistrationJob`; see :func:`refineFurther` for the errors. Results that were removed
    from the scene are made anew.

    Args:
        scene: MRML scene of the run.
        outputs: the earlier run.
        chosen: what is chosen by now: if its volumes are the run's, its masks and landmarks count instead of the run's.
    """
    transform = outputs.nodes.transform
    if transform is None or transform.GetScene() is not scene:
        raise InputError(
            _(
                "refine further: the transform of the earlier run is not in the scene any more; run the registration "
                "again"
            )
        )
    kinds = (field.name for field in dataclasses.fields(OutputNodes))
    there = {kind: node for kind in kinds if (node := getattr(outputs.nodes, kind)) is not None}
    reuse = OutputNodes(**{kind: node for kind, node in there.items() if node.GetScene() is scene})
    inputs = dataclasses.replace(outputs.inputs, startTransform=transform)
    if chosen is not None and (chosen.fixed, chosen.moving) == (inputs.fixed, inputs.moving):
        inputs = dataclasses.replace(inputs, **{name: getattr(chosen, name) for name in _GUIDES})
    return inputs, reuse


def furtherOptions(outputs: RegistrationOutputs) -> OutputOptions:
    """The results that the earlier run left are wanted again, and the moving volume stays where it is."""
    kinds = (field.name for field in dataclasses.fields(OutputNodes))
    return OutputOptions(**{kind: getattr(outputs.nodes, kind) is not None for kind in kinds})


#: Which result goes to the node that the console's argument names.
OUTPUT_ARGUMENTS = {
    "outputTransform": "transform",
    "outputInverseTransform": "inverseTransform",
    "outputAffine": "affine",
    "outputVolume": "warpedVolume",
    "outputSegmentation": "warpedSegmentation",
    "outputJacobian": "jacobian",
    "outputFolds": "folds",
    "outputTable": "resultsTable",
}
#: Which setting of the library's table the console's argument gives; it goes before ``config``.
SETTING_ARGUMENTS = {camel_case(name): name for name in SETTINGS}
_INPUT_ARGUMENTS = {field.name for field in dataclasses.fields(InputNodes)} - {"fixed", "moving"}


@dataclass(frozen=True)
class Request:
    """What to run. ``further`` is for ``logic.registerVolumes`` alone."""

    nodes: InputNodes
    config: RegistrationConfig
    options: OutputOptions | None
    reuse: OutputNodes
    further: dict[str, Any]


def makeRequest(fixedVolume: Any, movingVolume: Any, config: Any, arguments: dict[str, Any]) -> Request:
    """Make the request that the arguments of ``JointRegistrationLogic.register`` ask for.

    Args:
        fixedVolume, movingVolume: scalar volume nodes.
        config: a ``RegistrationConfig``, or None for the defaults.
        arguments: settings, see :data:`SETTING_ARGUMENTS`; further input nodes, by their names in ``InputNodes``;
            nodes for results, see :data:`OUTPUT_ARGUMENTS`; ``options`` and ``reuse``, as ``logic.registerVolumes``
            takes them; ``runner``.

    Raises:
        InputError: for an argument that is not known, or a setting that is out of range.
    """
    known = {*SETTING_ARGUMENTS, "options", "reuse", "runner", *_INPUT_ARGUMENTS, *OUTPUT_ARGUMENTS}
    unknown = sorted(set(arguments) - known)
    if unknown:
        raise InputError(f"register: unknown argument {unknown[0]!r}; known are {', '.join(sorted(known))}")
    settings = {name: arguments.get(argument) for argument, name in SETTING_ARGUMENTS.items()}
    config = with_settings(config or RegistrationConfig(), settings)
    inputs = {name: arguments[name] for name in _INPUT_ARGUMENTS & set(arguments)}
    named = {kind: arguments[name] for name, kind in OUTPUT_ARGUMENTS.items() if arguments.get(name) is not None}
    reuse = dataclasses.replace(arguments.get("reuse") or OutputNodes(), **named)
    further = {name: arguments[name] for name in ("runner",) if name in arguments}
    return Request(InputNodes(fixedVolume, movingVolume, **inputs), config, arguments.get("options"), reuse, further)
