"""What the child process of :mod:`.child` does: it takes bounds upon itself, reads one file, and answers."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from ...core.errors import FileError, JointRegistrationError
from ..output import itk_reason
from ..transforms.hdf5 import honest_numbers
from .child import write_answer, write_failure
from .forker import serve
from .names import native_input
from .native import execute, header_values, open_image, read_voxels

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

#: Memory that a number of an HDF5 transform takes on its way, at most: ITK holds it as double, several times.
_BYTES_PER_NUMBER = 32

__all__ = ["main", "serve"]

_Answer = tuple[Mapping[str, Any], Mapping[str, Any]]


def main(folder: str) -> None:
    """Answer the request in ``folder``."""
    where = Path(folder)
    request = json.loads((where / "request.json").read_text(encoding="ascii"))
    _bound(request["memory_bytes"], request["most_bytes"], request["seconds"])
    try:
        with native_input(Path(request["file"])) as name:
            values, arrays = _READERS[request["what"]](name, Path(request["name"]), request["options"])
            write_answer(where, values, arrays)
    except JointRegistrationError as error:
        write_failure(where, error)


def _bound(memory_bytes: int, most_bytes: int, seconds: int) -> None:
    """No more memory than that on top of what the process has, no more processor time, and no core file.

    Windows knows no such bounds, and macOS none on memory.
    """
    if resource is None:
        return
    used = resource.getrusage(resource.RUSAGE_SELF)
    begun = int(used.ru_utime + used.ru_stime) + 1
    _limit(resource.RLIMIT_CPU, seconds + begun, seconds + begun)
    _limit(resource.RLIMIT_CORE, 0, 0)
    size = _process_bytes()
    if size is not None:
        _limit(resource.RLIMIT_AS, size + memory_bytes, size + max(memory_bytes, most_bytes))


def _allow(memory_bytes: int) -> None:
    """Let this process take so much, if that is more than it may already, as far as it can."""
    size = _process_bytes()
    if resource is not None and size is not None:
        soft, hard = resource.getrlimit(resource.RLIMIT_AS)
        _limit(resource.RLIMIT_AS, min(max(soft, size + memory_bytes), hard), hard)


def _limit(kind: int, soft: int, hard: int) -> None:
    with contextlib.suppress(OSError, ValueError):  # a lower bound holds already
        resource.setrlimit(kind, (soft, hard))


def _process_bytes() -> int | None:
    """The address space in use; None where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    except OSError:
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


def _header(name: str, path: Path, _options: Mapping[str, Any]) -> _Answer:
    return header_values(open_image(name, path, "")), {}


def _image(name: str, path: Path, options: Mapping[str, Any]) -> _Answer:
    reader = open_image(name, path, "")
    vector = bool(options.get("vector"))
    return header_values(reader), {"voxels": read_voxels(reader, path, vector=vector)}


def _transform(name: str, path: Path, _options: Mapping[str, Any]) -> _Answer:
    """The parts of a transform, in the order in which a point passes through them: names and numbers."""
    if path.name.lower().endswith((".h5", ".hdf5")):
        _allow(_BYTES_PER_NUMBER * honest_numbers(name))
    try:
        transform = sitk.ReadTransform(name).Downcast()
    except RuntimeError as error:
        raise FileError(
            f"{path}: cannot be read as a transform ({itk_reason(error)}); "
            "give an ITK transform (.h5, .tfm, .txt, .mat) or a displacement field (.nrrd, .nii.gz)"
        ) from error
    values: list[dict[str, Any]] = []
    arrays: dict[str, Any] = {}
    for number, part in enumerate(flattened(transform)):
        about = {"name": part.GetName(), "dimension": part.GetDimension(), "linear": bool(part.IsLinear())}
        if part.GetName() == "DisplacementFieldTransform":
            field = part.GetDisplacementField()
            about |= header_values(field)
            arrays[str(number)] = _smallest_copy(sitk.GetArrayViewFromImage(field))
        else:
            about["fixed"] = np.asarray(part.GetFixedParameters(), dtype=np.float64).tolist()
            arrays[str(number)] = np.asarray(part.GetParameters(), dtype=np.float64)
            if about["linear"]:
                about["corners"] = [part.TransformPoint(point) for point in _corners(part.GetDimension())]
            if part.GetName() == "BSplineTransform":
                about["order"] = part.GetOrder()
        values.append(about)
    return {"parts": values}, arrays


def _smallest_copy(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """In single precision where that loses nothing, as in what we write."""
    single = values.astype(np.float32)
    return single if np.array_equal(single, values) else values.copy()


def _corners(dimension: int) -> list[list[float]]:
    """The origin and the ends of the unit vectors, which a linear transform is known by."""
    return [[0.0] * dimension, *np.eye(dimension).tolist()]


def flattened(transform: Any) -> list[Any]:
    """The parts of a transform in the order a point passes through them."""
    if transform.GetName() != "CompositeTransform":
        return [transform]
    nested = [transform.GetNthTransform(n).Downcast() for n in range(transform.GetNumberOfTransforms())]
    return [part for inner in reversed(nested) for part in flattened(inner)]


def _stored_values(name: str, path: Path, _options: Mapping[str, Any]) -> _Answer:
    """The voxels of a DICOM file as they are stored: (frame, row, column)."""
    array = execute(open_image(name, path, "GDCMImageIO"), path)
    return {}, {"voxels": array if array.ndim == 3 else array[None]}


_READERS: dict[str, Callable[[str, Path, Mapping[str, Any]], _Answer]] = {
    "header": _header,
    "image": _image,
    "transform": _transform,
    "stored_values": _stored_values,
}
