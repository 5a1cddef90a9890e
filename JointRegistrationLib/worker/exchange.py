"""One job, one folder: what goes to the worker, and what comes back, as .npy files beside a JSON file.

The sender makes the folder (:func:`new_folder`), writes the job in small steps (:func:`job_steps`) and
removes the folder when it is done (:func:`remove_folder`); folders of processes that died are removed by
:func:`remove_stale_folders`. The worker writes its result whole or not at all. Reading maps the files
into memory, so that it takes no time of its own. This module imports no PyTorch.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..config import RegistrationConfig, from_dict, to_dict
from ..errors import FileError, ResourceError
from ..geometry import FloatArray, Grid
from ..image import Image, LandmarkPairs
from ..result import FoldCount, LandmarkErrors, RegistrationResult
from ..starting_map import StartingMap

#: Bytes written between two pauses: a few milliseconds.
STEP_BYTES = 8 * 2**20

_PREFIX = "joint-registration-job-"
_SHARED_MEMORY = Path("/dev/shm")  # Linux; its files never go to a disk
_JOB, _RESULT, _PARTIAL = "job.json", "result", "result.partial"
_INITIAL = "initial"
_VOLUMES = ("displacement_field_mm", "inverse_displacement_field_mm", "jacobian_determinant", "warped")


@dataclass(frozen=True)
class Job:
    """What ``inference.register`` takes."""

    fixed: Image
    moving: Image
    config: RegistrationConfig
    fixed_mask: Image | None = None
    moving_mask: Image | None = None
    landmarks: LandmarkPairs | None = None
    initial_affine_ras: FloatArray | None = None
    initial: StartingMap | None = None

    @property
    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """What is written as .npy files, by name."""
        arrays = {name: image.array for name, image in self.images.items()}
        return arrays if self.initial is None else {**arrays, _INITIAL: self.initial.displacement_field_mm}

    @property
    def images(self) -> dict[str, Image]:
        """The images that are there, by field."""
        found = {name: getattr(self, name) for name in ("fixed", "moving", "fixed_mask", "moving_mask")}
        return {name: image for name, image in found.items() if image is not None}

    @property
    def exchange_bytes(self) -> int:
        """Size of the job and of its result on disk."""
        fixed, moving = self.fixed.grid.num_voxels, self.moving.grid.num_voxels
        return sum(array.nbytes for array in self.arrays.values()) + 4 * (5 * fixed + 3 * moving)


# -- folders --------------------------------------------------------------------------------------------


def new_folder(needed_bytes: int, roots: tuple[Path, ...] | None = None) -> Path:
    """A fresh empty folder, where ``needed_bytes`` fit.

    Args:
        needed_bytes: see :attr:`Job.exchange_bytes`.
        roots: where to look, the best first; None for shared memory, then the system's temporary folder.

    Raises:
        ResourceError: if there is too little room.
    """
    for root in roots or _roots():
        reserve = 2 if root == _SHARED_MEMORY else 1  # there it is memory, which others need too
        with contextlib.suppress(OSError):
            if shutil.disk_usage(root).free >= reserve * needed_bytes:
                return Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=root))
    place = (roots or _roots())[-1]
    raise ResourceError(
        f"{needed_bytes / 1e6:.0f} MB are needed in {place} to hand the images to the registration process, but "
        "there is no room for them; free some, or set TMPDIR to another folder"
    )


def remove_folder(folder: Path) -> None:
    """Remove a job's folder. What Windows still holds open stays, until :func:`remove_stale_folders`."""
    shutil.rmtree(folder, ignore_errors=True)


def remove_stale_folders(roots: tuple[Path, ...] | None = None) -> list[Path]:
    """Remove the job folders of processes that are no more; returns them."""
    stale = []
    for root in roots or _roots():
        for folder in root.glob(f"{_PREFIX}*"):
            owner = folder.name.removeprefix(_PREFIX).partition("-")[0]
            if owner.isdigit() and not _alive(int(owner)):
                remove_folder(folder)
                stale.append(folder)
    return stale


