"""Measure what runs take, memory and time, and fit the numbers of JointRegistrationLib/core/plan.py to it.

    nice -n 10 python Testing/Benchmarks/measure_plan.py measure runs/plan.json
    python Testing/Benchmarks/measure_plan.py fit runs/plan.json

Each case is a process of its own with one thread, because the peak of a process's memory never falls. Time is
processor time, so that other programs on the machine do not count. A case already in the file is not repeated.
The images are a phantom pair made at one small size and interpolated, so that the networks know what they see.
"""

from __future__ import annotations

import dataclasses
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from JointRegistrationLib.core import plan
from JointRegistrationLib.core.config import (
    AffineConfig,
    LddmmConfig,
    NetworkConfig,
    PreprocessConfig,
    RegistrationConfig,
    SimilarityConfig,
    VsvfConfig,
)
from JointRegistrationLib.core.geometry import Grid
from JointRegistrationLib.core.image import Image
from JointRegistrationLib.core.serialization import from_dict, to_dict
from JointRegistrationLib.phantom import default_grid, make_pair

#: Native sizes along i, j, k.
SIZES = ((96, 96, 80), (192, 192, 80), (384, 384, 160), (512, 512, 200))
#: Of the phantom knees that are interpolated to these sizes.
PHANTOM_SIZE, PHANTOM_SEED = (64, 64, 32), 7
_FEW = 3
FloatVolume = npt.NDArray[np.float32]


def _settings(method: str, iterations: int = _FEW, **vsvf: Any) -> RegistrationConfig:
    """A few iterations of each stage, none left out for lack of gain."""
    return RegistrationConfig(
        method=method,
        device="cpu",
        affine=AffineConfig(iterations=iterations, tolerance=0.0),
        vsvf=VsvfConfig(iterations=iterations, tolerance=0.0, **vsvf),
        lddmm=LddmmConfig(iterations=iterations, tolerance=0.0),
    )


def _network(method: str, refine: int) -> RegistrationConfig:
    return dataclasses.replace(_settings(method), network=NetworkConfig(refine=refine, fallback=False))


METHODS = {
    "affine-opt": _settings("affine-opt"),
    "vsvf-opt": _settings("vsvf-opt"),
    "lddmm-opt": _settings("lddmm-opt"),
    "avsm-affine": _network("avsm-affine", 0),
    "avsm": _network("avsm", 0),
    "avsm, refined": _network("avsm", _FEW),
}
#: Settings that change memory or time per voxel.
VARIANTS = {
    "ncc": _settings("vsvf-opt", similarity=SimilarityConfig("ncc")),
    "mk-lncc": _settings("vsvf-opt", similarity=SimilarityConfig("mk-lncc")),
    "8 iterations": _settings("vsvf-opt", iterations=8),
    "level 2": _settings("vsvf-opt", levels=(4, 2)),
}
#: Working resolutions that :func:`plan.low_memory` may choose.
LOW_MEMORY_METHODS = ("vsvf-opt", "avsm, refined")
LOW_MEMORY_VOXELS = (184_320, 737_280)


def cases() -> dict[str, tuple[tuple[int, int, int], tuple[int, int, int], RegistrationConfig]]:
    """Every case by name: native size of fixed and moving image, and the settings."""
    found = {}
    for size in SIZES:
        for name, config in METHODS.items():
            found[f"{name} {size}"] = (size, size, config)
    small, large = SIZES[1:3]
    for name, config in VARIANTS.items():
        found[f"vsvf-opt, {name} {small}"] = (small, small, config)
    for method in LOW_MEMORY_METHODS:
        for voxels in LOW_MEMORY_VOXELS:
            config = dataclasses.replace(METHODS[method], preprocess=PreprocessConfig(max_working_voxels=voxels))
            found[f"{method}, at most {voxels} {large}"] = (large, large, config)
    found["vsvf-opt small to large"] = (SIZES[2], SIZES[0], METHODS["vsvf-opt"])
    found["vsvf-opt large to small"] = (SIZES[0], SIZES[2], METHODS["vsvf-opt"])
    return found


