"""The voxels of DICOM frames: uncompressed ones as they stand in the file, compressed ones by a child process."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from ...core.errors import FileError, InputError
from ...core.system.reading import malformed
from ..guarded.child import ask_child
from ..headers.claims import check_claim, check_memory
from .frames import Frame, read_dataset, stored_type

_BIG_ENDIAN = "1.2.840.10008.1.2.2"
_UNCOMPRESSED = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99", _BIG_ENDIAN)
#: Secondary captures of 8 and of 16 bits: what the decoder is given, so that it decodes and does nothing else.
_CAPTURE = {8: "1.2.840.10008.5.1.4.1.1.7.2", 16: "1.2.840.10008.5.1.4.1.1.7.3"}
_KEPT = (
    "SOPInstanceUID",
    "SamplesPerPixel",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "PixelData",
)
_ADVICE = "export the series again"


def read_pixels(path: Path, frames: Sequence[Frame], types: Mapping[Path, np.dtype[Any]]) -> npt.NDArray[Any]:
    """The frames one upon another, (k, j, i), with each one's own scale.

    Whole numbers stay whole: of the stored type where nothing is scaled, else single precision.

    Args:
        path: for messages.
        frames: in their order.
        types: of the stored values, by file.

    Raises:
        FileError: if a frame is cut short or damaged.
        InputError: for pixels that are no integers; ResourceError: if there is not enough memory.
    """
    kind = np.result_type(*{types[frame.file] for frame in frames})
    scaled = any(frame.slope != 1 or frame.intercept != 0 for frame in frames)
    if scaled:
        kind = np.dtype(np.float64 if kind.itemsize > 2 else np.float32)
    columns, rows = frames[0].size
    check_memory(path, len(frames) * rows * columns * kind.itemsize)
    result: npt.NDArray[Any] | None = None
    for file in dict.fromkeys(frame.file for frame in frames):
        stored = _stored(file)
        if result is None:  # the first file had what it claims
            result = np.empty((len(frames), rows, columns), kind)
        for k, frame in enumerate(frames):
            if frame.file == file:
                if stored.shape[1:] != (rows, columns) or frame.number >= len(stored):
                    raise FileError(f"{file}: its pixels are not those of its header; {_ADVICE}")
                values = stored[frame.number]
                result[k] = values * np.float64(frame.slope) + frame.intercept if scaled else values
    assert result is not None
    return result


def _stored(path: Path) -> npt.NDArray[Any]:
    """All frames of a file as they are stored: (frame, row, column)."""
    dataset = read_dataset(path, pixels=True)
    if dataset is None or "PixelData" not in dataset:
        raise FileError(f"{path}: holds no pixels of integers; {_ADVICE}")
    with malformed(path, "a DICOM image", _ADVICE), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        kind = stored_type(dataset, path)
        shape = (int(dataset.get("NumberOfFrames") or 1), int(dataset.Rows), int(dataset.Columns))
        syntax = str(getattr(dataset, "file_meta", Dataset()).get("TransferSyntaxUID") or _UNCOMPRESSED[0])
        data = dataset.PixelData
        needed = int(np.prod(shape, dtype=object)) * kind.itemsize
        check_claim(path, needed, len(data), compressed=syntax not in _UNCOMPRESSED)
        if syntax not in _UNCOMPRESSED:
            return _decoded(dataset, path, shape)
        values = np.frombuffer(data, kind.newbyteorder(">" if syntax == _BIG_ENDIAN else "<"), needed // kind.itemsize)
        return _in_stored_bits(values.reshape(shape), dataset)


def _in_stored_bits(values: npt.NDArray[Any], dataset: Dataset) -> npt.NDArray[Any]:
    """Without what overlays or a missing sign leave in the bits above the stored ones."""
    allocated = 8 * values.dtype.itemsize
    spare = allocated - int(dataset.get("BitsStored") or allocated)
    if not 0 < spare < allocated or int(dataset.get("HighBit") or 0) != allocated - spare - 1:
        return values
    native = values.astype(values.dtype.newbyteorder("="))
    return np.asarray((native << spare) >> spare)


def _decoded(dataset: Dataset, path: Path, shape: tuple[int, int, int]) -> npt.NDArray[Any]:
    """Pixels of a compressed file: a copy without anything but them is decoded by ITK, in a child process."""
    bits = int(dataset.BitsAllocated)
    if bits not in _CAPTURE:
        raise InputError(f"{path}: compressed pixels of {bits} bits cannot be used; export the series uncompressed")
    for element in [element for element in dataset if element.keyword not in _KEPT]:
        del dataset[element.tag]
    dataset.SOPClassUID = _CAPTURE[bits]
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.NumberOfFrames = shape[0]
    dataset.file_meta.MediaStorageSOPClassUID = _CAPTURE[bits]
    with tempfile.TemporaryDirectory(prefix="joint-registration-") as folder:
        plain = Path(folder) / "pixels.dcm"
        dataset.save_as(plain)
        try:
            values = ask_child("stored_values", plain).arrays["voxels"]
        except FileError as error:
            raise FileError(f"{path}: its compressed pixels cannot be read; export the series uncompressed") from error
    return values.reshape(shape)
