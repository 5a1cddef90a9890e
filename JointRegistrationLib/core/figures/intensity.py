"""Intensities as numbers from 0 to 1, whatever scanner, padding or offset they have. Imports no PyTorch.

An image without padding, metal or a large offset is scaled by two percentiles of all voxels, as published (spec,
section 1, "Intensity"). What would spoil that is taken away first, and only where it is beyond doubt:

- *Padding*: a value far below everything else, in many voxels. It counts as the darkest of the image.
- *Metal*, or padding above: more than a few voxels far brighter than any tissue. They count as the brightest tissue.
- *Offsets and scales* that single precision does not hold: they are taken off in double precision.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..config import PreprocessConfig

LEAST_VARIED = 1e-3
"""The least share of voxels that must differ from the commonest value in an image that can be aligned."""

#: Percentiles between which the values of an image lie, but for padding, metal and noise.
_LOW, _HIGH, _METAL_HIGH = 5.0, 95.0, 98.0
#: Padding lies at least so many of these ranges below an image, metal (or padding) so many above; of clean images the
#: darkest value lies 0.1 below and the brightest thousandth 1.7 above, at most (six real ones).
_PADDING_RANGES, _METAL_RANGES = 0.5, 6.0
_LEAST_PADDED = 1e-3
#: Values within these bounds, and not further from 0 than so many ranges, are held by single precision.
_LARGEST, _SMALLEST, _MOST_OFFSET = 1e30, 1e-30, 1e4
_SAMPLES = 1_000_000


def normalize(array: npt.NDArray[np.generic], config: PreprocessConfig | None = None) -> npt.NDArray[np.float32]:
    """Send the lower and upper percentile to 0 and 1 and clamp.

    Where the two percentiles coincide (a nearly empty image) minimum and maximum take their place.

    Args:
        array: of any shape; finite.
        config: the percentiles.
    """
    config = config or PreprocessConfig()
    values = _in_single_precision(array)
    bounds = _tissue_bounds(values)
    if bounds is not None:
        np.clip(values, *bounds, out=values)
    low, high = np.percentile(values, [config.lower_percentile, config.upper_percentile])
    if high <= low:
        low, high = float(values.min()), float(values.max())
    values -= np.float32(low)
    values /= np.float32(high - low)
    return np.asarray(np.clip(values, 0, 1, out=values), dtype=np.float32)


def share_varied(array: npt.NDArray[np.generic]) -> float:
    """The share of voxels that differ from the commonest value, if one value is in most of them; else 1."""
    common = np.sort(_some(array))[_some(array).size // 2]  # what most have is the median
    varied = int(np.count_nonzero(array != common))
    return varied / array.size if 2 * varied < array.size else 1.0


def constant_slices(array: npt.NDArray[np.generic]) -> tuple[int, int]:
    """Count the slices of one value only, and all slices, along the axis (k, j or i) with most of them."""
    found = []
    for axis in range(array.ndim):
        others = tuple(other for other in range(array.ndim) if other != axis)
        constant = array.min(axis=others) == array.max(axis=others)
        found.append((int(constant.sum()), len(constant)))
    return max(found, key=lambda pair: pair[0] / pair[1])


def _in_single_precision(array: npt.NDArray[np.generic]) -> npt.NDArray[np.float32]:
    """A copy in float32, less an offset and a scale where float32 would not tell the values apart."""
    low, high = float(array.min()), float(array.max())
    largest, span = max(abs(low), abs(high)), high / 2 - low / 2  # half of it: the whole may be no number
    exact = array.dtype.kind == "b" or array.dtype.itemsize <= 2 or array.dtype == np.float32
    held = largest <= _LARGEST and span >= _SMALLEST and (exact or largest <= _MOST_OFFSET * span)
    if held or span == 0:
        return np.array(array, dtype=np.float32)
    values = np.empty(array.shape, dtype=np.float32)
    for part, slab in zip(values, array, strict=True):
        part[...] = (
            (slab.astype(np.float64) / span - low / span) if span > 1 else (slab.astype(np.float64) - low) / span
        )
    return values


def _tissue_bounds(values: npt.NDArray[np.float32]) -> tuple[float, float] | None:
    """What to clamp values to before percentiles are taken; None for an image without padding and metal."""
    some = np.sort(_some(values)).astype(np.float64)
    low, high = some[0], some[-1]
    body = some[(some > low) & (some < high)]
    body = some if body.size < 2 else body
    first, last, brightest = np.percentile(body, [_LOW, _HIGH, _METAL_HIGH])
    floor = first - _PADDING_RANGES * (last - first)
    kept = some
    if low < floor and np.mean(some == low) >= _LEAST_PADDED:
        kept = kept[kept >= floor]
    metal = brightest + _METAL_RANGES * (brightest - first)
    if brightest > first and np.mean(kept > metal) >= _LEAST_PADDED:
        kept = kept[kept <= metal]
    if kept.size in (some.size, 0):
        return None
    return float(kept[0]), float(kept[-1])


def _some(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """At most about a million of the values, evenly spread."""
    return array.ravel()[:: max(1, array.size // _SAMPLES)]
