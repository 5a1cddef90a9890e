"""Which parameters a stage trains, and what it takes over from another run's weights."""

from __future__ import annotations

from pathlib import Path

import torch

from .. import checkpoint
from ..errors import CheckpointError
from ..networks.model import AVSM
from ..networks.weights import ARCHITECTURE

#: Beginnings of the names of the parameters that a stage trains.
PARTS = {"affine": ("affine.",), "vsvf": ("momentum.",), "joint": ("affine.", "momentum.")}


def trained_parameters(model: AVSM, stage: str) -> dict[str, torch.nn.Parameter]:
    """The parameters that ``stage`` changes, by name; the others are frozen."""
    parts = PARTS[stage]
    chosen = {}
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith(parts))
        if parameter.requires_grad:
            chosen[name] = parameter
    return chosen


def load_initial_weights(model: AVSM, path: Path) -> None:
    """Take the parts of an AVSM weights file that its own run trained.

    A file of stage ``affine`` gives the affine network only, one of ``vsvf`` the momentum network
    only, so that two of them can be joined.
    """
    header, tensors = checkpoint.read_tensors(path)
    if header.architecture != ARCHITECTURE:
        raise CheckpointError(f"{path}: these weights are for {header.architecture!r}, but {ARCHITECTURE!r} is needed")
    part = header.figures.get("trained", ["affine.", "momentum."])
    own = model.state_dict()
    wanted = {name: value for name, value in tensors.items() if name.startswith(tuple(part))}
    checkpoint.fit_tensors(model, {**own, **wanted}, path)