def _roots() -> tuple[Path, ...]:
    temporary = Path(tempfile.gettempdir())
    return (_SHARED_MEMORY, temporary) if os.access(_SHARED_MEMORY, os.W_OK) else (temporary,)


def _alive(pid: int) -> bool:
    if sys.platform == "win32":  # there os.kill(pid, 0) would send Ctrl-C
        handle = ctypes.windll.kernel32.OpenProcess(0x1000, False, pid)
        if handle:
            ctypes.windll.kernel32.CloseHandle(handle)
        return bool(handle)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # another user's
    return True


# -- the job --------------------------------------------------------------------------------------------


def job_steps(folder: Path, job: Job) -> Iterator[float]:
    """Write a job, pausing after every :data:`STEP_BYTES`; it is complete when the iterator ends.

    The arrays must not be written to meanwhile.

    Yields:
        The share of bytes written.

    Raises:
        ResourceError: if the disk is full or the folder cannot be written.
    """
    arrays = job.arrays
    total = sum(array.nbytes for array in arrays.values())
    written = 0
    try:
        for name, array in arrays.items():
            for size in _array_steps(folder / f"{name}.npy", array):
                written += size
                yield written / total
        (folder / _JOB).write_text(json.dumps(_job_values(job)), encoding="utf-8")
    except OSError as error:
        raise ResourceError(f"{folder}: the images cannot be written: {error.strerror}; free some space") from error


def write_job(folder: Path, job: Job) -> None:
    """Write a job in one go; see :func:`job_steps`."""
    for _ in job_steps(folder, job):
        pass


def read_job(folder: Path) -> Job:
    """The job in ``folder``; its arrays are read-only.

    Raises:
        FileError: if it is not there, or not complete.
    """
    try:
        values = json.loads((folder / _JOB).read_text(encoding="utf-8"))
        images = {
            name: Image(_mapped(folder / f"{name}.npy", "r"), Grid.from_dict(entry["grid"]), entry["name"])
            for name, entry in values["images"].items()
        }
        initial = _initial(folder, values["initial"])
    except (OSError, ValueError, KeyError) as error:
        raise FileError(f"{folder}: there is no complete job in it ({error}); start the registration again") from error
    landmarks, affine = values["landmarks"], values["initial_affine_ras"]
    return Job(
        **images,
        config=from_dict(RegistrationConfig, values["config"]),
        landmarks=None if landmarks is None else _landmarks(landmarks),
        initial_affine_ras=_matrix(affine),
        initial=initial,
    )


def _array_steps(path: Path, array: npt.NDArray[Any]) -> Iterator[int]:
    """Write an array slice by slice; yields the bytes written since the last time."""
    rows = max(1, STEP_BYTES // max(1, array[:1].nbytes))
    with path.open("wb") as file:
        header = {"descr": np.lib.format.dtype_to_descr(array.dtype), "fortran_order": False, "shape": array.shape}
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, len(array), rows):
            part = np.ascontiguousarray(array[start : start + rows])
            file.write(part.data)
            yield part.nbytes


def _job_values(job: Job) -> dict[str, Any]:
    landmarks, affine = job.landmarks, job.initial_affine_ras
    return {
        "images": {name: {"grid": image.grid.to_dict(), "name": image.name} for name, image in job.images.items()},
        "config": to_dict(job.config),
        "landmarks": None if landmarks is None else _landmark_values(landmarks),
        "initial_affine_ras": None if affine is None else np.asarray(affine).tolist(),
        "initial": None if job.initial is None else _initial_values(job.initial),
    }


def _initial_values(initial: StartingMap) -> dict[str, Any]:
    affine = initial.affine_ras
    return {"grid": initial.grid.to_dict(), "affine_ras": None if affine is None else np.asarray(affine).tolist()}


