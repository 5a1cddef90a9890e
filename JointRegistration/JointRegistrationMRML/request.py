"""The console's named arguments as what a run takes."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from JointRegistrationLib.core.config import RegistrationConfig
from JointRegistrationLib.core.errors import InputError

from .publish import InputNodes, OutputNodes, OutputOptions

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
    """What the arguments of ``JointRegistrationLogic.register`` ask for.

    Args:
        fixedVolume, movingVolume: scalar volume nodes.
        config: a ``RegistrationConfig``, or None for the defaults.
        arguments: ``device``; further input nodes, by their names in ``InputNodes``; nodes for results, see
            :data:`OUTPUT_ARGUMENTS`; ``options`` and ``reuse``, as ``logic.registerVolumes`` takes them;
            ``runner``.

    Raises:
        InputError: for an argument that is not known.
    """
    known = {"device", "options", "reuse", "runner", *_INPUT_ARGUMENTS, *OUTPUT_ARGUMENTS}
    unknown = sorted(set(arguments) - known)
    if unknown:
        raise InputError(f"register: unknown argument {unknown[0]!r}; known are {', '.join(sorted(known))}")
    config = config or RegistrationConfig()
    if arguments.get("device") is not None:
        config = dataclasses.replace(config, device=arguments["device"])
    inputs = {name: arguments[name] for name in _INPUT_ARGUMENTS & set(arguments)}
    named = {kind: arguments[name] for name, kind in OUTPUT_ARGUMENTS.items() if arguments.get(name) is not None}
    reuse = dataclasses.replace(arguments.get("reuse") or OutputNodes(), **named)
    further = {name: arguments[name] for name in ("runner",) if name in arguments}
    return Request(InputNodes(fixedVolume, movingVolume, **inputs), config, arguments.get("options"), reuse, further)
