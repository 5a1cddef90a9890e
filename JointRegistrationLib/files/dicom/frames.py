"""The frames of DICOM files, of single slices and of enhanced multi-frame files alike, by pydicom.

ITK's reader shows few tags, takes a spacing that is missing for 1 mm, and lays frames evenly in the order in which the
file has them. So the place of every frame is read here.
"""

from __future__ import annotations

import io
import math
import warnings
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset

from ...core.errors import FileError, InputError
from ...core.geometry import FloatArray
from ...core.system.reading import check_input_file, malformed
from .mark import META_OFFSET, has_mark

_DEFLATED = "1.2.840.10008.1.2.1.99"
_LARGEST_INFLATED = 1 << 30
_ADVICE = "export the series again"
#: What tells volumes at the same places apart, the most telling first: keyword, the sequence that holds it in an
#: enhanced file, what it is called in messages, and its unit.
DISTINCTIONS = (
    ("EchoTime", "MREchoSequence", "echo time", " ms"),
    ("EchoNumbers", "", "echo", ""),
    ("EffectiveEchoTime", "MREchoSequence", "echo time", " ms"),
    ("ContrastBolusAgent", "", "contrast", ""),
    ("ContrastBolusAgentPhase", "ContrastBolusUsageSequence", "contrast", ""),
    ("ComplexImageComponent", "MRImageFrameTypeSequence", "component", ""),
    ("ImageType", "", "image type", ""),
    ("FrameType", "MRImageFrameTypeSequence", "image type", ""),
    ("TemporalPositionIdentifier", "", "time", ""),
    ("TemporalPositionIndex", "FrameContentSequence", "time", ""),
    ("InversionTime", "", "inversion time", " ms"),
    ("FlipAngle", "", "flip angle", " degrees"),
    ("DiffusionBValue", "MRDiffusionSequence", "b-value", ""),
    ("TriggerTime", "", "trigger time", " ms"),
    ("AcquisitionNumber", "", "acquisition", ""),
    ("FrameAcquisitionNumber", "FrameContentSequence", "acquisition", ""),
    ("StackID", "FrameContentSequence", "stack", ""),
    ("AcquisitionTime", "", "acquired at", ""),
    ("ContentTime", "", "written at", ""),
)


@dataclass(frozen=True)
class Frame:
    """One frame, its place in the patient (LPS, mm) and what its stored values mean.

    ``position``, ``axes`` (rows: along a row, down a column) and ``spacing`` (along a row, down a column) are None
    where the file does not say. ``traits`` are its values of :data:`DISTINCTIONS`, as text.
    """

    file: Path
    number: int
    size: tuple[int, int]
    position: FloatArray | None
    axes: FloatArray | None
    spacing: tuple[float, float] | None
    slope: float
    intercept: float
    traits: tuple[str, ...]


@dataclass(frozen=True)
class DicomFile:
    """One file: what is needed of its header, and its frames. ``tags`` are texts by keyword, "" for a missing one."""

    path: Path
    tags: dict[str, str]
    stored_type: np.dtype[Any]
    frames: tuple[Frame, ...]


#: What is kept of a header, beside the frames.
_TAGS = (
    "SeriesInstanceUID",
    "SeriesDescription",
    "SeriesNumber",
    "PatientID",
    "StudyDate",
    "Laterality",
    "ImageLaterality",
)


class _BoundedFile(io.BufferedReader):
    """A file that makes no room for more than it has, whatever length an element claims."""

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(path))
        self._size = path.stat().st_size

    def read(self, size: int | None = -1, /) -> bytes:
        left = max(0, self._size - self.tell())
        return super().read(left if size is None or size < 0 else min(size, left))


def read_dataset(path: Path, *, pixels: bool) -> Dataset | None:
    """A DICOM file; None for what is none, or holds no image.

    Raises:
        FileError: if it is damaged.
    """
    check_input_file(path)
    with malformed(path, "a DICOM file", _ADVICE), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        marked = has_mark(path)
        if marked:
            _check_deflated(path)
        elif not _may_be_bare(path):
            return None
        with _BoundedFile(path) as file:
            dataset = pydicom.dcmread(file, stop_before_pixels=not pixels, force=not marked)
        is_image = "Rows" in dataset and "Columns" in dataset and "SOPClassUID" in dataset
        return dataset if is_image else None


def read_frames(path: Path) -> DicomFile | None:
    """Read where each frame of a file is; None for what is no DICOM image.

    Raises:
        FileError: if the file is damaged; InputError: if it has several values a pixel.
    """
    dataset = read_dataset(path, pixels=False)
    if dataset is None:
        return None
    with malformed(path, "a DICOM file", _ADVICE), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if int(dataset.get("SamplesPerPixel") or 1) != 1:
            raise InputError(f"{path}: one value a voxel is needed, but it holds colours; give a scalar volume")
        shared = _first(dataset, "SharedFunctionalGroupsSequence")
        groups = list(dataset.get("PerFrameFunctionalGroupsSequence") or [])
        count = int(dataset.get("NumberOfFrames") or 1)
        if count < 1 or (groups and len(groups) != count):
            raise FileError(f"{path}: says that it has {count} frames, but describes {len(groups)}; {_ADVICE}")
        if count > 1 and not groups:
            places: list[Dataset | None] = [Dataset()] * count  # one position for all of them is none
        else:
            places = groups or [None]
        frames = tuple(_frame(dataset, shared, group, path, number) for number, group in enumerate(places))
        tags = {name: str(dataset.get(name) or "").strip() for name in _TAGS}
        return DicomFile(path, tags, stored_type(dataset, path), frames)


