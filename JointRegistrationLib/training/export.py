"""From the runs of several stages to one weights file for the package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..core.serialization import from_dict
from ..files.output import atomic_file
from ..networks import checkpoint, segmenter
from ..networks.model import AVSM, ModelConfig
from ..networks.segmenter import Segmenter, SegmenterConfig
from ..networks.weights import checksum_file
from .parts import PARTS, SEGMENTER_PARTS, load_initial_weights
from .provenance import asdict_json, current_commit


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
    with atomic_file(checksum_file(output)) as temporary:
        temporary.write_text(f"{digest}  {output.name}\n")
    return digest


def _network(header: checkpoint.Header) -> tuple[AVSM | Segmenter, tuple[str, ...]]:
    """An untrained network as the header describes it, and the beginnings of its parts' names."""
    if header.architecture == segmenter.ARCHITECTURE:
        return Segmenter(from_dict(SegmenterConfig, header.configuration)), SEGMENTER_PARTS["all"]
    return AVSM(from_dict(ModelConfig, header.configuration)), PARTS["joint"]
