"""One job, one folder: what goes to the worker, and what comes back, as .npy files beside a JSON file.

The sender makes the folder (see :mod:`.folders`), writes the job in small steps (:func:`job_steps`) and
removes the folder when it is done. The worker writes its result whole or not at all. Reading maps the files
into memory, so that it takes no time of its own. This module imports no PyTorch.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..core.config import RegistrationConfig
from ..core.errors import FileError, ResourceError
from ..core.geometry import FloatArray, Grid
from ..core.image import Image, LandmarkPairs
from ..core.lattices.sampling import LabelMap
from ..core.result import FoldCount, LandmarkErrors, RegistrationResult, StartingMap
from ..core.serialization import from_dict, to_dict
from .segments import Segments, WarpedSegments, file_names

#: Bytes written between two pauses: a few milliseconds.
STEP_BYTES = 8 * 2**20

_JOB, _RESULT, _PARTIAL = "job.json", "result", "result.partial"
_INITIAL, _SEGMENTS = "initial", "segments"
_VOLUMES = ("displacement_field_mm", "inverse_displacement_field_mm", "jacobian_determinant", "warped")


@dataclass(frozen=True)
class Job:
    """What ``registration.register`` takes, and label maps to be carried by its result."""

    fixed: Image
    moving: Image
    config: RegistrationConfig
    fixed_mask: Image | None = None
    moving_mask: Image | None = None
    landmarks: LandmarkPairs | None = None
    initial_affine_ras: FloatArray | None = None
    initial: StartingMap | None = None
    segments: Segments = field(default_factory=Segments)

    @property
    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return what is written as .npy files, by name."""
        arrays = {name: image.array for name, image in self.images.items()}
        start = {} if self.initial is None else {_INITIAL: self.initial.displacement_field_mm}
        return {**arrays, **start, **self.segments.arrays}

    @property
    def images(self) -> dict[str, Image]:
        """The images that are there, by field."""
        found = {name: getattr(self, name) for name in ("fixed", "moving", "fixed_mask", "moving_mask")}
        return {name: image for name, image in found.items() if image is not None}

    @property
    def exchange_bytes(self) -> int:
        """Size of the job and of its result on disk."""
        fixed, moving = self.fixed.grid.num_voxels, self.moving.grid.num_voxels
        result = 4 * (5 * fixed + 3 * moving) + self.segments.warped_bytes(self.fixed.grid)
        return sum(array.nbytes for array in self.arrays.values()) + result


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
        segments = _segments(folder, values[_SEGMENTS])
    except (OSError, ValueError, KeyError) as error:
        raise FileError(f"{folder}: there is no complete job in it ({error}); start the registration again") from error
    landmarks, affine = values["landmarks"], values["initial_affine_ras"]
    return Job(
        **images,
        config=from_dict(RegistrationConfig, values["config"]),
        landmarks=None if landmarks is None else _landmarks(landmarks),
        initial_affine_ras=_matrix(affine),
        initial=initial,
        segments=segments,
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
        _SEGMENTS: job.segments.matrices(),
    }


def _initial_values(initial: StartingMap) -> dict[str, Any]:
    affine = initial.affine_ras
    return {"grid": initial.grid.to_dict(), "affine_ras": None if affine is None else np.asarray(affine).tolist()}


def _initial(folder: Path, values: dict[str, Any] | None) -> StartingMap | None:
    if values is None:
        return None
    field = _mapped(folder / f"{_INITIAL}.npy", "r")
    return StartingMap(field, Grid.from_dict(values["grid"]), _matrix(values["affine_ras"]))


def _segments(folder: Path, matrices: dict[str, Any]) -> Segments:
    found = {}
    for kind, of_kind in matrices.items():
        files = [folder / f"{name}.npy" for name in file_names(kind, len(of_kind))]
        found[kind] = tuple(
            LabelMap(_mapped(file, "r"), np.asarray(matrix)) for file, matrix in zip(files, of_kind, strict=True)
        )
    return Segments(**found)


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


def write_result(folder: Path, result: RegistrationResult, segments: WarpedSegments | None = None) -> None:
    """Write a result into a job's folder, whole or not at all.

    Args:
        folder: the job's.
        result: of its registration.
        segments: the job's, carried by the result.

    Raises:
        ResourceError: if the disk is full or the folder is gone.
    """
    partial = folder / _PARTIAL
    segments = segments or WarpedSegments()
    arrays = {**{name: getattr(result, name) for name in _VOLUMES}, **segments.arrays}
    values = {**_result_values(result), _SEGMENTS: segments.counts()}
    try:
        partial.mkdir()
        with ThreadPoolExecutor(len(_VOLUMES)) as pool:  # side by side it takes half as long
            list(pool.map(lambda name: np.save(partial / f"{name}.npy", arrays[name]), arrays))
        (partial / "result.json").write_text(json.dumps(values), encoding="utf-8")
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
        del values[_SEGMENTS]
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


def read_segments(folder: Path) -> WarpedSegments:
    """The segments in a job's folder, carried by its result and mapped into memory, as with :func:`read_result`.

    Raises:
        FileError: if there is no complete result.
    """
    source = folder / _RESULT
    try:
        counts = json.loads((source / "result.json").read_text(encoding="utf-8"))[_SEGMENTS]
        found = {
            kind: tuple(_mapped(source / f"{name}.npy", "c") for name in file_names(kind, count))
            for kind, count in counts.items()
        }
    except (OSError, ValueError) as error:
        raise FileError(f"{folder}: there is no complete result in it ({error}); register again") from error
    return WarpedSegments(**found)


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