def stored_type(dataset: Dataset, path: Path) -> np.dtype[Any]:
    """NumPy's type of the stored values.

    Raises:
        InputError: if they are no integers of 8, 16 or 32 bits.
    """
    bits = int(dataset.get("BitsAllocated") or 0)
    if bits not in (8, 16, 32):
        raise InputError(f"{path}: pixels of {bits} bits cannot be used; export the series as 16 bit integers")
    return np.dtype(f"{'i' if dataset.get('PixelRepresentation') else 'u'}{bits // 8}")


def _frame(dataset: Dataset, shared: Dataset | None, group: Dataset | None, path: Path, number: int) -> Frame:
    """``group``: of this frame in an enhanced file; None for a plain one, whose tags are the file's own."""

    def value(keyword: str, sequence: str) -> Any:
        if group is None:
            return dataset.get(keyword)
        for functional in (group, shared):
            found = _first(functional, sequence) if functional is not None and sequence else None
            if found is not None and found.get(keyword) is not None:
                return found.get(keyword)
        return dataset.get(keyword) if keyword not in _PLACE else None

    row_column = _numbers(value("PixelSpacing", "PixelMeasuresSequence"), 2, path, "PixelSpacing")
    axes = _numbers(value("ImageOrientationPatient", "PlaneOrientationSequence"), 6, path, "ImageOrientationPatient")
    slope = value("RescaleSlope", "PixelValueTransformationSequence")
    intercept = value("RescaleIntercept", "PixelValueTransformationSequence")
    return Frame(
        path,
        number,
        (int(dataset.Columns), int(dataset.Rows)),
        _numbers(value("ImagePositionPatient", "PlanePositionSequence"), 3, path, "ImagePositionPatient"),
        None if axes is None else axes.reshape(2, 3),
        None if row_column is None else (float(row_column[1]), float(row_column[0])),
        _finite(slope, 1.0, path, "RescaleSlope"),
        _finite(intercept, 0.0, path, "RescaleIntercept"),
        tuple(_text(value(keyword, sequence)) for keyword, sequence, _, _ in DISTINCTIONS),
    )


_PLACE = {"ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"}


def _first(dataset: Dataset, keyword: str) -> Dataset | None:
    sequence = dataset.get(keyword)
    return sequence[0] if sequence else None


def _numbers(value: Any, count: int, path: Path, keyword: str) -> FloatArray | None:
    """None for a tag that is missing or empty."""
    if value is None or value == "" or (hasattr(value, "__len__") and len(value) == 0):
        return None
    numbers = np.asarray(value, dtype=np.float64).ravel()
    if numbers.shape != (count,) or not np.isfinite(numbers).all():
        raise FileError(f"{path}: {keyword} must be {count} numbers, but is {numbers.tolist()}; {_ADVICE}")
    return numbers


def _finite(value: Any, default: float, path: Path, keyword: str) -> float:
    number = default if value is None or value == "" else float(value)
    if not math.isfinite(number):
        raise FileError(f"{path}: {keyword} is {number}, no number; {_ADVICE}")
    return number


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, (list, tuple)) or type(value).__name__ == "MultiValue":
        return " ".join(str(part) for part in value)
    try:
        return f"{float(value):.6g}"
    except (TypeError, ValueError):
        return str(value).strip()


def _may_be_bare(path: Path) -> bool:
    """Whether a file may be DICOM of old, without a mark: its first tag is one of the groups 2 and 8."""
    with path.open("rb") as file:
        start = file.read(4)
    return start[:2] in (b"\x02\x00", b"\x08\x00") and len(start) == 4


def _check_deflated(path: Path) -> None:
    """A deflated file must not become more than a gigabyte: pydicom inflates it at once."""
    meta = pydicom.filereader.read_file_meta_info(path)
    if str(meta.get("TransferSyntaxUID", "")) != _DEFLATED:
        return
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    inflated = 0
    for chunk in _chunks(path):
        inflated += len(stream.decompress(chunk, _LARGEST_INFLATED - inflated + 1))
        if inflated > _LARGEST_INFLATED:
            raise FileError(f"{path}: inflates to more than {_LARGEST_INFLATED >> 30} GiB; export it uncompressed")


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(META_OFFSET)
        start = file.read(12)  # the group's length stands in its first element
        file.seek(META_OFFSET + 12 + int.from_bytes(start[8:12], "little"))
        while chunk := file.read(1 << 20):
            yield chunk
