"""The library's kernels, timed by pytest-benchmark, and how their cost grows with the number of voxels.

    .venv/bin/python -m pytest Testing/Benchmarks/test_kernels.py --benchmark-only     # pip install -e '.[bench]'
    .venv/bin/python Testing/Benchmarks/test_kernels.py                                # the scaling study, a table

Without ``--benchmark-only`` nothing here is collected. The study times each kernel at sizes from 1/64 of the published
working grid (192 x 192 x 80) to all of it, in processor seconds, and fits the exponent p of time = c voxels^p.
"""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from JointRegistrationLib.core.config import VelocityConfig  # noqa: E402
from JointRegistrationLib.core.geometry import Grid  # noqa: E402
from JointRegistrationLib.core.image import Image  # noqa: E402
from JointRegistrationLib.core.progress import Reporter  # noqa: E402
from JointRegistrationLib.ops import integrate, maps  # noqa: E402
from JointRegistrationLib.ops.separable import smoothing  # noqa: E402
from JointRegistrationLib.ops.similarity import measures  # noqa: E402
from JointRegistrationLib.registration import native_grids  # noqa: E402
from JointRegistrationLib.registration.local_map import LocalMap  # noqa: E402

#: Sizes along i, j, k with one field of view.
SIZES = ((48, 48, 20), (96, 96, 40), (144, 144, 60), (192, 192, 80))
BENCHED = SIZES[1]
FIELD_OF_VIEW_MM = (140.0, 140.0, 112.0)
_KERNEL = VelocityConfig()

Kernel = Callable[[], object]


def knee_grid(size_ijk: tuple[int, int, int]) -> Grid:
    """A knee's field of view."""
    return Grid(size_ijk, tuple(f / n for f, n in zip(FIELD_OF_VIEW_MM, size_ijk, strict=True)))  # type: ignore[arg-type]


@functools.lru_cache(maxsize=1)
def kernels(size_ijk: tuple[int, int, int]) -> dict[str, Kernel]:
    """What is timed, by name, on images and fields of this size: a smooth velocity of at most 5 mm."""
    grid = knee_grid(size_ijk)
    generator = torch.Generator().manual_seed(0)
    image, other = (torch.rand(1, 1, *grid.shape, generator=generator) for _ in range(2))
    coarse = grid.resized([max(n // 8, 4) for n in size_ijk])
    rough = torch.randn(1, 3, *coarse.shape, generator=generator)
    velocity = maps.resample_displacement(smoothing.smooth(rough, coarse, (15.0,), (1.0,)), coarse, grid)
    velocity = velocity * (5.0 / float(velocity.abs().max()))
    map_ras = maps.from_displacement(velocity, grid)
    half = grid.resized([n // 2 for n in size_ijk])
    half_velocity = maps.resample_displacement(velocity, grid, half)
    inverse = integrate.exponential(half_velocity, half)
    local = LocalMap(integrate.exponential(-half_velocity, half), inverse, half)
    native = Image(image[0, 0].numpy(), grid, "moving")
    return {
        "warp": lambda: maps.warp(image, grid, map_ras),
        "compose": lambda: maps.compose_displacement(velocity, grid, map_ras),
        "smoothing": lambda: smoothing.smooth(velocity, grid, _KERNEL.sigmas_mm, _KERNEL.weights),
        "exponential": lambda: integrate.exponential(velocity, grid, steps=_KERNEL.steps),
        "advection": lambda: integrate.advect(map_ras, velocity, grid, steps=_KERNEL.steps),
        "lncc": lambda: measures.lncc(image, other, 9),
        "mk-lncc": lambda: measures.mk_lncc(image, other),
        "Jacobian": lambda: maps.jacobian_determinant(map_ras, grid),
        "native finish": lambda: native_grids.finish(grid, native, np.eye(4), local, Reporter()),
    }


@pytest.mark.parametrize("name", kernels.__wrapped__((16, 16, 16)))
def test_kernel(benchmark: Callable[[Kernel], object], name: str) -> None:
    kernel = kernels(BENCHED)[name]
    with torch.no_grad():
        benchmark(kernel)


# -- the scaling study -------------------------------------------------------------------------------


def cpu_seconds(kernel: Kernel, at_least: float = 0.3) -> float:
    """Processor seconds of a call: the least of three series of about ``at_least`` seconds."""
    kernel()
    begin = time.process_time()
    kernel()
    count = max(1, round(at_least / max(time.process_time() - begin, 1e-6)))
    series = []
    for _ in range(3):
        begin = time.process_time()
        for _ in range(count):
            kernel()
        series.append((time.process_time() - begin) / count)
    return min(series)


def study(threads: int = 1) -> str:
    """Processor milliseconds at each size, nanoseconds a voxel at the largest, and the exponent; Markdown."""
    torch.set_num_threads(threads)
    found: dict[str, list[float]] = {}
    for size in SIZES:
        with torch.no_grad():
            for name, kernel in kernels(size).items():
                found.setdefault(name, []).append(cpu_seconds(kernel))
    voxels = [float(np.prod(size)) for size in SIZES]
    names = [" x ".join(map(str, size)) for size in SIZES]
    lines = [f"| kernel, CPU ms | {' | '.join(names)} | ns a voxel | exponent |", "|---" * (len(SIZES) + 3) + "|"]
    for name, seconds in found.items():
        power = np.polyfit(np.log(voxels[1:]), np.log(seconds[1:]), 1)[0]
        cells = " | ".join(f"{1e3 * s:.1f}" for s in seconds)
        lines.append(f"| {name} | {cells} | {1e9 * seconds[-1] / voxels[-1]:.0f} | {power:.2f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(study())  # noqa: T201 a command's answer
