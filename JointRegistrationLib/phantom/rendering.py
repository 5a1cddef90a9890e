"""From tissue fractions to a DESS-like image: signal, coil gain, noise."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from ..core.errors import InputError
from ..core.geometry import Grid
from ..core.image import Image
from ..ops import maps
from .tissues.contrast import TISSUE_INDEX, TISSUES, ContrastConfig
from .tissues.random_fields import WaveField
from .tissues.texture import TissueTexture

_CHUNK = 1 << 16


def render_dess(
    tissues: Tensor | npt.NDArray[np.generic],
    grid: Grid,
    contrast: ContrastConfig | None = None,
    seed: int = 0,
) -> Image:
    """A DESS-like image of given tissues.

    Args:
        tissues: tissue numbers (k, j, i), see :data:`.contrast.TISSUES`, or fractions of each tissue
            (len(TISSUES), k, j, i) that sum to 1.
        grid: their grid.
        contrast: tissue signals and disturbances.
        seed: of texture, bias and noise.

    Returns:
        float32 image, muscle about ``contrast.intensity``.

    Raises:
        InputError: if the array is neither, or not on the grid.
    """
    contrast = contrast or ContrastConfig()
    fractions = _as_fractions(torch.as_tensor(tissues), grid)
    texture = TissueTexture(seed, contrast.texture, 0.8 * max(grid.spacing_mm), fractions.device)
    center = fractions.new_tensor(grid.center_ras)[:, None]
    flat = fractions.flatten(1)
    points = maps.identity(grid, device=fractions.device).flatten(2)[0]
    signal = torch.empty_like(flat[0])
    for start in range(0, flat.shape[1], _CHUNK):
        part = slice(start, start + _CHUNK)
        signal[part] = tissue_signal(flat[:, part], points[:, part] - center, contrast, texture)
    body = 1 - fractions[TISSUE_INDEX["air"]]
    return Image(disturb(signal.view(grid.shape), body, grid, contrast, seed), grid, "rendered")


def tissue_signal(fractions: Tensor, points: Tensor, contrast: ContrastConfig, texture: TissueTexture) -> Tensor:
    """Signal (M,) of tissue fractions (tissues, M) at texture points (3, M)."""
    levels = fractions.new_tensor([contrast.signal[name] for name in TISSUES])
    return texture.apply(fractions * levels[:, None], points).sum(0)


def disturb(signal: Tensor, body: Tensor, grid: Grid, contrast: ContrastConfig, seed: int) -> npt.NDArray[np.float32]:
    """Coil gain, bias and noise on a signal (k, j, i); intensities come out.

    Args:
        signal: noise-free, muscle about 1.
        body: fraction of the voxel inside the limb, for the surface coil's gain.
        grid: their grid.
        contrast: strengths.
        seed: of bias and noise.
    """
    gain = _coil_gain(body, grid, contrast.coil_gain)
    if contrast.bias > 0:
        points = maps.identity(grid, device=signal.device).flatten(2)[0]
        field = WaveField(seed + 11, contrast.bias * 3**0.5, (90.0, 220.0), count=4, device=signal.device)
        for start in range(0, points.shape[1], _CHUNK):
            part = slice(start, start + _CHUNK)
            gain.view(-1)[part] *= field(points[:, part])[0].exp()
    value = signal * gain
    if contrast.noise > 0:
        value = _add_noise(value, contrast, seed)
    image: npt.NDArray[np.float32] = (value * contrast.intensity).float().cpu().numpy()
    return image


def _coil_gain(body: Tensor, grid: Grid, strength: float) -> Tensor:
    """Brighter towards the surface: 1 deep inside, 1 + strength at the skin, smooth over centimetres."""
    if strength == 0.0:
        return torch.ones_like(body)
    spacing = tuple(reversed(grid.spacing_mm))
    d, h, w = (max(2, round(n * s / 12.0)) for n, s in zip(grid.shape, spacing, strict=True))
    coarse = F.adaptive_avg_pool3d(body[None, None], (d, h, w))
    for _ in range(4):
        coarse = F.avg_pool3d(F.pad(coarse, (1,) * 6, mode="replicate"), 3, stride=1)
    smooth = F.interpolate(coarse, size=body.shape, mode="trilinear", align_corners=False)[0, 0]
    return 1 + strength * (1 - smooth).clamp(0, 0.6) / 0.5


def _add_noise(value: Tensor, contrast: ContrastConfig, seed: int) -> Tensor:
    """Noncentral chi noise of a root-sum-of-squares image; Rician for one coil.

    Of the 2 n squared normals, two are drawn and the other 2 n - 2 enter by mean and deviation.
    """
    generator = torch.Generator(device=value.device).manual_seed(seed + 23)

    def normal() -> Tensor:
        return torch.randn(value.shape, generator=generator, device=value.device)

    sigma, rest = contrast.noise, 2 * contrast.coils - 2
    squared = (value + sigma * normal()).square_() + (sigma * normal()).square_()
    if rest > 0:
        squared += sigma**2 * (rest + (2 * rest) ** 0.5 * normal()).clamp_(min=0)
    return squared.sqrt_()


def _as_fractions(tissues: Tensor, grid: Grid) -> Tensor:
    count = len(TISSUES)
    if tuple(tissues.shape) == (count, *grid.shape):
        return tissues.float()
    if tuple(tissues.shape) != grid.shape:
        raise InputError(
            f"tissues: shape {tuple(tissues.shape)} was given; numbers {grid.shape} (k, j, i) or "
            f"fractions ({count}, k, j, i) are needed"
        )
    numbers = tissues.long()
    if int(numbers.min()) < 0 or int(numbers.max()) >= count:
        raise InputError(f"tissues: numbers from 0 to {count - 1} are needed, but {int(numbers.max())} was found")
    weight = torch.tensor([0.2, 0.6, 0.2], device=tissues.device)
    fractions = F.one_hot(numbers, count).movedim(-1, 0).float()[:, None]
    for axis in range(3):  # partial volume at borders
        kernel = weight.view([-1 if a == axis else 1 for a in range(3)])[None, None]
        padding = [p for a in reversed(range(3)) for p in ((1, 1) if a == axis else (0, 0))]
        fractions = F.conv3d(F.pad(fractions, padding, mode="replicate"), kernel)
    return fractions[:, 0]
