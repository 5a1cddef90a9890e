"""Which knee an image shows, the right or the left, by a small network of its own.

The network gives each image on a right knee's canonical lattice a number g. On a left knee's lattice the
array is the mirror image, and the log odds of "right" are g(right lattice) - g(left lattice): a mirrored
image gets exactly the opposite answer, whatever the network has learnt. Trained by
Testing/Tools/train_side.py; what it reaches stands in docs/method.md.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from ..core.geometry import Grid
from ..core.structures import SideGuess
from . import checkpoint
from .blocks import LEAK, Conv, fold
from .predict import canonical_lattice, on_lattice

ARCHITECTURE = "knee-side"
SIDE_WEIGHTS = Path(__file__).parent.parent / "weights" / "side.safetensors"
#: The lattice that the network sees: 4.4 x 4.4 x 4 mm.
LATTICE_IJK = (32, 32, 28)
#: Fields of view, as shares of the canonical one, that must agree.
VIEWS = (0.85, 1.0, 1.15)
#: Log odds, the least of all views, from which the networks are run for that side only.
LIKELY = 1.0


class SideNet(nn.Module):
    """Log odds that images (N, 1, D, H, W) in [0, 1] on the right knee's lattice show a right knee."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            Conv(8, 16, leak=LEAK, norm="group"),
            Conv(16, 32, stride=2, leak=LEAK, norm="group"),
            Conv(32, 32, leak=LEAK, norm="group", residual=True),
            Conv(32, 64, stride=2, leak=LEAK, norm="group"),
            Conv(64, 64, leak=LEAK, norm="group", residual=True),
        )
        self.output = nn.Linear(64, 1)

    def forward(self, image: Tensor) -> Tensor:
        """(N,), of opposite sign for the mirrored image."""
        both = torch.cat([image, image.flip(2)])
        pooled = self.features(fold(2 * both - 1)).mean(dim=(2, 3, 4))
        odds: Tensor = self.output(pooled)[:, 0]
        right, left = odds.chunk(2)
        return right - left


@torch.no_grad()
def detect_side(model: SideNet, image: Tensor, grid: Grid) -> SideGuess:
    """Tell a left knee from a right one.

    Args:
        model: in evaluation mode, on the image's device.
        image: (1, 1, D, H, W), normalised to [0, 1].
        grid: its lattice, whose orientation must be right.
    """
    views = []
    for share in VIEWS:
        lattice = canonical_lattice(grid, LATTICE_IJK)
        matrix = lattice.ijk_to_ras.copy()
        matrix[:3, :3] *= share
        matrix[:3, 3] += (1 - share) * (lattice.center_ras - lattice.ijk_to_ras[:3, 3])
        views.append(on_lattice(image, grid, Grid.from_ijk_to_ras(LATTICE_IJK, matrix)))
    odds = [float(value) for value in model(torch.cat(views))]
    side = "right" if sum(odds) >= 0 else "left"
    return SideGuess(side, max(0.0, min(odds if side == "right" else [-value for value in odds])))


def load_side_model(path: Path | None = None, device: torch.device | str = "cpu") -> SideNet:
    """The trained network of the package, or of ``path``, in evaluation mode.

    Raises:
        CheckpointError: if the file is missing, damaged or changed.
    """
    return checkpoint.load_network(path or SIDE_WEIGHTS, ARCHITECTURE, lambda _: SideNet(), device)[0]
