"""Whether a result can be believed, from figures that need no labels. Imports no PyTorch.

The limits were fitted on pairs whose error is known, sound and spoilt (``Testing/Benchmarks/trust_pairs.py``,
docs/results.md).
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Limits:
    """Beyond what a result is doubtful; fitted by ``Testing/Benchmarks/trust_fit.py``.

    Args:
        local: least ``local_ncc_squared``.
        overlap: least ``overlap``.
        shrunk: least ``log2_low`` of images that match by less than ``matched``; two people's knees that match better
            differ by as much.
        crushed: least ``log2_low`` of any.
    """

    local: float = 0.38
    overlap: float = 0.75
    shrunk: float = -1.75
    matched: float = 0.6
    crushed: float = -2.75


LIMITS = Limits()


@dataclass(frozen=True)
class Evidence:
    """What is seen of a result without any label.

    Args:
        ncc: of the fixed image and the warped one, where both are.
        local_ncc: mean of the correlation in windows of about 13 mm, each by its structure in the fixed image; 0 where
            the warped one has none.
        local_ncc_squared: likewise of its square, which does not care for the sign.
        negative, unlike: share of the windows whose correlation is negative, and whose square is below 0.25.
        overlap: share of the middle of the fixed field of view (half of each axis) in which both images and masks are.
        log2_low, log2_high: 1st and 99th percentile of log2 of the Jacobian determinant.
    """

    ncc: float
    local_ncc: float
    local_ncc_squared: float
    negative: float
    unlike: float
    overlap: float
    log2_low: float
    log2_high: float

    @property
    def doubts(self) -> tuple[str, ...]:
        """Name what speaks against the result: of "unlike", "shrunk" and "overlap"."""
        return self.doubts_beyond(LIMITS)

    def doubts_beyond(self, limits: Limits) -> tuple[str, ...]:
        """:attr:`doubts` with other limits."""
        least_log2 = limits.shrunk if self.local_ncc_squared < limits.matched else limits.crushed
        beyond = {
            "unlike": self.local_ncc_squared < limits.local,
            "shrunk": self.log2_low < least_log2,
            "overlap": self.overlap < limits.overlap,
        }
        return tuple(name for name, doubtful in beyond.items() if doubtful)

    @property
    def notes(self) -> tuple[str, ...]:
        """A sentence for each of :attr:`doubts`, with what it may come from and what to do."""
        sentences = {
            "unlike": "Doubtful: small places of the two images do not match (local correlation squared "
            f"{self.local_ncc_squared:.2f}, less than {LIMITS.local:g}): another contrast, a start too far off, or "
            "noise. Give landmarks or a start, or take images of one kind.",
            "shrunk": f"Doubtful: one voxel in a hundred shrinks to {2.0**self.log2_low:.2g} of its volume or less, as "
            "when tissue is made to fit what is not there. Take --detail smooth, or a mask that leaves out what only "
            "one image shows.",
            "overlap": f"Doubtful: only {100 * self.overlap:.0f} % of the middle of the fixed image is seen in both; "
            "beyond that the map is a guess.",
        }
        return tuple(sentences[name] for name in self.doubts)

    def summary(self) -> dict[str, Any]:
        """As plain JSON values, rounded; None for what is not known."""
        return {name: round(value, 4) if math.isfinite(value) else None for name, value in asdict(self).items()}
