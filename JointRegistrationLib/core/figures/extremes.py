"""Figures that speak against a result by themselves: no joint changes so much, and no good inverse is so far off."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

#: How many times smaller or larger the moving anatomy may be at a point.
LEAST_TIMES, MOST_TIMES = 0.1, 10.0
#: How far a round trip through both maps may miss.
MOST_INVERSE_ERROR_MM = 1.0


@dataclass(frozen=True)
class Extremes:
    """What is beyond the limits; None where all is within them.

    Args:
        volume_times: least and greatest Jacobian determinant.
        inverse_error_mm: the greatest error of the inverse.
    """

    volume_times: tuple[float, float] | None = None
    inverse_error_mm: float | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """A sentence for each."""
        notes = []
        if self.volume_times is not None:
            low, high = self.volume_times
            limits = f"{LEAST_TIMES:g} to {MOST_TIMES:g}"
            notes.append(f"Look closely: volumes change {low:.2g} to {high:.2g} times, more than {limits}.")
        if self.inverse_error_mm is not None:
            error, limit = f"{self.inverse_error_mm:.2g} mm", f"{MOST_INVERSE_ERROR_MM:g} mm"
            notes.append(f"Look closely: the inverse is up to {error} off, more than {limit}.")
        return tuple(notes)


def find_extremes(jacobian_determinant: npt.NDArray[Any], inverse_error_max_mm: float) -> Extremes:
    """Find what of a result is beyond the limits; a figure that is not known (nan) is not.

    Args:
        jacobian_determinant: of the map, of any shape; folds (0 and less) are not counted here but by themselves.
        inverse_error_max_mm: the greatest error of a round trip.
    """
    low, high = float(jacobian_determinant.min()), float(jacobian_determinant.max())
    beyond = 0 < low < LEAST_TIMES or high > MOST_TIMES
    return Extremes(
        volume_times=(low, high) if beyond else None,
        inverse_error_mm=inverse_error_max_mm if inverse_error_max_mm > MOST_INVERSE_ERROR_MM else None,
    )
