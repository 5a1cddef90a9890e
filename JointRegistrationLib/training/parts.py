"""Which parameters a stage trains, and what it takes over from another run's weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import nn

from ..core.errors import CheckpointError
from ..networks import checkpoint

#: Beginnings of the names of the parameters that a stage trains.
PARTS: dict[str, tuple[str, ...]] = {"affine": ("affine.",), "vsvf": ("momentum.",), "joint": ("affine.", "momentum.")}
#: ... and a part of the segmenter's training.
SEGMENTER_PARTS: dict[str, tuple[str, ...]] = {"trunk": ("trunk.",), "fine": ("fine.",), "all": ("trunk.", "fine.")}


def trained_parameters(model: nn.Module, parts: Sequence[str]) -> dict[str, nn.Parameter]:
    """The parameters that ``parts``, beginnings of their names, have, by name; the others are frozen."""
    chosen = {}
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith(tuple(parts)))
        if parameter.requires_grad:
            chosen[name] = parameter
    return chosen


def load_initial_weights(model: nn.Module, path: Path, architecture: str, everything: Sequence[str]) -> None:
    """Take the parts of a weights file that its own run trained.

    A file of stage ``affine`` gives the affine network only, one of ``vsvf`` the momentum network
    only, so that two of them can be joined.

    Args:
        model: receives them.
        path: the file.
        architecture: what it must be for.
        everything: beginnings of the names of all parts, for files that do not say what was trained.
    """
    header, tensors = checkpoint.read_tensors(path)
    if header.architecture != architecture:
        raise CheckpointError(f"{path}: these weights are for {header.architecture!r}, but {architecture!r} is needed")
    parts = tuple(header.figures.get("trained", everything))
    wanted = {name: value for name, value in tensors.items() if name.startswith(parts)}
    checkpoint.fit_tensors(model, {**model.state_dict(), **wanted}, path)
