"""Images, label maps and masks: NIfTI, NRRD, MetaImage and DICOM series folders, by SimpleITK."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from ..errors import FileError, GeometryError, InputError, ResourceError
from ..geometry import Grid
from ..image import Image
from .dicom import read_series
from .headers import check_nifti
from .output import atomic_file, itk_reason

READABLE = "NIfTI (.nii, .nii.gz), NRRD (.nrrd), MetaImage (.mha) or a folder with one DICOM series"
WRITABLE_SUFFIXES = (".nrrd", ".nii.gz", ".nii", ".mha")


def read_image(path: Path | str) -> Image:
    """A scalar 3D volume from a file or a folder holding one DICOM series.

    Raises:
        FileError: if it is missing, unreadable, truncated or no image.
        InputError: if it is not a 3D scalar volume, or the folder holds several series.
        GeometryError: if spacing or direction is invalid.
    """
    where = Path(path)
    image = _read(where)
    return Image(sitk.GetArrayFromImage(image), _grid(image, where), where.name)


def read_labels(path: Path | str) -> Image:
    """A label map: whole numbers, 0 is background; the smallest of uint8, int16 and int32 that holds them.

    Raises:
        InputError: as :func:`read_image`, and if a value is not a whole number.
    """
    image = read_image(path)
    values = image.array
    if values.dtype.kind == "f" and not (np.isfinite(values).all() and np.array_equal(values, np.rint(values))):
        raise InputError(f"{path}: labels must be whole numbers, but it holds fractions; give a label map, no image")
    low, high = int(values.min()), int(values.max())
    for dtype in (np.uint8, np.int16, np.int32):
        if np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max:
            return Image(values.astype(dtype), image.grid, image.name)
    raise InputError(f"{path}: labels from {low} to {high} do not fit 32 bits; give a label map, not an image")


def read_mask(path: Path | str) -> Image:
    """A mask as uint8: 1 wherever the file is not 0.

    Raises:
        InputError: as :func:`read_labels`.
    """
    labels = read_labels(path)
    return Image((labels.array != 0).astype(np.uint8), labels.grid, labels.name)


def write_image(image: Image, path: Path | str) -> None:
    """Write a volume; the suffix chooses the format.

    Raises:
        FileError: for an unknown suffix or a place that cannot be written to.
        ResourceError: if there is no space.
    """
    _write(to_itk(_writable(image.array), image.grid), Path(path), image.array.nbytes, compress=False)


def write_labels(labels: Image, path: Path | str) -> None:
    """Write a label map or mask, compressed; otherwise as :func:`write_image`."""
    _write(to_itk(_writable(labels.array), labels.grid), Path(path), labels.array.nbytes, compress=True)


def to_itk(array: npt.NDArray[Any], grid: Grid, *, vector: bool = False) -> Any:
    """A SimpleITK image of a (k, j, i) or, as ``vector``, a (k, j, i, c) array; values are taken as they are."""
    image = sitk.GetImageFromArray(array, isVector=vector)
    image.SetSpacing(grid.spacing_mm)
    image.SetOrigin(grid.origin_lps)
    image.SetDirection(grid.direction_lps)
    return image


def check_suffix(path: Path, allowed: tuple[str, ...], what: str) -> None:
    """Raise :class:`FileError` unless the name ends in one of ``allowed``."""
    if not path.name.lower().endswith(allowed):
        raise FileError(f"{path}: cannot write {what} of this kind; let the name end in {' or '.join(allowed)}")


def read_information(path: Path) -> Any:
    """An ITK reader that has read the header of an image file and nothing else.

    Raises:
        FileError: if it is missing or no image; GeometryError: for a NIfTI header ITK would silently mend.
    """
    if not path.exists():
        raise FileError(f"{path}: there is no such file; check the path")
    if path.name.lower().endswith((".nii", ".nii.gz")):
        check_nifti(path)
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise FileError(f"{path}: cannot be read as an image ({itk_reason(error)}); give {READABLE}") from error
    return reader


def execute(reader: Any, path: Path) -> Any:
    """Read the voxels of a file whose header was accepted."""
    try:
        return reader.Execute()
    except RuntimeError as error:
        if "alloc" in str(error).lower():
            raise ResourceError(f"{path}: not enough memory to read it; close other programs") from error
        raise FileError(f"{path}: truncated or damaged ({itk_reason(error)}); copy or export the file again") from error


def _read(path: Path) -> Any:
    if path.is_dir():
        image = read_series(path)
        _check_structure(image, path)
        return image
    reader = read_information(path)
    _check_structure(reader, path)
    return execute(reader, path)


def _check_structure(header: Any, path: Path) -> None:
    """``header``: a reader or an image; both answer the same questions."""
    dimension, components = header.GetDimension(), _components(header)
    if dimension != 3:
        advice = "give one volume of the series" if dimension > 3 else "give the whole volume, not one slice"
        raise InputError(f"{path}: a 3D volume is needed, but this image has {dimension} dimensions; {advice}")
    if components != 1:
        raise InputError(
            f"{path}: one value a voxel is needed, but this image has {components} (colour, vector or time series); "
            "give a scalar volume"
        )
    if min(header.GetSize()) < 2:
        raise InputError(
            f"{path}: at least 2 slices are needed, but the size is {' x '.join(map(str, header.GetSize()))}; "
            "give the whole volume (for DICOM, the folder)"
        )
    _grid(header, path)


def _components(header: Any) -> int:
    get = getattr(header, "GetNumberOfComponents", None) or header.GetNumberOfComponentsPerPixel
    return int(get())


def _grid(header: Any, path: Path) -> Grid:
    """Spacing first: with a zero spacing, NRRD's direction is not a number either."""
    spacing = header.GetSpacing()
    if not min(spacing) > 0:
        raise GeometryError(
            f"{path}: the spacing must be positive along every axis, but is {spacing} mm; correct the image's header"
        )
    try:
        return Grid.from_lps(header.GetSize(), spacing, header.GetOrigin(), header.GetDirection())
    except GeometryError as error:
        raise GeometryError(f"{path}: {error}") from error


def _writable(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if array.dtype == np.bool_:
        return array.astype(np.uint8)
    return array.astype(np.float32) if array.dtype == np.float16 else array


def _write(image: Any, path: Path, num_bytes: int, *, compress: bool) -> None:
    check_suffix(path, WRITABLE_SUFFIXES, "an image")
    with atomic_file(path, num_bytes) as temporary:
        sitk.WriteImage(image, str(temporary), useCompression=compress)
