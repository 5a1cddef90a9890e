"""Bones and cartilages as they are found in an image: their numbers, what is known of them, and of which knee it is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .image import Image

#: The trained network that finds them; beside it lies a file with its checksum.
SEGMENTER_WEIGHTS = Path(__file__).parent.parent / "weights" / "segmenter.safetensors"
#: Numbers in the label map, by class: those of the Osteoarthritis Initiative's maps, and 10 for a half of what they
#: have in one (7 to 9 are lesions there).
LABELS = {
    "femur": 1,
    "femoral cartilage": 2,
    "tibia": 3,
    "medial tibial cartilage": 4,
    "patella": 5,
    "patellar cartilage": 6,
    "lateral tibial cartilage": 10,
}
#: Below this confidence a structure is worth a look before it is used.
UNSURE = 0.8
#: Log odds from which two images of different sides are refused.
CERTAIN = 3.0


@dataclass(frozen=True)
class SideGuess:
    """Which knee an image shows.

    Args:
        side: ``"right"`` or ``"left"``: the likelier one.
        log_odds: of ``side``, the least of all views; 0 if the views disagree.
    """

    side: str
    log_odds: float

    @property
    def certain(self) -> bool:
        """Return whether to refuse another knee because of it."""
        return self.log_odds >= CERTAIN


@dataclass(frozen=True)
class Segmentation:
    """What was found in one image.

    Args:
        labels: uint8 on the image's own grid, numbered as in :data:`LABELS`, 0 elsewhere.
        confidence: of each structure, 0 to 1: the Dice that the network expects of it; 0 if it was not found.
        side: which knee it is, by where its medial and its lateral tibial cartilage lie; log odds 0 if unknown.
    """

    labels: Image
    confidence: dict[str, float]
    side: SideGuess

    @property
    def unsure(self) -> tuple[str, ...]:
        """Structures that are missing, or whose confidence is low."""
        return tuple(name for name, value in self.confidence.items() if value < UNSURE)
