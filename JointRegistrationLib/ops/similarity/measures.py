"""What a registration minimises: image similarity, regularity, symmetry. Pure functions.

Similarities return a correlation kappa, 1 for images equal up to contrast and brightness; the
``*_loss`` twins return 1 - kappa. Images are (N, 1, D, H, W); a weight (N or 1, 1, D, H, W), not
negative, 1 where a voxel counts fully, makes every sum over voxels a weighted one. Half precision is
computed in float32. Energies are dimensionless, so that the published factors keep their meaning.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ...core.config import SIMILARITIES, SimilarityConfig
from ...core.errors import ConfigError, GeometryError
from ..separable.filters import AxisMatrices, apply_along_axes
from .windows import FLAT_ROUNDINGS, LEAST_WEIGHT, full_window, moments, window_matrices, window_variation

#: (fixed, warped, weight or None) -> loss.
SimilarityLoss = Callable[[Tensor, Tensor, Tensor | None], Tensor]

#: Added to the product of the two windows' sums of squares; the published code's value.
_WINDOW_EPSILON = 1e-5
#: The share of a window's variance that no map and no linear relation explains: partial volume, interpolation.
UNEXPLAINED = 0.02
_LIKELIHOOD_SCALE = 1 / 16


# -- image similarity -------------------------------------------------------------------------------


def ncc(x: Tensor, y: Tensor, weight: Tensor | None = None) -> Tensor:
    """Pearson's correlation of two images over all voxels, averaged over the batch: scalar in [-1, 1].

    0 where an image is constant or the weight is zero everywhere.

    Raises:
        GeometryError: if the shapes differ.
    """
    x, y, weight = _prepared(x, y, weight)
    xx, yy, xy = (_mean(values, weight) for values in (x * x, y * y, x * y))
    # Rounding leaves about eps^2 of variance in a constant image: below this floor.
    floor = torch.finfo(x.dtype).eps ** 1.75
    usable = (xx > floor) & (yy > floor)
    product = torch.where(usable, xx * yy, torch.ones_like(xx))
    return torch.where(usable, xy / product.sqrt(), torch.zeros_like(xy)).mean()


class Correlation:
    """:func:`ncc` of two volumes that come in pieces, each with its weight; sums in double precision."""

    def __init__(self) -> None:
        self._sums = torch.zeros(6, dtype=torch.float64)

    def add(self, x: Tensor, y: Tensor, weight: Tensor) -> None:
        """A piece: (1, 1, D, H, W) each, values about 0 to 1."""
        wx, wy = weight * x, weight * y
        sums = [v.sum(dtype=torch.float64) for v in (weight, wx, wy, wx * x, wy * y, wx * y)]
        self._sums = self._sums + torch.stack(sums).cpu()

    @property
    def value(self) -> float:
        """The correlation; 0 where an image is constant or the weight is zero everywhere."""
        w, x, y, xx, yy, xy = self._sums.tolist()
        if w <= 0:
            return 0.0
        a, b, c = xx / w - (x / w) ** 2, yy / w - (y / w) ** 2, xy / w - x * y / w**2
        floor = torch.finfo(torch.float32).eps ** 1.75  # rounding of the pieces, as in ncc
        return float(c / math.sqrt(a * b)) if a > floor and b > floor else 0.0


def lncc(x: Tensor, y: Tensor, window: int, weight: Tensor | None = None, *, noise: float = 0.0) -> Tensor:
    """Mean of Pearson's correlation over cubic windows of side ``window``: scalar in [-1, 1].

    The signed form of :func:`mk_lncc`'s kappa_s, one scale, without dilation, with the same stride
    max((s + 1) // 4, 1). Along an axis shorter than the window the window spans the axis.

    Args:
        x, y: (N, 1, D, H, W).
        window: side in voxels, at least 2.
        weight: (N or 1, 1, D, H, W); windows with less than a tenth of a full one's weight are dropped.
        noise: standard deviation of y's noise: a window counts by variance / (variance + noise^2) of y,
            the image that stays, so that flat windows do not pull. 0: all count alike.

    Raises:
        GeometryError: if the shapes differ.
        ConfigError: for a window below 2.
    """
    return _local(x, y, window, weight, noise, lambda c, product: c * product.rsqrt())


def local_likelihood(x: Tensor, y: Tensor, window: int, weight: Tensor | None = None, *, noise: float = 0.0) -> Tensor:
    """How likely the images are if in each window one is a linear function of the other, plus noise: scalar.

    With slope, offset and the noise's variance all estimated in the window, the log likelihood a voxel is, but for a
    constant, -1/2 log(1 - rho^2), rho the correlation of :func:`lncc`: mutual information of two Gaussian variables.
    A window pulls as hard as its images agree: hard where they do, hardly where noise or another contrast leaves
    little in common, and the sign of rho does not count. rho^2 is the share of what can be explained at all,
    1 - ``UNEXPLAINED``. Scaled so that one regularity serves it and lncc (docs/method.md): 0 for windows without
    relation, 0.25 for equal ones.

    Args:
        x, y, window, weight, noise: as for :func:`lncc`.

    Raises:
        GeometryError, ConfigError: as :func:`lncc` does.

    Source: the estimated variance as in Simpson et al., NeuroImage 59 (2012), here window by window.
    """
    return _local(x, y, window, weight, noise, likelihood)


def likelihood(covariation: Tensor, product: Tensor) -> Tensor:
    """Each window's share of :func:`local_likelihood`, from c and a b of :class:`.WindowVariation`."""
    rho2 = (covariation * covariation / product).clamp(max=1.0)
    return _LIKELIHOOD_SCALE * (math.log1p(UNEXPLAINED) - torch.log(1 - rho2 + UNEXPLAINED))


def _local(
    x: Tensor,
    y: Tensor,
    window: int,
    weight: Tensor | None,
    noise: float,
    agreement: Callable[[Tensor, Tensor], Tensor],
) -> Tensor:
    """The mean over windows of what ``agreement`` makes of c and a b."""
    if window < 2:
        raise ConfigError(f"similarity: a window of at least 2 voxels is needed, but {window} was given")
    windows = window_variation(moments(*_prepared(x, y, weight)), window)
    product = torch.where(windows.usable, windows.product, torch.ones_like(windows.product))
    return windows.mean(agreement(windows.covariation, product), noise)


def mk_lncc(x: Tensor, y: Tensor, weight: Tensor | None = None) -> Tensor:
    """Multi-kernel local correlation, AVSM's image similarity: scalar in [0, 1].

    sum_i omega_i kappa_{s_i} with kappa_s = mean_j c_j^2 / (a_j b_j + 1e-5), where c, a, b are a
    window's *sums* of co- and auto-variation: squared, hence blind to an inverted contrast. Sizes,
    weights and dilation follow from the smallest dimension (:func:`mk_lncc_scales`); the stride is
    max((s + 1) // 4, 1); no padding. A window in which an image is flat contributes 0.

    Args:
        x, y: (N, 1, D, H, W).
        weight: as for :func:`lncc`.

    Raises:
        GeometryError: if the shapes differ.

    Source: AVSM (arXiv 1903.08811), in the form of its published code.
    """
    to_sum = moments(*_prepared(x, y, weight))
    kappa = to_sum.new_zeros(())
    for size, omega, dilation in mk_lncc_scales(min(x.shape[2:])):
        windows = window_variation(to_sum, size, dilation)
        kappa = kappa + omega * windows.mean(windows.covariation**2 / (windows.product + _WINDOW_EPSILON))
    return kappa


def mk_lncc_scales(smallest: int) -> list[tuple[int, float, int]]:
    """(window side, weight omega, dilation) of each scale for a smallest dimension in voxels."""
    if smallest >= 128:
        return [(smallest // 16, 0.1, 2), (smallest // 8, 0.3, 2), (smallest // 4, 0.6, 2)]
    if smallest >= 64:
        return [(smallest // 4, 0.3, 2), (smallest // 2, 0.7, 2)]
    return [(max(smallest // 2, 2), 1.0, 1)]


def similarity_loss(
    name: str, window: int = SimilarityConfig.window_voxels, noise: float = SimilarityConfig.noise
) -> SimilarityLoss:
    """The loss of :class:`~.config.SimilarityConfig`: (x, y, weight or None) -> 1 - kappa.

    Raises:
        ConfigError: for an unknown name.
    """

    losses: dict[str, SimilarityLoss] = {
        "ncc": lambda x, y, weight: 1 - ncc(x, y, weight),
        "likelihood": lambda x, y, weight: 1 - local_likelihood(x, y, window, weight, noise=noise),
        "lncc": lambda x, y, weight: 1 - lncc(x, y, window, weight, noise=noise),
        "mk-lncc": lambda x, y, weight: 1 - mk_lncc(x, y, weight),
    }
    if name not in losses:
        raise ConfigError(f"similarity {name!r} is unknown; choose one of {', '.join(SIMILARITIES)}")
    return losses[name]


# -- parts ------------------------------------------------------------------------------------------


def _prepared(x: Tensor, y: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
    """Checked, in float32 at least, and centred: sums of squares then keep more digits."""
    if x.ndim != 5 or x.shape[1] != 1 or x.shape != y.shape:
        raise GeometryError(
            f"similarity: two images of one shape (N, 1, D, H, W) are needed, but {tuple(x.shape)} "
            f"and {tuple(y.shape)} were given"
        )
    dtype = torch.float64 if torch.float64 in (x.dtype, y.dtype) else torch.float32
    x, y = x.to(dtype), y.to(dtype)
    if weight is not None:
        if weight.ndim != 5 or weight.shape[1:] != x.shape[1:] or len(weight) not in (1, len(x)):
            raise GeometryError(
                f"similarity: the weight must have the images' shape {tuple(x.shape)}, but has {tuple(weight.shape)}"
            )
        weight = weight.to(dtype).expand_as(x)
    return x - _mean(x, weight), y - _mean(y, weight), weight


def _mean(values: Tensor, weight: Tensor | None) -> Tensor:
    """(Weighted) mean of each image, (N, 1, 1, 1, 1); 0 where the weight is zero everywhere."""
    axes = (1, 2, 3, 4)
    if weight is None:
        return values.mean(dim=axes, keepdim=True)
    total = weight.sum(dim=axes, keepdim=True)
    return (weight * values).sum(dim=axes, keepdim=True) / torch.where(total > 0, total, torch.ones_like(total))


class FixedLocal:
    """The loss 1 - lncc(x, fixed), or 1 - local_likelihood(x, fixed), as a function of x.

    Args:
        fixed: (1, 1, D, H, W), the image that stays.
        weight: likewise; windows with less than a tenth of a full one's weight are dropped.
        config: one of :data:`.config.LOCAL_SIMILARITIES`, its window, and its noise; see :func:`lncc`.
    """

    def __init__(self, fixed: Tensor, weight: Tensor, config: SimilarityConfig) -> None:
        noise, self._name = config.noise, config.name
        self._matrices = window_matrices(fixed, config.window_voxels)
        self._centre = (weight * fixed).sum() / weight.sum().clamp_min(torch.finfo(fixed.dtype).tiny)
        y = fixed - self._centre
        self._weight, self._weighted = weight, weight * y
        w, wy, wyy = apply_along_axes(torch.cat([weight, self._weighted, self._weighted * y], 1), self._matrices)[0]
        counted = w >= LEAST_WEIGHT * full_window(self._matrices)
        self._share = torch.where(counted, 1 / w.clamp_min(torch.finfo(w.dtype).tiny), 0)
        self._mean = wy * self._share
        variation = wyy - wy * self._mean
        self._flat = FLAT_ROUNDINGS * torch.finfo(w.dtype).eps
        self._usable = counted & (variation > self._flat * wyy)
        self._variation = torch.where(self._usable, variation, 0)
        variance = self._variation * self._share
        importance = variance / (variance + noise**2) if noise > 0 else counted.to(w.dtype)
        self._importance = importance / importance.sum().clamp_min(torch.finfo(w.dtype).tiny)

    def __call__(self, x: Tensor) -> Tensor:
        """Scalar loss of ``x`` (1, 1, D, H, W), differentiable."""
        sums = _WindowSums.apply(x - self._centre, self._weight, self._weighted, self._matrices)  # type: ignore[no-untyped-call]
        wx, wxx, wxy = sums[0]
        variation = wxx - wx * wx * self._share
        usable = self._usable & (variation > self._flat * wxx)
        product = torch.where(usable, variation * self._variation, 1)
        covariation = torch.where(usable, wxy - wx * self._mean, 0)
        if self._name == "likelihood":
            return 1 - (self._importance * likelihood(covariation, product)).sum()
        return 1 - (self._importance * covariation * product.rsqrt()).sum()


class _WindowSums(torch.autograd.Function):
    """Sums over windows of w x, w x^2 and w y x, as channels; the gradient is that of x only."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, weighted_y: Tensor, matrices: AxisMatrices) -> Tensor:
        ctx.save_for_backward(x, weight, weighted_y)
        ctx.matrices = matrices
        wx = weight * x
        return apply_along_axes(torch.cat([wx, wx * x, weighted_y * x], dim=1), matrices)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor, None, None, None]:
        x, weight, weighted_y = ctx.saved_tensors
        d, h, w = ctx.matrices
        back = apply_along_axes(gradients[0], (d.T, h.T, w.T))
        return (back[:, :1] + 2 * back[:, 1:2] * x) * weight + back[:, 2:] * weighted_y, None, None, None
