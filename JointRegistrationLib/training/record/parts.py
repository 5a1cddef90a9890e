"""Which parameters a stage trains, and what it takes over from another run's weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn

from ...core.serialization import from_dict
from ...files.output import atomic_file
from ...networks import checkpoint, segmenter
from ...networks.model import AVSM, ModelConfig
from ...networks.segmenter import Segmenter, SegmenterConfig
from .provenance import asdict_json, current_commit

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
    header, tensors = checkpoint.read_tensors(path, architecture)
    parts = tuple(header.figures.get("trained", everything))
    wanted = {name: value for name, value in tensors.items() if name.startswith(parts)}
    checkpoint.fit_tensors(model, {**model.state_dict(), **wanted}, path)


def export(
    parts: list[Path], output: Path, *, data: str = "", figures: dict[str, Any] | None = None, half: bool = True
) -> str:
    """Join weights files, later ones winning, each giving what its run trained; write ``output`` and its checksum.

    Args:
        parts: e.g. the best weights of an affine and of a vSVF run; the last one's configuration counts.
        output: the new file; its checksum goes beside it.
        data: what the parts were trained on, in a sentence.
        figures: measurements to keep in the header.
        half: store float16.

    Returns:
        SHA-256 of the file.

    Raises:
        CheckpointError: if a part cannot be read or does not fit.
    """
    headers = [checkpoint.read_header(part) for part in parts]
    architecture = headers[-1].architecture
    model, everything = _network(headers[-1])
    for part in parts:
        load_initial_weights(model, part, architecture, everything)
    history = [{name: h.figures.get(name) for name in ("run", "step", "trained")} for h in headers]
    header = checkpoint.Header(
        architecture, asdict_json(model.config), data, current_commit(), {"history": history, **(figures or {})}
    )
    digest = checkpoint.save_weights(output, model, header, half=half)
    with atomic_file(checkpoint.checksum_file(output)) as temporary:
        temporary.write_text(f"{digest}  {output.name}\n")
    return digest


def _network(header: checkpoint.Header) -> tuple[AVSM | Segmenter, tuple[str, ...]]:
    """An untrained network as the header describes it, and the beginnings of its parts' names."""
    if header.architecture == segmenter.ARCHITECTURE:
        return Segmenter(from_dict(SegmenterConfig, header.configuration)), SEGMENTER_PARTS["all"]
    return AVSM(from_dict(ModelConfig, header.configuration)), PARTS["joint"]
