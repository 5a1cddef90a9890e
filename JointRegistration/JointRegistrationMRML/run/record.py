"""The record of a run: a node of its scene that refers to the run's nodes, and holds what no other node does.

It is a ``vtkMRMLScriptedModuleNode`` that no list shows, saved with the scene. Under the roles ``input.NAME`` and
``output.KIND`` it refers to the nodes of :class:`.InputNodes` and :class:`.OutputNodes`. Its parameters are JSON, with
NaN as Python writes it: the fields of ``RegistrationResult`` that are no lattices (``config``, ``timings_s``,
``folds``, ...) by their names, ``overlaps``, texts of the inputs as ``input.NAME``, and the ``version`` that ran.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, fields
from typing import Any, get_type_hints

from JointRegistrationLib import __version__
from JointRegistrationLib.core.errors import JointRegistrationError
from JointRegistrationLib.core.result import RegistrationResult
from JointRegistrationLib.core.serialization import converted

from ..mrml import Scene, TransformNode, VolumeNode
from ..nodes.arrays import newNode, ownedList
from ..nodes.transforms import fixedToMovingGrid
from ..scene.transaction import SceneTransaction
from ..translation import _
from .registration_nodes import OUTPUT_KINDS, InputNodes, OutputNodes, Overlap

_CLASS = "vtkMRMLScriptedModuleNode"
#: The attribute by which scripted modules know their nodes. Not with the module's own name: the application takes the
#: first node of that name for the panel's parameters.
_ATTRIBUTE, _MODULE = "ModuleName", "JointRegistrationRun"
_LATTICES = {
    "fixed_grid", "moving_grid", "displacement_field_mm", "inverse_displacement_field_mm", "jacobian_determinant",
    "warped",
}  # fmt: skip
#: What a result says besides its lattices, with its types.
FIGURES = {name: kind for name, kind in get_type_hints(RegistrationResult).items() if name not in _LATTICES}
_TEXTS = {field.name for field in fields(InputNodes) if isinstance(field.default, str)}


@dataclass(frozen=True)
class FoundRun:
    """A run in a scene: its transform, its two volumes, and its record if there is one."""

    transform: TransformNode
    fixed: VolumeNode
    moving: VolumeNode
    record: Any = None

    @property
    def name(self) -> str:
        """For people."""
        return str(self.transform.GetName())


def runOf(transform: Any, fixed: Any, moving: Any, record: Any = None) -> FoundRun | None:
    """The run of these nodes; None unless the transform stores a grid with as many voxels as the fixed volume."""
    stored, image = fixedToMovingGrid(transform), fixed.GetImageData()
    if stored is None or image is None or image.GetDimensions() != stored.GetDisplacementGrid().GetDimensions():
        return None
    return FoundRun(transform, fixed, moving, record)


@dataclass(frozen=True)
class SavedRun:
    """What a scene says of a run.

    Args:
        inputs, nodes: its nodes that are still there.
        figures: fields of its ``RegistrationResult`` by name; those that are not known any more are left out.
        overlaps: of its segments.
    """

    inputs: InputNodes
    nodes: OutputNodes
    figures: Mapping[str, Any]
    overlaps: tuple[Overlap, ...] = ()


def putRecord(
    transaction: SceneTransaction,
    scene: Scene,
    nodes: OutputNodes,
    inputs: InputNodes,
    result: RegistrationResult,
    overlaps: tuple[Overlap, ...],
) -> None:
    """Record a run, as part of ``transaction``.

    A run into the transform of an earlier one takes over its record. Other results of earlier runs that it went to are
    no longer theirs.

    Args:
        transaction: takes everything back if a later step fails.
        scene: holds the nodes.
        nodes, inputs, result, overlaps: of the run.
    """
    given, taken = {node for node in vars(nodes).values() if node is not None}, None
    for record in recordsOf(scene):
        old = _outputsOf(record)
        if old.transform is not None and old.transform is nodes.transform:
            taken = record
            continue
        for kind, node in vars(old).items():
            if node in given:
                transaction.setReference(record, _outputRole(kind), None)
    record = _newRecord(inputs) if taken is None else transaction.changing(taken)
    values = {name: getattr(result, name) for name in FIGURES}
    _write(record, {**values, "overlaps": overlaps, "version": __version__}, nodes, inputs)
    if taken is None:
        transaction.put(record, None)


def recordsOf(scene: Scene) -> list[Any]:
    """The records in a scene, in its order."""
    return [node for node in ownedList(scene.GetNodesByClass(_CLASS)) if node.GetAttribute(_ATTRIBUTE) == _MODULE]


def findRecorded(scene: Scene) -> list[FoundRun]:
    """The runs in ``scene`` that have a record, and whose transform and volumes are still there."""
    found = []
    for record in recordsOf(scene):
        inputs, transform = _inputsOf(record), _outputsOf(record).transform
        if None not in (transform, inputs.fixed, inputs.moving):
            found.append(runOf(transform, inputs.fixed, inputs.moving, record))
    return [run for run in found if run is not None]


def readRecord(record: Any) -> SavedRun:
    """Read a record. What cannot be read of it is left out, and the figures' notes say so."""
    figures = _values(record, FIGURES)
    lost = FIGURES.keys() - figures
    if lost:
        text = _("{names}: saved by version {version} in a form that cannot be read")
        note = text.format(names=", ".join(sorted(lost)), version=record.GetParameter("version"))
        figures["notes"] = (*figures.get("notes", ()), note)
    overlaps = _values(record, {"overlaps": tuple[Overlap, ...]})
    return SavedRun(_inputsOf(record), _outputsOf(record), figures, **overlaps)