def knee_grid(size_ijk: tuple[int, int, int]) -> Grid:
    """The phantom's field of view with ``size_ijk`` voxels."""
    return default_grid().resized(size_ijk)


def knee_pair(fixed_ijk: tuple[int, int, int], moving_ijk: tuple[int, int, int]) -> tuple[Image, Image]:
    """Fixed and moving phantom knee as a scanner gives them: 16-bit integers on :func:`knee_grid`.

    They are computed in another process, so that this one has held no more than the images.
    """
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "knees.npy"
        subprocess.run([sys.executable, __file__, "phantom", str(file)], check=True)
        fixed, moving = np.load(file)
    return knee_image(fixed, fixed_ijk, "fixed"), knee_image(moving, moving_ijk, "moving")


def knee_image(values: FloatVolume, size_ijk: tuple[int, int, int], name: str) -> Image:
    """``values`` (k, j, i) interpolated to a size, slice by slice, in little memory."""
    grid = knee_grid(size_ijk)
    scaled = torch.from_numpy(values * (1000 / float(values.max())))
    array = np.empty(grid.shape, np.int16)
    depths = np.linspace(0, len(values) - 1, grid.shape[0])
    for index, (depth, below) in enumerate(zip(depths, depths.astype(int), strict=True)):
        plane = torch.lerp(scaled[below], scaled[min(below + 1, len(values) - 1)], float(depth - below))
        array[index] = F.interpolate(plane[None, None], grid.shape[1:], mode="bilinear", align_corners=True)[0, 0]
    return Image(array, grid, name)


# -- one case, in a process of its own ---------------------------------------------------------------


def _reset_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak_bytes() -> int:
    """Largest resident memory since the last reset; the kernel's figure behind ``resource.getrusage``."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


class _Stages:
    """Peak memory and processor time of each stage, noted by wrapping its function."""

    def __init__(self) -> None:
        self.found: dict[str, dict[str, float]] = {}

    def wrap(self, module: Any, name: str, stage: str) -> None:
        real: Callable[..., Any] = getattr(module, name)

        def measured(*args: Any, **kwargs: Any) -> Any:
            peak, begin = peak_bytes(), time.process_time()
            _reset_peak()
            result = real(*args, **kwargs)
            entry = self.found.setdefault(stage, {"peak": 0.0, "seconds": 0.0, "outer_peak": 0.0})
            entry["peak"] = max(entry["peak"], peak_bytes())
            entry["seconds"] += time.process_time() - begin
            entry["outer_peak"] = max(entry["outer_peak"], peak)
            return result

        setattr(module, name, measured)


def run_case(fixed_ijk: tuple[int, int, int], moving_ijk: tuple[int, int, int], config: RegistrationConfig) -> Any:
    """Memory in bytes and processor seconds of one registration in this process."""
    from JointRegistrationLib.registration import register
    from JointRegistrationLib.registration.methods import dispatch, momentum, networks, optimised

    stages = _Stages()
    stages.wrap(register, "prepare_pair", "prepare")
    stages.wrap(dispatch, "knee_sides", "side")
    stages.wrap(networks, "_best", "network")
    for module in (optimised, networks):
        stages.wrap(module, "affine_opt", "affine")
    stages.wrap(momentum, "optimize_momentum", "geodesic" if config.method == "lddmm-opt" else "deformable")
    stages.wrap(register, "finish", "finish")
    stages.wrap(register, "similarities", "similarities")
    fixed, moving = knee_pair(fixed_ijk, moving_ijk)
    _reset_peak()
    before = peak_bytes()
    begin = time.process_time()
    register.register(fixed, moving, config)
    seconds = time.process_time() - begin
    peak = max([peak_bytes(), *(max(stage["peak"], stage["outer_peak"]) for stage in stages.found.values())])
    return {"before": before, "peak": peak, "seconds": seconds, "stages": stages.found}


def in_new_process(
    fixed_ijk: tuple[int, int, int], moving_ijk: tuple[int, int, int], config: RegistrationConfig
) -> dict[str, Any]:
    """:func:`run_case` in a process of its own with one thread."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    command = [sys.executable, __file__, "one", json.dumps([fixed_ijk, moving_ijk, to_dict(config)])]
    found = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    return dict(json.loads(found))


