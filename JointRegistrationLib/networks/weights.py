"""The trained networks that come with the package."""

from __future__ import annotations

from pathlib import Path

import torch

from ..core.serialization import from_dict
from ..core.structures import SEGMENTER_WEIGHTS
from . import checkpoint, segmenter
from .model import AVSM, ModelConfig
from .segmenter import Segmenter, SegmenterConfig

ARCHITECTURE = "avsm"
_FOLDER = Path(__file__).parent.parent / "weights"
#: Weights, and beside them a file that holds their checksum.
DEFAULT_WEIGHTS = _FOLDER / "avsm.safetensors"


def load_model(path: Path | None = None, device: torch.device | str = "cpu") -> tuple[AVSM, checkpoint.Header]:
    """AVSM, see :func:`.load_network`; ``path`` None for the package's own weights."""
    path = path or DEFAULT_WEIGHTS
    return checkpoint.load_network(path, ARCHITECTURE, lambda values: AVSM(from_dict(ModelConfig, values)), device)


def load_segmenter(path: Path | None = None, device: torch.device | str = "cpu") -> tuple[Segmenter, checkpoint.Header]:
    """The segmenter, likewise."""
    path = path or SEGMENTER_WEIGHTS
    return checkpoint.load_network(
        path, segmenter.ARCHITECTURE, lambda values: Segmenter(from_dict(SegmenterConfig, values)), device
    )
