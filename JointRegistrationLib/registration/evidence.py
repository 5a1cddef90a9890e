"""What speaks for a registration without any label: how alike the images are in small places, once aligned."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from ..core.figures.trust import Evidence
from ..core.geometry import FloatArray
from ..ops.maps import apply_matrix, identity, resample_displacement
from ..ops.similarity.image_pair import ImagePair
from ..ops.similarity.measures import ncc
from ..ops.similarity.windows import moments, window_variation
from .local_map import LocalMap

#: Spacing at which the images are compared, so that the figures mean the same for every resolution; mm.
SPACING_MM = 1.46
#: Side of a window, in voxels of about that size, and the noise that its structure is weighed against (as in a run).
WINDOW, NOISE = 9, 0.03
#: Voxels of the determinant that are enough for its percentiles.
_SAMPLES = 1_000_000


def find_evidence(
    pair: ImagePair, affine_ras: FloatArray, local: LocalMap, jacobian: npt.NDArray[np.floating]
) -> Evidence:
    """Compare the fixed image and the warped one in windows of about 13 mm, where both images are.

    Args:
        pair: the images on their working grids.
        affine_ras: 4x4, fixed to moving.
        local: the deformation before it.
        jacobian: determinant of the whole map, of any shape.
    """
    coarse = pair.shrunk(max(SPACING_MM / min(pair.fixed_grid.spacing_mm), 1.0))
    grid, device = coarse.fixed_grid, coarse.fixed.device
    with torch.no_grad():
        there = identity(grid, device=device) + resample_displacement(local.forward_mm, local.grid, grid)
        there = apply_matrix(affine_ras, there)
        warped, weight = coarse.warped(there), coarse.weight(there)
        middle = (coarse.fixed * weight).sum() / weight.sum().clamp_min(1)  # sums of squares are smaller around it
        fixed = coarse.fixed - middle
        windows = window_variation(moments(warped - middle, fixed, weight), WINDOW)
        # Of all windows of the fixed image: where the warped one is flat, the correlation is 0.
        structure = window_variation(moments(fixed, fixed, weight), WINDOW).variance
        importance = (structure / (structure + NOISE**2)).double()
        total = float(importance.sum())
        root = torch.where(windows.usable, windows.product, torch.ones_like(windows.product)).sqrt()
        local_ncc = (windows.covariation / root).double()
        overall = float(ncc(warped, coarse.fixed, weight))

        def share(of: torch.Tensor) -> float:
            return float((importance * of).sum()) / total if total > 0 else 0.0

        figures = (
            share(local_ncc),
            share(local_ncc**2),
            share((local_ncc < 0).double()),
            share((local_ncc**2 < 0.25).double()),
            float(_middle_half(weight).mean()),
        )
    few = jacobian.ravel()[:: max(1, jacobian.size // _SAMPLES)]
    low, high = np.percentile(np.log2(np.maximum(few, 2.0**-6)), [1, 99])
    return Evidence(overall, *figures, float(low), float(high))


def _middle_half(values: torch.Tensor) -> torch.Tensor:
    """The middle half of each axis of (1, 1, D, H, W): where the joint is."""
    d, h, w = (slice(n // 4, n - n // 4) for n in values.shape[2:])
    return values[..., d, h, w]
