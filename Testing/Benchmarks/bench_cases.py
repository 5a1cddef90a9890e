"""What the speed targets are about: a native pair of 384 x 384 x 160 voxels warm, an iteration, and a cold run."""

from __future__ import annotations

import dataclasses
import gc
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import measure_plan
import torch

from JointRegistrationLib.core.config import NetworkConfig, RegistrationConfig, VsvfConfig
from JointRegistrationLib.core.geometry import Grid
from JointRegistrationLib.core.image import Image
from JointRegistrationLib.files import write_image
from JointRegistrationLib.ops.separable.resampling import resample, to_tensor
from JointRegistrationLib.phantom import default_grid, make_pair
from JointRegistrationLib.registration.register import register

NATIVE = (384, 384, 160)
WORKING = (192, 192, 80)
#: As in the targets: 7 affine steps, 3 vSVF steps, no refinement.
AVSM = RegistrationConfig(method="avsm", network=NetworkConfig(affine_steps=7, vsvf_steps=3, refine=0, fallback=False))
REPEATS = 3
_ITERATIONS = 10


def reset_peak(device: str) -> None:
    """Forget the largest memory so far, where the system can."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    elif Path("/proc/self/clear_refs").exists():
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak_mb(device: str) -> float:
    """Largest memory since :func:`reset_peak`: of the GPU, or resident."""
    return (torch.cuda.max_memory_allocated() if device == "cuda" else measure_plan.peak_bytes()) / 1e6


def native_pair() -> tuple[Image, Image]:
    """A phantom pair interpolated to the native size, 16-bit as from a scanner."""
    made = make_pair(7, default_grid().resized(WORKING))
    fixed, moving = (_native(knee.image) for knee in (made.fixed, made.moving))
    return fixed, moving


def _native(image: Image) -> Image:
    grid = image.grid.resized(NATIVE)
    values = resample(to_tensor(image.array), image.grid, NATIVE)[0, 0]
    return Image((values * (1000 / float(values.max()))).short().numpy(), grid, image.name)


@dataclasses.dataclass(frozen=True)
class Case:
    """What one configuration took: medians over the runs, the spread of the wall times, and the largest memory."""

    seconds: float
    spread: float
    cpu_seconds: float
    peak_mb: float
    stages: dict[str, float]


def measured(fixed: Image, moving: Image, config: RegistrationConfig, device: str, repeats: int = REPEATS) -> Case:
    """Run after one warm-up."""
    config = dataclasses.replace(config, device=device)
    register(fixed, moving, config)
    gc.collect()
    reset_peak(device)
    wall, cpu, stages = [], [], []
    for _ in range(repeats):
        begin, cpu_begin = time.perf_counter(), time.process_time()
        stages.append(register(fixed, moving, config).timings_s)
        wall.append(time.perf_counter() - begin)
        cpu.append(time.process_time() - cpu_begin)
    median = {name: statistics.median(stage[name] for stage in stages) for name in stages[0]}
    return Case(statistics.median(wall), max(wall) - min(wall), statistics.median(cpu), peak_mb(device), median)


def iteration_seconds(fixed: Image, moving: Image, device: str, level: int) -> tuple[float, float]:
    """Wall and CPU seconds of one refinement iteration at the working resolution shrunk by ``level``."""
    found = []
    for iterations in (1, 1 + _ITERATIONS):
        config = dataclasses.replace(
            AVSM,
            network=dataclasses.replace(AVSM.network, refine=iterations),
            vsvf=VsvfConfig(levels=(level,), tolerance=0.0),
        )
        case = measured(fixed, moving, config, device, repeats=1)
        found.append((case.stages["refining"], case.cpu_seconds))
    return (found[1][0] - found[0][0]) / _ITERATIONS, (found[1][1] - found[0][1]) / _ITERATIONS


def cold_run(fixed: Image, moving: Image, threads: int, device: str) -> dict[str, tuple[float, float]]:
    """Wall and CPU seconds of the command line in a new process, and of importing with loading the weights only."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    environment["PYTHONPATH"] = str(Path(__file__).resolve().parents[2])
    load = (
        "import JointRegistrationLib.registration.register; "
        "from JointRegistrationLib.networks import weights; weights.load_model()"
    )
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_image(fixed, folder / "fixed.nii.gz")
        write_image(moving, folder / "moving.nii.gz")
        command = ["-m", "JointRegistrationLib", "register", "fixed.nii.gz", "moving.nii.gz", "-o", "out"]
        settings = {"device": device, "network": {"vsvf_steps": AVSM.network.vsvf_steps, "refine": 0}}
        (folder / "settings.json").write_text(json.dumps(settings), encoding="utf-8")
        whole = [*command, "--config", "settings.json", "--quiet"]
        return {
            "importing and loading the weights": _process(["-c", load], folder, environment),
            "all told": _process(whole, folder, environment),
        }


def _process(arguments: list[str], folder: Path, environment: dict[str, str]) -> tuple[float, float]:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begin = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, cwd=folder, env=environment, capture_output=True)
    seconds = time.perf_counter() - begin
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def limits() -> tuple[float, float, float]:
    """What this machine can do, with the threads in use: GB/s of a large copy, GFLOP/s of a matrix product and of
    the momentum network's largest convolution, float32; the best of five.
    """
    source = torch.rand(1 << 26)
    target = torch.empty_like(source)
    a = torch.rand(2048, 2048)
    layer = torch.nn.Conv3d(48, 24, 3, padding=1)
    image = torch.rand(1, 48, 20, 48, 48)
    with torch.inference_mode():
        copy = _best(lambda: target.copy_(source))
        product = _best(lambda: a @ a)
        convolution = _best(lambda: layer(image))
    flops = 2 * 27 * 48 * 24 * image[0, 0].numel()
    return 2 * source.numel() * 4 / copy / 1e9, 2 * 2048**3 / product / 1e9, flops / convolution / 1e9


def _best(call: Callable[[], object]) -> float:
    call()
    found = []
    for _ in range(5):
        begin = time.perf_counter()
        call()
        found.append(time.perf_counter() - begin)
    return min(found)


def at_size(image: Image, size: tuple[int, int, int]) -> Image:
    grid: Grid = image.grid.resized(size)
    return Image(resample(to_tensor(image.array), image.grid, size)[0, 0].short().numpy(), grid, image.name)