# -- commands ------------------------------------------------------------------------------------------


@click.group()
def main() -> None:
    """What a registration takes."""


@main.command()
@click.argument("case")
def one(case: str) -> None:
    """Run CASE and print what it took as JSON."""
    fixed, moving, values = json.loads(case)
    click.echo(json.dumps(run_case(tuple(fixed), tuple(moving), from_dict(RegistrationConfig, values))))


@main.command()
@click.argument("file", type=click.Path(path_type=Path))
def phantom(file: Path) -> None:
    """Write the images of a phantom pair to FILE, a NumPy array."""
    pair = make_pair(PHANTOM_SEED, default_grid().resized(PHANTOM_SIZE))
    np.save(file, np.stack([pair.fixed.image.array, pair.moving.image.array]).astype(np.float32))


@main.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--only", default="", help="only cases with this in their name")
def measure(file: Path, only: str) -> None:
    """Run all cases and keep what they took in FILE."""
    done = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    for name, (fixed, moving, config) in cases().items():
        if only not in name or name in done:
            continue
        done[name] = {"fixed": fixed, "moving": moving, "config": to_dict(config)}
        done[name] |= in_new_process(fixed, moving, config)
        file.write_text(json.dumps(done, indent=1), encoding="utf-8")
        click.echo(f"{name}: {done[name]['peak'] / 1e9:.2f} GB, {done[name]['seconds']:.0f} s")


@main.command()
@click.argument("file", type=click.Path(path_type=Path))
def fit(file: Path) -> None:
    """Print the tables of plan.py for what FILE holds, and how far each case is from them."""
    done = json.loads(file.read_text(encoding="utf-8"))
    cases = {name: (_size_of(case), from_dict(RegistrationConfig, case["config"]), case) for name, case in done.items()}
    table: dict[str, Any] = {}
    for stage in plan._BYTES:
        measured = [
            (size.features, case["stages"][stage]["peak"])
            for size, _, case in cases.values()
            if stage in case["stages"]
        ]
        if measured:
            table[stage] = _fit_stage(
                np.array([x for x, _ in measured], float), np.array([y for _, y in measured], float)
            )
            click.echo(f'"{stage}": ({table[stage][0]:.2e}, {", ".join(f"{c:.0f}" for c in table[stage][1:])}),')
    for name, (size, config, case) in cases.items():
        fitted = max(float(np.dot(table[stage], size.features)) for stage in case["stages"] if stage in table)
        fixed, moving = (knee_grid(tuple(case[role])) for role in ("fixed", "moving"))
        planned = plan.estimate_plan(fixed, moving, config)
        click.echo(
            f"{name}: {case['peak'] / 1e6:.0f} MB measured, {fitted / case['peak']:.2f} of it by this fit, "
            f"{planned.memory_bytes / case['peak']:.2f} by plan.py; {case['seconds']:.1f} s measured, "
            f"{planned.work / case['seconds']:.2f} of it by plan.py"
        )


def _size_of(case: dict[str, Any]) -> Any:
    fixed, moving = knee_grid(tuple(case["fixed"])), knee_grid(tuple(case["moving"]))
    return plan._size(fixed, moving, from_dict(RegistrationConfig, case["config"]))


def _fit_stage(features: Any, peaks: Any) -> Any:
    """Coefficients that are not negative, for the relative error."""
    from scipy.optimize import nnls

    scale = np.array([1e8, *[1.0] * (features.shape[1] - 1)])
    return nnls(features * scale / peaks[:, None], np.ones(len(peaks)))[0] * scale


if __name__ == "__main__":
    main()