def _initial(folder: Path, values: dict[str, Any] | None) -> StartingMap | None:
    if values is None:
        return None
    field = _mapped(folder / f"{_INITIAL}.npy", "r")
    return StartingMap(field, Grid.from_dict(values["grid"]), _matrix(values["affine_ras"]))


def _matrix(values: Any) -> FloatArray | None:
    return None if values is None else np.asarray(values, dtype=np.float64)


def _landmark_values(landmarks: LandmarkPairs) -> dict[str, Any]:
    return {
        "fixed_ras": landmarks.fixed_ras.tolist(),
        "moving_ras": landmarks.moving_ras.tolist(),
        "names": list(landmarks.names),
    }


def _landmarks(values: dict[str, Any]) -> LandmarkPairs:
    fixed, moving = (np.asarray(values[which], dtype=np.float64) for which in ("fixed_ras", "moving_ras"))
    return LandmarkPairs(fixed, moving, tuple(values["names"]))


def _mapped(path: Path, mode: Any) -> npt.NDArray[Any]:
    return np.asarray(np.load(path, mmap_mode=mode, allow_pickle=False))


# -- the result -----------------------------------------------------------------------------------------


def write_result(folder: Path, result: RegistrationResult) -> None:
    """Write a result into a job's folder, whole or not at all.

    Raises:
        ResourceError: if the disk is full or the folder is gone.
    """
    partial = folder / _PARTIAL
    try:
        partial.mkdir()
        with ThreadPoolExecutor(len(_VOLUMES)) as pool:  # side by side it takes half as long
            list(pool.map(lambda name: np.save(partial / f"{name}.npy", getattr(result, name)), _VOLUMES))
        (partial / "result.json").write_text(json.dumps(_result_values(result)), encoding="utf-8")
        partial.rename(folder / _RESULT)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise ResourceError(f"{folder}: the result cannot be written: {error.strerror}; free some space") from error


def read_result(folder: Path) -> RegistrationResult:
    """The result in a job's folder, mapped into memory: writing to its arrays changes no file.

    On Linux and macOS the folder may be removed while the arrays are in use.

    Raises:
        FileError: if there is no complete result.
    """
    source = folder / _RESULT
    try:
        values = json.loads((source / "result.json").read_text(encoding="utf-8"))
        volumes: dict[str, Any] = {name: _mapped(source / f"{name}.npy", "c") for name in _VOLUMES}
    except (OSError, ValueError) as error:
        raise FileError(f"{folder}: there is no complete result in it ({error}); register again") from error
    return RegistrationResult(
        **volumes,
        fixed_grid=Grid.from_dict(values.pop("fixed_grid")),
        moving_grid=Grid.from_dict(values.pop("moving_grid")),
        affine_ras=np.asarray(values.pop("affine_ras"), dtype=np.float64),
        folds=FoldCount(**values.pop("folds")),
        config=from_dict(RegistrationConfig, values.pop("config")),
        notes=tuple(values.pop("notes")),
        landmark_errors_mm=_landmark_errors(values.pop("landmark_errors_mm")),
        **values,
    )


def _result_values(result: RegistrationResult) -> dict[str, Any]:
    return {
        "fixed_grid": result.fixed_grid.to_dict(),
        "moving_grid": result.moving_grid.to_dict(),
        "affine_ras": result.affine_ras.tolist(),
        "folds": asdict(result.folds),
        "similarity_before": result.similarity_before,
        "similarity_after": result.similarity_after,
        "inverse_error_mean_mm": result.inverse_error_mean_mm,
        "inverse_error_max_mm": result.inverse_error_max_mm,
        "timings_s": result.timings_s,
        "config": to_dict(result.config),
        "device": result.device,
        "notes": list(result.notes),
        "landmark_errors_mm": None if result.landmark_errors_mm is None else asdict(result.landmark_errors_mm),
    }


def _landmark_errors(values: dict[str, Any] | None) -> LandmarkErrors | None:
    if values is None:
        return None
    return LandmarkErrors(**{name: tuple(entries) for name, entries in values.items()})
