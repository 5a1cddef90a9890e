"""One job, one folder: what goes to the worker, and what comes back, as .npy files beside a JSON file.

The sender makes the folder (see :mod:`.folders`), writes the job in small steps (:func:`job_steps`) and
removes the folder when it is done. The worker writes its result whole or not at all. Reading maps the files
into memory, so that it takes no time of its own. This module imports no PyTorch.

All are dataclasses of dataclasses and are written field by field: a field that is added to one of them needs no line
here. Arrays of three axes or more, such as volumes, are files; all else, points and matrices too, is JSON, with the
class's name in ``"type"``.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ..core.config import RegistrationConfig
from ..core.errors import FileError, ResourceError
from ..core.image import Image
from ..core.inputs import RegistrationInputs
from ..core.lattices.segments import RunSegments
from ..core.result import RegistrationResult
from ..core.serialization import from_dict
from ..core.structures import Segmentation
from .segments import warped_bytes

#: Bytes written between two pauses: a few milliseconds.
STEP_BYTES = 8 * 2**20

_VALUES, _RESULT, _PARTIAL = "values.json", "result", "result.partial"
_FILE, _TYPE = ".npy", "type"
_WRITERS = 4  # side by side it takes half as long

_Arrays = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Job:
    """What ``registration.register`` takes, and label maps to be warped by its result."""

    inputs: RegistrationInputs
    config: RegistrationConfig
    segments: RunSegments = field(default_factory=RunSegments)

    @property
    def exchange_bytes(self) -> int:
        """Size of the job and of its result on disk."""
        fixed, moving = self.inputs.fixed.grid, self.inputs.moving.grid
        result = 4 * (5 * fixed.num_voxels + 3 * moving.num_voxels) + warped_bytes(self.segments, fixed)
        return sum(array.nbytes for array in _parts_of(self)[1].values()) + result


@dataclass(frozen=True)
class SegmentationJob:
    """What ``segmentation.segment`` takes."""

    image: Image
    device: str = "auto"

    @property
    def exchange_bytes(self) -> int:
        """Size of the job and of its result on disk."""
        return self.image.array.nbytes + self.image.grid.num_voxels


AnyJob = Job | SegmentationJob
_JOBS = (Job, SegmentationJob)


@dataclass(frozen=True)
class _Outcome:
    result: RegistrationResult
    segments: RunSegments


# -- any dataclass --------------------------------------------------------------------------------------


def _parts_of(record: Any) -> tuple[dict[str, Any], _Arrays]:
    """A dataclass as plain values for JSON, and its arrays by the names that stand for them there."""
    arrays: _Arrays = {}

    def plain(value: Any, name: str) -> Any:
        if dataclasses.is_dataclass(value):
            return {f.name: plain(getattr(value, f.name), f"{name}.{f.name}") for f in dataclasses.fields(value)}
        if isinstance(value, (list, tuple)):
            return [plain(entry, f"{name}.{number}") for number, entry in enumerate(value)]
        if isinstance(value, np.ndarray) and value.ndim > 2:
            arrays[name] = value
            return {_FILE: name}
        return value.tolist() if isinstance(value, np.ndarray) else value

    kind = type(record).__name__
    return {_TYPE: kind, **plain(record, kind.strip("_").lower())}, arrays


def _read(kinds: tuple[type[Any], ...], folder: Path, mode: Literal["r", "c"]) -> Any:
    """The record of one of ``kinds`` that :func:`_parts_of` took apart, its arrays mapped into memory.

    Raises:
        FileError: if it is not there, not complete, or another one.
    """

    def mapped(values: dict[str, Any]) -> Any:
        if set(values) != {_FILE}:
            return values
        path = folder / f"{values[_FILE]}{_FILE}"
        return np.asarray(np.load(path, mmap_mode=mode, allow_pickle=False))

    try:
        values = json.loads((folder / _VALUES).read_text(encoding="utf-8"), object_hook=mapped)
        kind = {kind.__name__: kind for kind in kinds}[values.pop(_TYPE)]
        return from_dict(kind, values)
    except (OSError, ValueError, KeyError) as error:
        what = "job" if kinds is _JOBS else "result"
        raise FileError(f"{folder}: there is no complete {what} in it ({error}); start it again") from error


# -- the job --------------------------------------------------------------------------------------------


def job_steps(folder: Path, job: AnyJob) -> Iterator[float]:
    """Write a job, pausing after every :data:`STEP_BYTES`; it is complete when the iterator ends.

    The arrays must not be written to meanwhile.

    Yields:
        The share of bytes written.

    Raises:
        ResourceError: if the disk is full or the folder cannot be written.
    """
    values, arrays = _parts_of(job)
    total = sum(array.nbytes for array in arrays.values())
    written = 0
    try:
        for name, array in arrays.items():
            for size in _array_steps(folder / f"{name}{_FILE}", array):
                written += size
                yield written / total
        (folder / _VALUES).write_text(json.dumps(values), encoding="utf-8")
    except OSError as error:
        raise ResourceError(f"{folder}: the images cannot be written: {error.strerror}; free some space") from error


def write_job(folder: Path, job: AnyJob) -> None:
    """Write a job in one go; see :func:`job_steps`."""
    for _ in job_steps(folder, job):
        pass


def read_job(folder: Path) -> AnyJob:
    """The job in ``folder``; its arrays are read-only.

    Raises:
        FileError: if it is not there, or not complete.
    """
    job: AnyJob = _read(_JOBS, folder, "r")
    return job


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


# -- the result -----------------------------------------------------------------------------------------


def write_result(folder: Path, result: RegistrationResult, segments: RunSegments | None = None) -> None:
    """Write a result into a job's folder, whole or not at all.

    Args:
        folder: the job's.
        result: of its registration.
        segments: the job's, warped by the result.

    Raises:
        ResourceError: if the disk is full or the folder is gone.
    """
    _write_whole(folder, _Outcome(result, segments or RunSegments()))


def write_found(folder: Path, found: Segmentation) -> None:
    """The same of a :class:`SegmentationJob`."""
    _write_whole(folder, found)


def _write_whole(folder: Path, record: _Outcome | Segmentation) -> None:
    partial = folder / _PARTIAL
    values, arrays = _parts_of(record)
    try:
        partial.mkdir()
        with ThreadPoolExecutor(_WRITERS) as pool:
            list(pool.map(lambda name: np.save(partial / f"{name}{_FILE}", arrays[name]), arrays))
        (partial / _VALUES).write_text(json.dumps(values), encoding="utf-8")
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
    result: RegistrationResult = _read((_Outcome,), folder / _RESULT, "c").result
    return result


def read_segments(folder: Path) -> RunSegments:
    """The segments in a job's folder, warped by its result and mapped into memory, as with :func:`read_result`.

    Raises:
        FileError: if there is no complete result.
    """
    segments: RunSegments = _read((_Outcome,), folder / _RESULT, "c").segments
    return segments


def read_found(folder: Path) -> Segmentation:
    """What was found, in the folder of a :class:`SegmentationJob`, mapped into memory, as with :func:`read_result`.

    Raises:
        FileError: if there is no complete result.
    """
    found: Segmentation = _read((Segmentation,), folder / _RESULT, "c")
    return found