def recordedNodes(scene: Scene) -> set[Any]:
    """The results that records refer to."""
    return {node for record in recordsOf(scene) for node in vars(_outputsOf(record)).values() if node is not None}


def _newRecord(inputs: InputNodes) -> Any:
    record = newNode(_CLASS, f"{inputs.moving.GetName()} to {inputs.fixed.GetName()} (record)")
    record.SetAttribute(_ATTRIBUTE, _MODULE)
    record.SetHideFromEditors(True)
    return record


def _write(record: Any, values: dict[str, Any], nodes: OutputNodes, inputs: InputNodes) -> None:
    values |= {_inputRole(name): getattr(inputs, name) for name in _TEXTS}
    for name, value in values.items():
        record.SetParameter(name, json.dumps(value, default=_plain))
    roles = {_outputRole(kind): node for kind, node in vars(nodes).items()}
    roles |= {_inputRole(name): node for name, node in vars(inputs).items() if name not in _TEXTS}
    for role, node in roles.items():
        record.SetNodeReferenceID(role, None if node is None else node.GetID())


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else dataclasses.asdict(value)


def _values(record: Any, kinds: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters by name as what ``kinds`` says; without those that are missing or cannot be read."""
    found = {}
    for name, kind in kinds.items():
        with suppress(JointRegistrationError, ValueError, TypeError, RecursionError):
            found[name] = converted(kind, json.loads(record.GetParameter(name)), name)
    return found


def _outputsOf(record: Any) -> OutputNodes:
    return OutputNodes(**{kind: record.GetNodeReference(_outputRole(kind)) for kind in OUTPUT_KINDS})


def _inputsOf(record: Any) -> InputNodes:
    nodes = {field.name for field in fields(InputNodes)} - _TEXTS
    texts = _values(record, {_inputRole(name): str for name in _TEXTS})
    return InputNodes(
        **{name: record.GetNodeReference(_inputRole(name)) for name in nodes},
        **{name: texts.get(_inputRole(name), "") for name in _TEXTS},
    )


def _outputRole(kind: str) -> str:
    return f"output.{kind}"


def _inputRole(name: str) -> str:
    return f"input.{name}"
