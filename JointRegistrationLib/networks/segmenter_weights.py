"""The trained segmenter that comes with the package."""

from __future__ import annotations

from pathlib import Path

import torch

from ..core.errors import CheckpointError, ConfigError
from ..core.serialization import from_dict
from . import checkpoint
from .segmenter import ARCHITECTURE, Segmenter, SegmenterConfig
from .weights import expected_checksum

SEGMENTER_WEIGHTS = Path(__file__).parent.parent / "weights" / "segmenter.safetensors"


def load_segmenter(path: Path | None = None, device: torch.device | str = "cpu") -> tuple[Segmenter, checkpoint.Header]:
    """A trained segmenter in evaluation mode, and what is known about it.

    Args:
        path: a weights file; None for the one of the package.
        device: where to compute.

    Raises:
        CheckpointError: if the file is missing, damaged, changed, or not of this architecture.
    """
    path = path or SEGMENTER_WEIGHTS
    header, tensors = checkpoint.read_tensors(path, expected_checksum(path))
    if header.architecture != ARCHITECTURE:
        raise CheckpointError(f"{path}: these weights are for {header.architecture!r}, but {ARCHITECTURE!r} is needed")
    try:
        config = from_dict(SegmenterConfig, header.configuration)
    except ConfigError as error:
        raise CheckpointError(f"{path}: made by another version of this program ({error}); update it") from error
    model = Segmenter(config)
    checkpoint.fit_tensors(model, tensors, path)
    return model.to(device).eval(), header
