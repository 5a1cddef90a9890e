"""Smooth random vector fields as sums of plane waves: analytic, known at every point, seeded."""

from __future__ import annotations

import math

import torch
from torch import Tensor


class WaveField:
    """v(x) = sum_k a_k sin(w_k . x + phase_k), for points (3, M) in mm; v in mm.

    Args:
        seed: of directions, wavelengths, phases and amplitudes; drawn on the CPU, so that every
            device gets the same field.
        rms_mm: root mean square length of v over space.
        wavelengths_mm: shortest and longest wave.
        count: number of waves.
    """

    def __init__(
        self,
        seed: int,
        rms_mm: float,
        wavelengths_mm: tuple[float, float],
        count: int = 12,
        device: torch.device | str = "cpu",
    ) -> None:
        generator = torch.Generator().manual_seed(seed)
        direction = torch.randn(count, 3, generator=generator, dtype=torch.float64)
        direction /= direction.norm(dim=1, keepdim=True)
        low, high = wavelengths_mm
        length = low * (high / low) ** torch.rand(count, 1, generator=generator, dtype=torch.float64)
        waves = 2 * math.pi * direction / length
        # Longer waves are stronger, so that the field bends space gently.
        amplitude = torch.randn(count, 3, generator=generator, dtype=torch.float64) * length / high
        amplitude *= rms_mm / (amplitude.square().sum() / 2).sqrt()
        phase = 2 * math.pi * torch.rand(count, 1, generator=generator, dtype=torch.float64)
        self._waves = waves.float().to(device)
        self._amplitude = amplitude.float().to(device)
        self._phase = phase.float().to(device)

    def __call__(self, points: Tensor) -> Tensor:
        return self._amplitude.T @ torch.addmm(self._phase, self._waves, points).sin_()
