"""What the grey values of two images have in common, where contrast differs by more than brightness and scale.

Two echoes, or scanners, can show the same tissues along another curve, or in another order. Local correlation then
finds edges where one image has none and moves others; see docs/method.md. Here each image's grey values are replaced by
that function of them which correlates most with some function of the other's: maximal correlation (Gebelein 1941,
Renyi 1959; as alternating conditional expectations: Breiman and Friedman, JASA 80, 1985).
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ...core.config import SimilarityConfig
from ...core.geometry import FloatArray
from ..separable.filters import gaussian_matrix
from .image_pair import ImagePair
from .measures import FixedLocal, ncc

#: Grey values are told apart as well as this, and the histogram is smoothed by so many bins.
_BINS, _SMOOTHED_BINS = 64, 1.5
#: Grey values that fewer voxels than this share have take the function of others: of a few voxels any two functions
#: correlate.
_LEAST_SHARE = 1e-5
#: How much likelier (:func:`.measures.local_likelihood`) the images must become: 0.25 of the logarithm. Of the pairs in
#: docs/method.md a curve gains 0.5, a fold 1.0, a negative, which is a line in each window, 0.03, images of one
#: kind 0.2 at most.
_LEAST_GAIN = 0.031


@dataclass(frozen=True)
class Relation:
    """Functions of the grey values of two images, (bins,) each, in [0, 1] at evenly spaced values from 0 to 1.

    ``correlation``: of both, the largest that functions of the two images have.
    """

    fixed: Tensor
    moving: Tensor
    correlation: float


def common_grey_values(fixed: Tensor, warped: Tensor, weight: Tensor) -> Relation:
    """The functions of two images (1, 1, D, H, W) in [0, 1] that correlate most, where ``weight`` counts.

    They are the second singular vectors of the joint histogram, each entry divided by the root of the product of
    the marginal ones; the first are constant.
    """
    smoothing = gaussian_matrix(_BINS, _SMOOTHED_BINS)
    smoothing /= smoothing.sum(axis=1, keepdims=True)
    joint = smoothing @ _joint_histogram(fixed, warped, weight) @ smoothing.T
    joint /= max(joint.sum(), np.finfo(np.float64).tiny)
    rows, columns = (np.flatnonzero(joint.sum(axis=axis) > _LEAST_SHARE) for axis in (1, 0))
    if min(len(rows), len(columns)) < 2:
        unchanged = torch.linspace(0, 1, _BINS).to(fixed)
        return Relation(unchanged, unchanged, 0.0)
    joint = joint[np.ix_(rows, columns)]
    of_fixed, of_moving = np.sqrt(joint.sum(axis=1)), np.sqrt(joint.sum(axis=0))
    left, singular, right = np.linalg.svd(joint / np.outer(of_fixed, of_moving))
    for_fixed, for_moving = _function(rows, left[:, 1] / of_fixed), _function(columns, right[1] / of_moving)
    return Relation(for_fixed.to(fixed), for_moving.to(fixed), float(singular[1]))


def related(pair: ImagePair, relation: Relation) -> ImagePair:
    """The pair with both images' grey values replaced."""
    fixed, moving = _looked_up(relation.fixed, pair.fixed), _looked_up(relation.moving, pair.moving)
    return dataclasses.replace(pair, fixed=fixed, moving=moving)


@torch.no_grad()
def better_relation(pair: ImagePair, map_ras: Tensor) -> tuple[Relation, float] | None:
    """What relates the images better than a line in each window does, and their correlation as they are.

    Args:
        pair: normalised images.
        map_ras: (1, 3, D, H, W), fixed to moving, on the fixed grid: about how the images lie.

    Returns:
        None where the images are explained about as well as they are.
    """
    weight, warped = pair.weight(map_ras), pair.warped(map_ras)
    relation = common_grey_values(pair.fixed, warped, weight)
    plain = _unlikely(pair.fixed, warped, weight)
    replaced = _unlikely(_looked_up(relation.fixed, pair.fixed), _looked_up(relation.moving, warped), weight)
    if plain - replaced < _LEAST_GAIN:
        return None
    return relation, float(ncc(warped, pair.fixed, weight))


def _unlikely(fixed: Tensor, warped: Tensor, weight: Tensor) -> float:
    return float(FixedLocal(fixed, weight, SimilarityConfig("likelihood"))(warped))


def _joint_histogram(fixed: Tensor, warped: Tensor, weight: Tensor) -> FloatArray:
    """(bins, bins), the fixed image's along the rows; every voxel is shared among four bins."""
    (row, above), (column, beyond) = (_placed(image) for image in (fixed, warped))
    counts = np.zeros(_BINS * _BINS)
    share = weight.reshape(-1).double()
    for r, in_row in ((row, 1 - above), (row + 1, above)):
        for c, in_column in ((column, 1 - beyond), (column + 1, beyond)):
            index, weights = (r * _BINS + c).cpu(), (share * in_row * in_column).cpu()
            counts += torch.bincount(index, weights, minlength=_BINS * _BINS).numpy()
    return counts.reshape(_BINS, _BINS)


def _placed(image: Tensor) -> tuple[Tensor, Tensor]:
    """The bin below each value, and how far above it the value is."""
    place = image.reshape(-1).clamp(0, 1) * (_BINS - 1)
    low = place.floor().clamp(max=_BINS - 2)
    return low.long(), (place - low).double()


def _looked_up(function: Tensor, image: Tensor) -> Tensor:
    low, above = _placed(image)
    return torch.lerp(function[low], function[low + 1], above.to(function)).view_as(image)


def _function(bins: npt.NDArray[np.intp], values: FloatArray) -> Tensor:
    """Values at some bins as a function at all, in [0, 1]; beyond the outermost ones it is constant."""
    every = np.interp(np.arange(_BINS), bins, values - values.min())
    return torch.from_numpy(every / max(float(every.max()), np.finfo(np.float64).tiny))
