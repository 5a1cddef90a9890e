"""DICOM files for tests: single slices and enhanced multi-frame files, written by pydicom."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

MR, ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.4.1"
SIZE = (6, 5)  # columns, rows
SPACING = (0.5, 0.4)  # along a row, down a column
SAGITTAL = ((0.0, 1.0, 0.0), (0.0, 0.0, -1.0))  # LPS; the normal points to -x, the right
STEP = np.array([-2.0, 0.0, 0.0])


def values(number: int) -> npt.NDArray[np.int16]:
    """A slice that tells its number and its rows and columns apart."""
    rows, columns = np.mgrid[: SIZE[1], : SIZE[0]]
    return (100 * number + 10 * rows + columns).astype(np.int16)


def write_slice(path: Path, number: int, *, pixels: npt.NDArray[Any] | None = None, **tags: Any) -> Path:
    """One slice at ``number`` steps; ``tags`` replace or, as None, remove what it says."""
    dataset = _dataset(MR, values(number) if pixels is None else pixels)
    dataset.InstanceNumber = number + 1
    dataset.ImagePositionPatient = (np.array([10.0, 20.0, 30.0]) + number * STEP).tolist()
    dataset.ImageOrientationPatient = [c for axis in SAGITTAL for c in axis]
    dataset.PixelSpacing = [SPACING[1], SPACING[0]]
    dataset.SOPInstanceUID = f"1.2.3.{abs(hash((str(path), number))) % 10**9}"
    _apply(dataset, tags)
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path)
    return path


def write_series(folder: Path, count: int = 4, **tags: Any) -> Path:
    """A folder of slices, named against their order."""
    for number in range(count):
        write_slice(folder / f"{count - number:03d}.dcm", number, **tags)
    return folder


def write_enhanced(
    path: Path,
    numbers: Sequence[int] = (0, 1, 2, 3),
    *,
    echo_times: Sequence[float] | None = None,
    slopes: Sequence[float] | None = None,
    with_places: bool = True,
) -> Path:
    """An enhanced multi-frame file: its frames are the slices ``numbers``, in this order."""
    dataset = _dataset(ENHANCED_MR, np.stack([values(number) for number in numbers]))
    dataset.NumberOfFrames = len(numbers)
    shared, measures, orientation = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing = [SPACING[1], SPACING[0]]
    orientation.ImageOrientationPatient = [c for axis in SAGITTAL for c in axis]
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [orientation]
    dataset.SharedFunctionalGroupsSequence = [shared]
    groups = []
    for n, number in enumerate(numbers):
        group = Dataset()
        if with_places:
            place = Dataset()
            place.ImagePositionPatient = (np.array([10.0, 20.0, 30.0]) + number * STEP).tolist()
            group.PlanePositionSequence = [place]
        if echo_times is not None:
            echo = Dataset()
            echo.EffectiveEchoTime = float(echo_times[n])
            group.MREchoSequence = [echo]
        if slopes is not None:
            scale = Dataset()
            scale.RescaleSlope, scale.RescaleIntercept = slopes[n], 0
            group.PixelValueTransformationSequence = [scale]
        groups.append(group)
    dataset.PerFrameFunctionalGroupsSequence = groups
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path)
    return path


def edit(path: Path, **tags: Any) -> None:
    """Replace or, as None, remove tags of a file."""
    dataset = pydicom.dcmread(path)
    _apply(dataset, tags)
    dataset.save_as(path)


def _apply(dataset: Dataset, tags: dict[str, Any]) -> None:
    for name, value in tags.items():
        if value is None:
            delattr(dataset, name)
        else:
            setattr(dataset, name, value)


def _dataset(kind: str, pixels: npt.NDArray[Any]) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = kind, ExplicitVRLittleEndian
    meta.MediaStorageSOPInstanceUID = "1.2.3.4"
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID, dataset.SOPInstanceUID, dataset.Modality = kind, "1.2.3.4", "MR"
    dataset.SeriesInstanceUID, dataset.SeriesDescription, dataset.PatientID = "1.2.3", "DESS", "P1"
    dataset.Rows, dataset.Columns = pixels.shape[-2:]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 8 * pixels.dtype.itemsize
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    dataset.PixelData = pixels.tobytes()
    dataset["PixelData"].VR = "OW"
    return dataset
