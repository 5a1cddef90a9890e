"""Whether a run can work, and what it is likely to cost: from the nodes and settings, without running it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from JointRegistrationLib.core.errors import InputError, JointRegistrationError
from JointRegistrationLib.core.geometry import Grid
from JointRegistrationLib.core.plan import Plan, estimate_plan
from JointRegistrationLib.worker.messages import Ready
from JointRegistrationMRML.checks.find import findProblems
from JointRegistrationMRML.checks.problems import Problem
from JointRegistrationMRML.nodes.arrays import gridOf
from JointRegistrationMRML.nodes.world import ijkToRasOf
from JointRegistrationMRML.run.publish import checkOutputs, transformLeftOut
from JointRegistrationMRML.run.registration_nodes import OutputNodes

from ..inputs.outputs import anyWanted
from ..inputs.parameters import configFrom, inputNodes, nodesToReuse
from ..messages import Message
from ..text import _, duration, memory, sentence
from .machine import Speed, availableMemoryBytes


@dataclass(frozen=True)
class Judgement:
    """Sentences for the panel, and the estimate in words; what they are before anything was looked at."""

    messages: tuple[Message, ...] = ()
    estimate: str = _("given once both volumes are chosen")


def missingInputs(parameters: Any) -> list[str]:
    """Return what is not chosen yet, as sentences; these are no errors, but Register waits for them."""
    fixed, moving = parameters.fixedVolume, parameters.movingVolume
    missing = []
    if fixed is None:
        missing.append(_("Choose a fixed volume."))
    if moving is None:
        missing.append(_("Choose a moving volume."))
    if fixed is not None and fixed is moving:
        missing.append(_("Fixed and moving are the same volume: choose two."))
    if (parameters.fixedLandmarks is None) != (parameters.movingLandmarks is None):
        missing.append(_("Choose points for both images, or for none."))
    if not anyWanted(parameters):
        missing.append(_("Tick at least one result under Outputs."))
    return missing


def planFor(parameters: Any, device: str) -> Plan | None:
    """Estimate what the run will take; None while there is nothing to run."""
    fixed, moving = (_gridOf(volume) for volume in (parameters.fixedVolume, parameters.movingVolume))
    if fixed is None or moving is None:
        return None
    return estimate_plan(fixed, moving, configFrom(parameters), device, os.cpu_count() or 1)


def _gridOf(volume: Any) -> Grid | None:
    """The volume's own lattice; None if there is none, which is a problem that the checks name."""
    if volume is None or volume.GetImageData() is None:
        return None
    try:
        return gridOf(volume.GetName(), volume.GetImageData().GetDimensions(), ijkToRasOf(volume))
    except JointRegistrationError:
        return None


def deviceOf(parameters: Any, ready: Ready | None) -> str:
    """The device that a run would take, as far as it is known."""
    if parameters.device != "auto":
        return str(parameters.device)
    return "cpu" if ready is None else next(iter(ready.devices), "cpu")


def deviceText(parameters: Any, ready: Ready | None, missing: bool) -> str:
    """Name what a run would be computed on, or why that is not known.

    Args:
        parameters: the panel's.
        ready: what the worker says of itself; None before it is there.
        missing: whether something has to be installed first.
    """
    if ready is None:
        if missing:
            return _("What there is to compute on is known once PyTorch is installed.")
        return _("What there is to compute on is shown once the registration process has started.")
    best = next(iter(ready.devices.values()), "")
    if parameters.device == "auto":
        return best
    notFound = _("This device was not found. Automatic would take: {device}").format(device=best)
    return ready.devices.get(parameters.device, notFound)


def estimateText(plan: Plan | None, seconds: float | None) -> str:
    """The estimate in words."""
    if plan is None:
        return _("not known for these volumes")
    needed = _("about {memory} of memory").format(memory=memory(plan.memory_bytes))
    if seconds is None:
        return _("{memory}; the time is known after a first run on this device").format(memory=needed)
    return _("about {time} and {memory} of memory").format(time=duration(seconds), memory=memory(plan.memory_bytes))


def judge(parameters: Any, ready: Ready | None, speed: Speed, solve: Callable[[Problem], None]) -> Judgement:
    """Look for problems, and estimate.

    Args:
        parameters: the panel's.
        ready: what the worker says of itself; None before it is there.
        speed: of this computer.
        solve: called with a problem whose remedy a person wants.
    """
    device = deviceOf(parameters, ready)
    plan = planFor(parameters, device)
    estimate = estimateText(plan, None if plan is None else speed.seconds(plan, device))
    if parameters.fixedVolume is None or parameters.movingVolume is None:
        return Judgement()
    if missingInputs(parameters):
        return Judgement((), estimate)
    problems = findProblems(
        inputNodes(parameters),
        configFrom(parameters),
        availableMemoryBytes() if device == "cpu" else None,
        leftOut=transformLeftOut(inputNodes(parameters), nodesToReuse(parameters)),
        device=device,
    )
    messages = [*_outputMessages(parameters), *(_message(problem, solve) for problem in problems)]
    return Judgement(tuple(messages), estimate)


def _outputMessages(parameters: Any) -> Iterator[Message]:
    """What speaks against the nodes chosen for results, each with a way out."""
    scene, inputs = parameters.fixedVolume.GetScene(), inputNodes(parameters)
    good = OutputNodes()
    for kind, node in vars(nodesToReuse(parameters)).items():
        more = replace(good, **{kind: node})
        try:
            checkOutputs(scene, inputs, more)
        except InputError as error:
            free = partial(setattr, parameters, f"{kind}Node", None)
            yield Message("error", sentence(str(error)), _("Make a new node instead"), free)
        else:
            good = more


def _message(problem: Problem, solve: Callable[[Problem], None]) -> Message:
    if problem.remedy is None:
        return Message(problem.severity, problem.text)
    return Message(problem.severity, problem.text, problem.remedy.label, lambda: solve(problem))
