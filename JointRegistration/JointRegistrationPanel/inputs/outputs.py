"""The output rows of the panel: which results are wanted, and which nodes they go to."""

from __future__ import annotations

from typing import Any

from JointRegistrationMRML.nodes.transforms import FIXED_ROLE, MOVING_ROLE
from JointRegistrationMRML.run.registration_nodes import OUTPUT_KINDS

from .parameters import wants


def selectorOf(ui: Any, kind: str) -> Any:
    """The node selector of a result."""
    return getattr(ui, f"{kind}Selector")


def showWhatIsWanted(ui: Any, parameters: Any) -> None:
    """A node can be chosen for what is wanted only; warped segments need segments to be warped."""
    ui.warpedSegmentationCheckBox.setEnabled(parameters.movingSegmentation is not None)
    for kind in OUTPUT_KINDS:
        possible = kind != "warpedSegmentation" or parameters.movingSegmentation is not None
        selectorOf(ui, kind).setEnabled(possible and wants(parameters, kind))


def anyWanted(parameters: Any) -> bool:
    """Return whether the run would give anything."""
    possible = (kind for kind in OUTPUT_KINDS if kind != "warpedSegmentation" or parameters.movingSegmentation)
    return any(wants(parameters, kind) for kind in possible)


def forgetOtherPairs(parameters: Any) -> None:
    """Let go of nodes that hold the results of another pair: the next run makes new ones instead.

    A node that no run has written to has no roles, and stays as it was chosen.
    """
    for kind in OUTPUT_KINDS:
        node = getattr(parameters, f"{kind}Node")
        if node is None or node.GetNodeReferenceID(FIXED_ROLE) is None:
            continue
        of = {node.GetNodeReferenceID(FIXED_ROLE), node.GetNodeReferenceID(MOVING_ROLE)}
        volumes = (parameters.fixedVolume, parameters.movingVolume)
        inverse = kind == "inverseTransform"
        fixedRole, movingRole = (MOVING_ROLE, FIXED_ROLE) if inverse else (FIXED_ROLE, MOVING_ROLE)
        ids = [None if volume is None else volume.GetID() for volume in volumes]
        if None in of or ids != [node.GetNodeReferenceID(fixedRole), node.GetNodeReferenceID(movingRole)]:
            setattr(parameters, f"{kind}Node", None)
