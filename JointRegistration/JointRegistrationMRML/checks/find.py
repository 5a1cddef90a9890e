"""What speaks against a run, found before it starts: from headers and a few voxels, in milliseconds.

Everything here the run itself would notice too, but later. What only the voxels can tell (which knee it
is, by its anatomy) is checked in the run.
"""

from __future__ import annotations

from JointRegistrationLib.core.config import RegistrationConfig

from ..mrml import TransformNode
from ..run.registration_nodes import InputNodes
from ..translation import _
from .guides import landmarkProblems, maskProblems, segmentationProblems
from .pair import memoryProblems, pairProblems
from .problems import ERROR, Problem
from .volumes import volumeProblems


def findProblems(
    nodes: InputNodes,
    config: RegistrationConfig,
    availableMemoryBytes: int | None = None,
    *,
    leftOut: TransformNode | None = None,
    device: str = "cpu",
) -> list[Problem]:
    """Find what is wrong or suspicious about the inputs of a run, errors first.

    Args:
        nodes: the run's nodes; volumes may still be None.
        config: method and settings.
        availableMemoryBytes: free memory where it will run; None if not known.
        leftOut: the transform node that will be given the result, if one is reused: it does not count as
            standing above the inputs.
        device: where it will run, for the estimate of memory.
    """
    problems = list(volumeProblems("fixed", nodes.fixed)) + list(volumeProblems("moving", nodes.moving))
    if nodes.fixed is not None and nodes.fixed is nodes.moving:
        problems.append(Problem(ERROR, _("Fixed and moving are the same volume: choose two.")))
    usable = not any(problem.severity == ERROR for problem in problems)
    if usable:
        problems += pairProblems(nodes, config, leftOut)
        problems += memoryProblems(nodes, config, availableMemoryBytes, device)
    problems += landmarkProblems(nodes)
    for which, mask, segment, volume in (
        ("fixed", nodes.fixedMask, nodes.fixedMaskSegment, nodes.fixed),
        ("moving", nodes.movingMask, nodes.movingMaskSegment, nodes.moving),
    ):
        problems += maskProblems(which, mask, segment, volume if usable else None)
    for what, node in (
        (_("fixed segmentation"), nodes.fixedSegmentation),
        (_("moving segmentation"), nodes.movingSegmentation),
    ):
        problems += segmentationProblems(what, node)
    return sorted(problems, key=lambda problem: problem.severity != ERROR)
