"""Refine further: a run that goes on from the map of an earlier one, into the same nodes.

Example::

    first = registerVolumes(scene, nodes)
    second = refineFurther(scene, first, RegistrationConfig(method="vsvf-opt"))
    discard(scene, second.record)  # the nodes hold the first run's results again
    discard(scene, first.record)  # and now they are gone
"""

from __future__ import annotations

import dataclasses
from typing import Any

from JointRegistrationLib.core.config import RegistrationConfig
from JointRegistrationLib.core.errors import InputError

from .logic import registerVolumes
from .publish import InputNodes, OutputNodes, OutputOptions, RegistrationOutputs
from .translation import _

#: Methods that can go on from a map; the others do not deform.
REFINING_METHODS = ("avsm", "vsvf-opt", "lddmm-opt")
#: Inputs that steer a run, and that a person may add or change once its result is seen.
_GUIDES = ("fixedMask", "movingMask", "fixedMaskSegment", "movingMaskSegment", "fixedLandmarks", "movingLandmarks")


def refineFurther(
    scene: Any,
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
        The run; :func:`.undo.discard` of its record brings the earlier results back.

    Raises:
        InputError: the run left no transform, or it is no longer in the scene.
        ConfigError: for a method that does not deform.
        RegistrationCancelled, ResourceError: from the runner; the scene is as it was.
    """
    nodes, reuse = furtherNodes(scene, outputs)
    arguments.setdefault("options", furtherOptions(outputs))
    return registerVolumes(scene, nodes, config, reuse=reuse, **arguments)


def furtherNodes(
    scene: Any, outputs: RegistrationOutputs, chosen: InputNodes | None = None
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
