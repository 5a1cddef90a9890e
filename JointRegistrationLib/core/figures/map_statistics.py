"""What a map does to volumes and how far it moves points, as statistics."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..progress import finished

#: Edges of the histogram of log2 J: an eightfold change either way. What lies beyond is in the end bins.
LOG2_EDGES = np.linspace(-3.0, 3.0, 121)

_NAN = float("nan")
_BINS = 4096
_PART_BYTES = 8 * 2**20


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
    return finished(volume_change_steps(determinant))


def volume_change_steps(determinant: npt.NDArray[Any]) -> Generator[None, None, VolumeChange]:
    """:func:`volume_change` with pauses, so that a window stays alive."""
    values = np.asarray(determinant, dtype=np.float64).ravel()
    if values.size == 0:
        return VolumeChange()
    change = 100.0 * (float(values.mean()) - 1.0)
    unfolded = values[values > 0]
    folds = values.size - unfolded.size
    if unfolded.size == 0:
        return VolumeChange(change, folds=folds)
    yield
    log2 = np.log2(unfolded)
    yield
    low, middle, high = (float(value) for value in np.percentile(log2, [5, 50, 95]))
    yield
    ends = (float(LOG2_EDGES[0]), float(LOG2_EDGES[-1]))
    counts, _ = np.histogram(np.clip(log2, *ends), len(LOG2_EDGES) - 1, ends)  # faster than by edges of any kind
    shares = tuple(float(share) for share in counts / log2.size)
    return VolumeChange(change, float(log2.mean()), low, middle, high, folds, shares)


def displacement_steps(displacement_field_mm: npt.NDArray[Any]) -> Generator[None, None, DisplacementStatistics]:
    """Measure a field's vectors (k, j, i, 3), mm, with a pause after every few slices, so that a window stays alive."""
    lengths = np.empty(displacement_field_mm.shape[:3], np.float32)
    parts = _slabs(lengths)
    for part in parts:
        # Slice by slice: NumPy's norm of the whole is several times slower, and needs as much memory again.
        vectors = displacement_field_mm[part]
        np.sqrt(np.einsum("kjic,kjic->kji", vectors, vectors), out=lengths[part])
        yield
    total, most = 0.0, 0.0
    for part in parts:
        total += float(lengths[part].sum(dtype=np.float64))
        most = max(most, float(lengths[part].max()))
        yield
    p95 = yield from _percentile_steps(lengths, parts, 0.95, most)
    return DisplacementStatistics(total / lengths.size, p95, most)


def _slabs(values: npt.NDArray[Any]) -> list[slice]:
    """Parts along the first axis of a few megabytes each."""
    step = max(1, len(values) * _PART_BYTES // max(1, values.nbytes))
    return [slice(start, start + step) for start in range(0, len(values), step)]


def _percentile_steps(
    values: npt.NDArray[np.float32], parts: Sequence[slice], share: float, most: float
) -> Generator[None, None, float]:
    """What ``share`` of the values, none below 0 or above ``most``, do not exceed, linear between ranks.

    Sorting all of them takes too long for one step: they are counted in bins, and only the bins of the two ranks
    that matter are sorted.
    """
    if most <= 0:
        return 0.0
    scale = np.float32(_BINS / most)
    counts = np.zeros(_BINS + 2, np.int64)
    for part in parts:
        counts += np.bincount(_bins(values[part], scale), minlength=_BINS + 2)
        yield
    upto = counts.cumsum()
    rank = share * (values.size - 1)
    low, high = (int(np.searchsorted(upto, whole, side="right")) for whole in (np.floor(rank), np.ceil(rank)))
    found = []
    for part in parts:
        some = values[part].ravel()
        bins = _bins(some, scale)
        found.append(some[(bins >= low) & (bins <= high)])
        yield
    candidates = np.sort(np.concatenate(found))
    first = rank - (upto[low] - counts[low])
    return float(np.interp(first, np.arange(len(candidates)), candidates))


def _bins(values: npt.NDArray[np.float32], scale: np.float32) -> npt.NDArray[np.int32]:
    return (values.ravel() * scale).astype(np.int32)
