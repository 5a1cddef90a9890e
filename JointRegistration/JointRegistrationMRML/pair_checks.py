"""What is wrong or suspicious about two volumes together: sides, overlap, memory."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from JointRegistrationLib.config import RegistrationConfig
from JointRegistrationLib.errors import ResourceError
from JointRegistrationLib.geometry import transform_points
from JointRegistrationLib.image import MIN_OVERLAP
from JointRegistrationLib.plan import estimate_plan, low_memory

from .problems import CENTRE, ERROR, RESOLUTION, WARNING, Problem, Remedy
from .publish import InputNodes
from .world import fromWorld, ownGrid, toWorld

#: Below this share of common field of view a run may still work, but is likely to begin wrongly.
_LITTLE_OVERLAP = 0.25
_HULL_SAMPLES = 12


def pairProblems(nodes: InputNodes, config: RegistrationConfig, below: Any) -> Iterator[Problem]:
    """Problems of two usable volumes; ``below`` is a transform node that does not count as above them."""
    yield from _sideProblems(nodes, config)
    guided = nodes.fixedLandmarks is not None or config.affine.initialization in ("center", "moments")
    if nodes.initialTransform is not None and not nodes.initialTransform.IsTransformToWorldLinear():
        name = nodes.initialTransform.GetName()
        yield Problem(
            ERROR, f"{name} is not linear: choose a linear initial transform, or put the moving volume under it."
        )
        return
    share = _overlap(nodes, below)
    fixed, moving = nodes.fixed.GetName(), nodes.moving.GetName()
    remedy = Remedy(CENTRE, "Centre the volumes")
    if share < MIN_OVERLAP and not guided:
        yield Problem(ERROR, f"{moving} and {fixed} do not overlap: bring them together first.", remedy)
    elif share < _LITTLE_OVERLAP and not guided:
        yield Problem(
            WARNING,
            f"{moving} covers only {100 * share:.0f} % of {fixed}: the run may begin in the wrong place.",
            remedy,
        )


def _overlap(nodes: InputNodes, below: Any) -> float:
    """Share of the fixed field of view that lies in the moving one, all transforms above them included."""
    axis = np.linspace(0.0, 1.0, _HULL_SAMPLES)
    unit = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    points = toWorld(nodes.fixed, transform_points(ownGrid(nodes.fixed).unit_to_ras, unit), below)
    if nodes.initialTransform is not None:
        points = fromWorld(nodes.initialTransform, points, None, itself=True)
    inside = transform_points(ownGrid(nodes.moving).ras_to_unit, fromWorld(nodes.moving, points, below))
    return float(np.all((inside >= 0) & (inside <= 1), axis=1).mean())


def _sideProblems(nodes: InputNodes, config: RegistrationConfig) -> Iterator[Problem]:
    fixed, moving = _side(nodes.fixed), _side(nodes.moving)
    if fixed and moving and fixed != moving:
        yield Problem(
            WARNING,
            f"{nodes.fixed.GetName()} is called a {fixed} knee and {nodes.moving.GetName()} a {moving} one: "
            "a left knee cannot be laid onto a right one.",
        )
    for node, side in ((nodes.fixed, fixed), (nodes.moving, moving)):
        if side and config.network.side in ("left", "right") and config.network.side != side:
            yield Problem(
                WARNING, f"{node.GetName()} is called a {side} knee, but the settings say {config.network.side}."
            )


_SIDE_WORDS = {"left": "left", "lt": "left", "right": "right", "rt": "right"}
_SIDE_LETTERS = {"l": "left", "r": "right"}


def _side(node: Any) -> str:
    """The side that a volume's attributes or name speak of; empty if none or both."""
    attributes = [name for name in (node.GetAttributeNames() or ()) if "laterality" in name.lower()]
    said = {_SIDE_LETTERS.get((node.GetAttribute(name) or "").strip().lower()[:1], "") for name in attributes} - {""}
    if not said:
        words = [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+|\d+", node.GetName() or "")]
        said = {_SIDE_WORDS[word] for word in words if word in _SIDE_WORDS}
        if not said:  # a letter alone means a side only beside the joint
            beside = {word for index, word in enumerate(words) if "knee" in words[max(index - 1, 0) : index + 2]}
            said = {_SIDE_LETTERS[word] for word in beside if word in _SIDE_LETTERS}
    return said.pop() if len(said) == 1 else ""


def memoryProblems(
    nodes: InputNodes, config: RegistrationConfig, availableBytes: int | None, device: str
) -> Iterator[Problem]:
    """Whether the run fits into the free memory of where it will run; nothing if that is not known."""
    if availableBytes is None:
        return
    grids = (ownGrid(nodes.fixed), ownGrid(nodes.moving))
    needed = estimate_plan(*grids, config, device).memory_bytes
    if needed <= availableBytes:
        return
    text = f"About {needed / 1e9:.1f} GB of memory are needed, but {availableBytes / 1e9:.1f} GB are free"
    try:
        remedy = Remedy(RESOLUTION, "Reduce the resolution", low_memory(config, grids, availableBytes, device))
    except ResourceError:
        yield Problem(WARNING, f"{text}: crop the volumes, or close other programs.")
    else:
        yield Problem(WARNING, f"{text}: reduce the resolution, or close other programs.", remedy)
