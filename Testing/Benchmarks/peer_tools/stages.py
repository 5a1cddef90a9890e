"""What the peers' programs have in common: a stage, how it is measured, and the files it leaves.

Runs in the peers' own environment, so it imports neither the library nor PyTorch. Frames are ITK's (LPS) here.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import SimpleITK as sitk

#: The affine transform in the folder, fixed to moving points, that a peer without one of its own begins with.
START = "start.tfm"


@dataclass(frozen=True)
class Cost:
    """What a registration took so far: wall and processor seconds, and the process's peak resident memory."""

    seconds: float
    cpu_seconds: float
    peak_memory_mb: float


@dataclass(frozen=True)
class Stage:
    """A transform that sends fixed points to moving points, and what it cost from the start of the registration.

    ``inverse`` sends moving points to fixed points; None where the tool does not give it.
    """

    method: str
    transform: sitk.Transform
    inverse: sitk.Transform | None
    cost: Cost


class Clock:
    """Counts the time spent inside ``with`` blocks; what lies between them is not registration."""

    def __init__(self) -> None:
        self._wall = self._cpu = 0.0

    def __enter__(self) -> None:
        self._begin = time.perf_counter(), time.process_time()

    def __exit__(self, *_: object) -> None:
        self._wall += time.perf_counter() - self._begin[0]
        self._cpu += time.process_time() - self._begin[1]

    def cost(self) -> Cost:
        """Up to now."""
        return Cost(self._wall, self._cpu, peak_memory_mb())


def peak_memory_mb() -> float:
    """Peak resident memory of this process so far, Python and the tool's libraries included.

    Linux lets a process inherit getrusage's figure from the one that started it, so /proc is asked there.
    """
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text(encoding="utf-8").splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024 / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # bytes on macOS


def after(field: sitk.Image, affine: sitk.Transform) -> sitk.Transform:
    """x -> A(x + u(x)), with u a vector image in mm."""
    return sitk.CompositeTransform([affine, displacement(field)])


def before(affine: sitk.Transform, field: sitk.Image) -> sitk.Transform:
    """y -> x + w(x) at x = A(y)."""
    return sitk.CompositeTransform([displacement(field), affine])


def displacement(field: sitk.Image) -> sitk.Transform:
    """x -> x + u(x); the transform takes the image's memory, so it gets a copy."""
    return sitk.DisplacementFieldTransform(sitk.Cast(field, sitk.sitkVectorFloat64))


def write_field(transform: sitk.Transform, grid: sitk.Image, path: Path) -> None:
    """The transform's displacements at the voxels of ``grid``, LPS mm."""
    field = sitk.TransformToDisplacementField(
        transform, sitk.sitkVectorFloat32, grid.GetSize(), grid.GetOrigin(), grid.GetSpacing(), grid.GetDirection()
    )
    sitk.WriteImage(field, str(path))


def main(package: str, register: Callable[[Path, Path, Path, int], Iterable[Stage]]) -> None:
    """Command line of a peer's program: FIXED MOVING FOLDER THREADS.

    Leaves stages.json in the folder, and for each stage METHOD.mha on the fixed grid and METHOD-inverse.mha on
    the moving grid, displacement fields in LPS mm. A ``register`` that yields its stages one by one leaves those
    that were done when it is stopped.
    """
    fixed, moving, folder = (Path(name) for name in sys.argv[1:4])
    threads = int(sys.argv[4])
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)
    fixed_grid, moving_grid = (sitk.ReadImage(str(path)) for path in (fixed, moving))
    found: list[dict[str, object]] = []
    for stage in register(fixed, moving, folder, threads):
        write_field(stage.transform, fixed_grid, folder / f"{stage.method}.mha")
        if stage.inverse is not None:
            write_field(stage.inverse, moving_grid, folder / f"{stage.method}-inverse.mha")
        found.append({"method": stage.method, **asdict(stage.cost)})
        content = {"version": f"{package} {version(package)}", "stages": found}
        unfinished = folder / "stages.json.part"
        unfinished.write_text(json.dumps(content), encoding="utf-8")
        unfinished.replace(folder / "stages.json")
