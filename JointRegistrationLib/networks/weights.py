"""The trained networks that come with the package."""

from __future__ import annotations

from pathlib import Path

import torch

from ..core.errors import CheckpointError, ConfigError
from ..core.serialization import from_dict
from . import checkpoint
from .model import AVSM, ModelConfig

ARCHITECTURE = "avsm"
#: Weights, and beside them a file with the suffix ``.sha256`` that holds their checksum.
DEFAULT_WEIGHTS = Path(__file__).parent.parent / "weights" / "avsm.safetensors"


def load_model(path: Path | None = None, device: torch.device | str = "cpu") -> tuple[AVSM, checkpoint.Header]:
    """A trained AVSM in evaluation mode, and what is known about it.

    Args:
        path: a weights file; None for the one of the package. If ``path`` with the suffix
            ``.sha256`` added exists, the file must have that checksum.
        device: where to compute.

    Raises:
        CheckpointError: if the file is missing, damaged, changed, or not of this architecture.
    """
    path = path or DEFAULT_WEIGHTS
    header, tensors = checkpoint.read_tensors(path, expected_checksum(path))
    if header.architecture != ARCHITECTURE:
        raise CheckpointError(f"{path}: these weights are for {header.architecture!r}, but {ARCHITECTURE!r} is needed")
    try:
        config = from_dict(ModelConfig, header.configuration)
    except ConfigError as error:
        raise CheckpointError(f"{path}: made by another version of this program ({error}); update it") from error
    model = AVSM(config)
    checkpoint.fit_tensors(model, tensors, path)
    return model.to(device).eval(), header


def checksum_file(path: Path) -> Path:
    """Return where the checksum of a weights file is kept."""
    return path.with_name(f"{path.name}.sha256")


def expected_checksum(path: Path) -> str | None:
    """Read the checksum file of a weights file; None if there is no such file."""
    beside = checksum_file(path)
    return beside.read_text(errors="replace").partition(" ")[0].strip() if beside.exists() else None
