"""Take the way out that a problem offers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from JointRegistrationLib.core.config import RegistrationConfig
from JointRegistrationLib.core.errors import InputError

from ..mrml import Scene
from ..nodes.arrays import newNode, vtkMatrix
from ..nodes.world import fromWorld, ownGrid, toWorld
from ..run.registration_nodes import InputNodes
from ..scene.transaction import RunRecord, SceneTransaction
from .problems import RESOLUTION, Problem


@dataclass(frozen=True)
class Remedied:
    """What a remedy did: the configuration to use from now on, or the change of the scene, for ``undo.discard``."""

    config: RegistrationConfig | None = None
    record: RunRecord | None = None


def applyRemedy(scene: Scene, problem: Problem, nodes: InputNodes) -> Remedied:
    """Take the way out that a problem offers.

    "centre" puts a new transform directly above the moving nodes, which brings the middle of the moving
    volume to the middle of the fixed one; no voxel is changed, and ``undo.discard`` takes it back.
    "resolution" returns another configuration.

    Raises:
        InputError: if the problem offers no way out.
    """
    remedy = problem.remedy
    if remedy is None:
        raise InputError(f"there is no remedy for this: {problem.text}")
    if remedy.kind == RESOLUTION:
        return Remedied(config=remedy.config)
    return Remedied(record=_centre(scene, nodes))


def _centre(scene: Scene, nodes: InputNodes) -> RunRecord:
    fixed = toWorld(nodes.fixed, ownGrid(nodes.fixed).center_ras[None], None)
    if nodes.initialTransform is not None:
        fixed = fromWorld(nodes.initialTransform, fixed, None, itself=True)
    matrix = np.eye(4)
    matrix[:3, 3] = (fromWorld(nodes.moving, fixed, None) - ownGrid(nodes.moving).center_ras)[0]
    with SceneTransaction(scene) as transaction:
        built = newNode("vtkMRMLTransformNode", f"{nodes.moving.GetName()} centred on {nodes.fixed.GetName()}")
        built.SetMatrixTransformToParent(vtkMatrix(matrix))
        transform = transaction.put(built, None)
        parent = nodes.moving.GetParentTransformNode()
        transform.SetAndObserveTransformNodeID(None if parent is None else parent.GetID())
        for node in (nodes.moving, nodes.movingMask, nodes.movingLandmarks, nodes.movingSegmentation):
            if node is not None and node.GetParentTransformNode() is parent:
                transaction.setParentTransform(node, transform)
    return RunRecord(transaction)
