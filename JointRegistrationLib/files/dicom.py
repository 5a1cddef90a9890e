"""A folder of DICOM slices as one volume."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from ..errors import FileError, GeometryError, InputError
from .output import itk_reason

_POSITION, _DESCRIPTION = "0020|0032", "0008|103e"
#: Laterality is written in either place.
_TAGS = {
    "PatientID": ("0010|0020",),
    "StudyDate": ("0008|0020",),
    "Laterality": ("0020|0060", "0020|0062"),
    "SeriesDescription": (_DESCRIPTION,),
}
_TOLERANCE_MM = 0.05


def read_series(folder: Path) -> Any:
    """The one DICOM series in ``folder`` as a SimpleITK image.

    Raises:
        FileError: if there is no series, or one cannot be read.
        InputError: if there are several, listing them.
        GeometryError: if slices are missing or unevenly placed.
    """
    uids = sitk.ImageSeriesReader.GetGDCMSeriesIDs(str(folder))
    if not uids:
        raise FileError(f"{folder}: no DICOM series in this folder; give an image file or a folder of DICOM slices")
    series = {uid: sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), uid) for uid in uids}
    if len(series) > 1:
        found = "; ".join(f"{_describe(files)}, {len(files)} files" for files in series.values())
        raise InputError(
            f"{folder}: {len(series)} DICOM series in one folder ({found}); put the one you want in a folder of its own"
        )
    (files,) = series.values()
    _check_slices(folder, files)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(files)
    try:
        return reader.Execute()
    except RuntimeError as error:
        raise FileError(f"{folder}: the DICOM series cannot be read ({itk_reason(error)}); export it again") from error


def series_tags(folder: Path) -> dict[str, str] | None:
    """PatientID, StudyDate, Laterality and SeriesDescription of the DICOM series in ``folder``, "" for a missing one.

    None if there is no DICOM series; of several series, the first one's.
    """
    uids = sitk.ImageSeriesReader.GetGDCMSeriesIDs(str(folder))
    if not uids:
        return None
    header = _header(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), uids[0])[0])
    values = {name: [_value(header, tag) for tag in tags] for name, tags in _TAGS.items()}
    return {name: next(filter(None, found), "") for name, found in values.items()}


def _value(header: Any, tag: str) -> str:
    return str(header.GetMetaData(tag)).strip() if header.HasMetaDataKey(tag) else ""


def _header(file: str) -> Any:
    reader = sitk.ImageFileReader()
    reader.SetFileName(file)
    reader.ReadImageInformation()
    return reader


def _describe(files: tuple[str, ...]) -> str:
    header = _header(files[0])
    text = _value(header, _DESCRIPTION)
    return repr(text) if text else f"no description, first file {Path(files[0]).name}"


def _check_slices(folder: Path, files: tuple[str, ...]) -> None:
    """Equal steps along one line, or ITK would lay the slices evenly where they are not."""
    headers = [_header(file) for file in files]
    if len(files) < 3 or not all(header.HasMetaDataKey(_POSITION) for header in headers):
        return
    positions = np.array([[float(v) for v in h.GetMetaData(_POSITION).split("\\")] for h in headers])
    steps = np.diff(positions, axis=0)
    usual = np.median(steps, axis=0)
    deviations = np.abs(steps - usual).max(axis=1)
    worst = int(deviations.argmax())
    if deviations[worst] > _TOLERANCE_MM:
        found, expected = np.linalg.norm(steps[worst]), np.linalg.norm(usual)
        raise GeometryError(
            f"{folder}: the DICOM slices are not evenly placed: {found:.3g} mm between {Path(files[worst]).name} and "
            f"{Path(files[worst + 1]).name}, but {expected:.3g} mm elsewhere; add the missing slices"
        )
