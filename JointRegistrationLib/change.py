"""What a map does to volumes and how far it moves points, as statistics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

#: Edges of the histogram of log2 J: an eightfold change either way. What lies beyond is in the end bins.
LOG2_EDGES = np.linspace(-3.0, 3.0, 121)

_NAN = float("nan")


@dataclass(frozen=True)
class VolumeChange:
    """The Jacobian determinant J of the fixed-to-moving map within a region of the fixed image.

    Args:
        change_percent: how much larger the moving anatomy is than the fixed one: J integrated over the
            region, against the region's own volume. Negative: the moving one is smaller.
        log2_mean, log2_p5, log2_p50, log2_p95: mean and percentiles of log2 J, folded points left out
            because it has no value there; nan where nothing is left.
        folds: points with J <= 0.
        histogram: fraction of the region's unfolded points in each bin of :data:`LOG2_EDGES`.
    """

    change_percent: float = _NAN
    log2_mean: float = _NAN
    log2_p5: float = _NAN
    log2_p50: float = _NAN
    log2_p95: float = _NAN
    folds: int = 0
    histogram: tuple[float, ...] = ()


@dataclass(frozen=True)
class DisplacementStatistics:
    """Lengths of a displacement field's vectors, mm."""

    mean_mm: float
    p95_mm: float
    max_mm: float


def volume_change(determinant: npt.NDArray[Any]) -> VolumeChange:
    """Statistics of J over the points of a region, which all stand for the same volume.

    Args:
        determinant: J at these points, any shape; may be empty.
    """
    values = np.asarray(determinant, dtype=np.float64).ravel()
    if values.size == 0:
        return VolumeChange()
    change = 100.0 * (float(values.mean()) - 1.0)
    unfolded = values[values > 0]
    folds = values.size - unfolded.size
    if unfolded.size == 0:
        return VolumeChange(change, folds=folds)
    log2 = np.log2(unfolded)
    low, middle, high = (float(value) for value in np.percentile(log2, [5, 50, 95]))
    counts, _ = np.histogram(np.clip(log2, LOG2_EDGES[0], LOG2_EDGES[-1]), LOG2_EDGES)
    shares = tuple(float(share) for share in counts / log2.size)
    return VolumeChange(change, float(log2.mean()), low, middle, high, folds, shares)


def displacement_statistics(displacement_field_mm: npt.NDArray[Any]) -> DisplacementStatistics:
    """Mean, 95th percentile and maximum of the vectors' lengths.

    Args:
        displacement_field_mm: (k, j, i, 3) mm.
    """
    # Slice by slice: NumPy's norm of the whole is several times slower, and needs as much memory again.
    lengths = np.stack([np.sqrt(np.einsum("jic,jic->ji", part, part)) for part in displacement_field_mm])
    mean, most = float(lengths.mean(dtype=np.float64)), float(lengths.max())
    return DisplacementStatistics(mean, float(np.percentile(lengths, 95, overwrite_input=True)), most)
