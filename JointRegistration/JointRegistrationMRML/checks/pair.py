"""What is wrong or suspicious about two volumes together: sides, overlap, memory."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from JointRegistrationLib.core.config import RegistrationConfig
from JointRegistrationLib.core.errors import InputError, ResourceError
from JointRegistrationLib.core.figures.contrast import NEGATIVE, UNLIKE, kinds_correlation
from JointRegistrationLib.core.geometry import transform_points, unit_lattice
from JointRegistrationLib.core.image import MIN_OVERLAP
from JointRegistrationLib.core.plan import estimate_plan, low_memory

from ..mrml import Node, TransformNode
from ..nodes.transforms import checkStart
from ..nodes.volumes import imageFromVolume
from ..nodes.world import fromWorld, ownGrid, toWorld, worldTransform
from ..run.registration_nodes import InputNodes
from ..translation import _
from .problems import CENTRE, ERROR, RESOLUTION, WARNING, Problem, Remedy, sentence

#: Below this share of common field of view a run may still work, but is likely to begin wrongly.
_LITTLE_OVERLAP = 0.25
_HULL_SAMPLES = 12


def pairProblems(nodes: InputNodes, config: RegistrationConfig, leftOut: TransformNode | None) -> Iterator[Problem]:
    """Problems of two usable volumes; ``leftOut`` is a transform node that does not count as above them."""
    yield from _sideProblems(nodes, config)
    guided = nodes.fixedLandmarks is not None or config.affine.initialization in ("center", "moments")
    if nodes.startTransform is not None:
        guided = True
        try:
            checkStart(nodes.startTransform)
        except InputError as error:
            yield Problem(ERROR, sentence(error))
    if nodes.initialTransform is not None and not nodes.initialTransform.IsTransformToWorldLinear():
        text = _("{name} is not linear: choose a linear initial transform, or put the moving volume under it.")
        yield Problem(ERROR, text.format(name=nodes.initialTransform.GetName()))
        return
    share = _overlap(nodes, leftOut)
    names = {"fixed": nodes.fixed.GetName(), "moving": nodes.moving.GetName()}
    remedy = Remedy(CENTRE, _("Centre the volumes"))
    if share < MIN_OVERLAP and not guided:
        text = _("{moving} and {fixed} do not overlap: bring them together first.")
        yield Problem(ERROR, text.format(**names), remedy)
    elif share < _LITTLE_OVERLAP and not guided:
        text = _("{moving} covers only {percent} % of {fixed}: the run may begin in the wrong place.")
        yield Problem(WARNING, text.format(**names, percent=round(100 * share)), remedy)
    yield from _contrastProblems(nodes, leftOut)


def _overlap(nodes: InputNodes, leftOut: TransformNode | None) -> float:
    """Share of the fixed field of view that lies in the moving one, all transforms above them included."""
    unit = unit_lattice(_HULL_SAMPLES)
    points = toWorld(nodes.fixed, transform_points(ownGrid(nodes.fixed).unit_to_ras, unit), leftOut)
    if nodes.initialTransform is not None:
        points = fromWorld(nodes.initialTransform, points, None, itself=True)
    inside = transform_points(ownGrid(nodes.moving).ras_to_unit, fromWorld(nodes.moving, points, leftOut))
    return float(np.all((inside >= 0) & (inside <= 1), axis=1).mean())


def _contrastProblems(nodes: InputNodes, leftOut: TransformNode | None) -> Iterator[Problem]:
    """Say what :mod:`.contrast` finds; nothing where a volume would have to be resampled for it."""
    above = [worldTransform(node, leftOut) for node in (nodes.fixed, nodes.moving)]
    if any(transform is not None and transform.matrix is None for transform in above):
        return
    fixed, moving = (imageFromVolume(node, leftOut) for node in (nodes.fixed, nodes.moving))
    found = kinds_correlation(fixed, moving)
    if found < NEGATIVE:
        text = _(
            "{moving} looks like a negative of {fixed}: what is bright in one is dark in the other. Take images of one "
            "kind, or invert one of them."
        )
    elif found < UNLIKE:
        text = _(
            "{moving} and {fixed} hardly look alike: another contrast, or far out of place. Look at the result closely."
        )
    else:
        return
    yield Problem(WARNING, text.format(fixed=nodes.fixed.GetName(), moving=nodes.moving.GetName()))


def _sideProblems(nodes: InputNodes, config: RegistrationConfig) -> Iterator[Problem]:
    fixed, moving = _side(nodes.fixed), _side(nodes.moving)
    if fixed and moving and fixed != moving:
        text = (
            _("{fixed} is called a left knee and {moving} a right one: a left knee cannot be laid onto a right one.")
            if fixed == "left"
            else _(
                "{fixed} is called a right knee and {moving} a left one: a left knee cannot be laid onto a right one."
            )
        )
        yield Problem(WARNING, text.format(fixed=nodes.fixed.GetName(), moving=nodes.moving.GetName()))
    for node, side in ((nodes.fixed, fixed), (nodes.moving, moving)):
        if side and config.network.side in ("left", "right") and config.network.side != side:
            text = (
                _("{name} is called a left knee, but the settings say right.")
                if side == "left"
                else _("{name} is called a right knee, but the settings say left.")
            )
            yield Problem(WARNING, text.format(name=node.GetName()))


_SIDE_WORDS = {"left": "left", "lt": "left", "right": "right", "rt": "right"}
_SIDE_LETTERS = {"l": "left", "r": "right"}


def _side(node: Node) -> str:
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
    """Check whether the run fits into the free memory of where it will run; nothing if that is not known."""
    if availableBytes is None:
        return
    grids = (ownGrid(nodes.fixed), ownGrid(nodes.moving))
    needed = estimate_plan(*grids, config, device).memory_bytes
    if needed <= availableBytes:
        return
    try:
        remedy = Remedy(RESOLUTION, _("Reduce the resolution"), low_memory(config, grids, availableBytes, device))
        text = _(
            "About {needed} GB of memory are needed, but {free} GB are free: reduce the resolution, or close other "
            "programs."
        )
    except ResourceError:
        remedy = None
        text = _(
            "About {needed} GB of memory are needed, but {free} GB are free: crop the volumes, or close other programs."
        )
    yield Problem(WARNING, text.format(needed=f"{needed / 1e9:.1f}", free=f"{availableBytes / 1e9:.1f}"), remedy)
