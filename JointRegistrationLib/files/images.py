"""Images, label maps and masks: NIfTI, NRRD, MetaImage and DICOM, by SimpleITK and pydicom."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from ..core.errors import FileError, InputError
from ..core.geometry import Grid
from ..core.image import Image
from .dicom.mark import is_dicom
from .guarded.child import ask_child
from .guarded.names import native_input, native_output
from .guarded.native import check_field_structure, check_structure, header_values, open_image, read_voxels
from .guarded.vetting import vet
from .output import atomic_file

WRITABLE_SUFFIXES = (".nrrd", ".nii.gz", ".nii", ".mha")
#: What separates a file or folder from the name of one of several volumes in it.
CHOICE = "::"
#: Labels may be off whole numbers by this much, or by half a step of a file that stores scaled values, up to the most.
_LABEL_TOLERANCE, _MOST_TOLERANCE = 1e-3, 0.1


def read_image(path: Path | str) -> Image:
    """A scalar 3D volume from a file, or from a folder of DICOM slices.

    Where DICOM files hold several volumes (series, echoes, contrasts, times), ``folder::name`` takes the one of that
    name; the error without it lists the names.

    Raises:
        FileError: if it is missing, unreadable, truncated or no image.
        InputError: if it is not a 3D scalar volume, or there are several.
        GeometryError: if its place in space is not known, or no grid of perpendicular axes.
        ResourceError: if there is not enough memory for it.
    """
    return _read(Path(path))[0]


def read_labels(path: Path | str) -> Image:
    """A label map: whole numbers, 0 is background; the smallest of uint8, int16 and int32 that holds them.

    Values that are off by as much as rounding to a scale makes them (``scl_slope`` of NIfTI) are set right.

    Raises:
        InputError: as :func:`read_image`, and if a value is not a whole number.
    """
    image, step = _read(Path(path))
    values = image.array
    if values.dtype.kind == "f":
        if not np.isfinite(values).all():
            raise InputError(f"{path}: labels must be whole numbers, but it holds NaN or infinity; give a label map")
        whole = np.rint(values)
        tolerance = max(_LABEL_TOLERANCE, min(0.51 * step, _MOST_TOLERANCE))
        if np.abs(values - whole).max() > tolerance:
            raise InputError(
                f"{path}: labels must be whole numbers, but it holds fractions; give a label map, no image"
            )
        values = whole
    low, high = int(values.min()), int(values.max())
    for dtype in (np.uint8, np.int16, np.int32):
        if np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max:
            return Image(values.astype(dtype), image.grid, image.name, image.remarks)
    raise InputError(f"{path}: labels from {low} to {high} do not fit 32 bits; give a label map, not an image")


def read_mask(path: Path | str) -> Image:
    """A mask as uint8: 1 wherever the file is not 0.

    Raises:
        InputError: as :func:`read_labels`.
    """
    labels = read_labels(path)
    return Image((labels.array != 0).astype(np.uint8), labels.grid, labels.name, labels.remarks)


def write_image(image: Image, path: Path | str) -> None:
    """Write a volume; the suffix chooses the format.

    Raises:
        FileError: for an unknown suffix or a place that cannot be written to.
        ResourceError: if there is no space.
    """
    _write(to_itk(_writable(image.array), image.grid), Path(path), image.array.nbytes, compress=False)


def write_labels(labels: Image, path: Path | str) -> None:
    """Write a label map or mask, compressed; otherwise as :func:`.write_image`."""
    _write(to_itk(_writable(labels.array), labels.grid), Path(path), labels.array.nbytes, compress=True)


def to_itk(array: npt.NDArray[Any], grid: Grid, *, vector: bool = False) -> Any:
    """A SimpleITK image of a (k, j, i) or, as ``vector``, a (k, j, i, c) array; values are taken as they are."""
    image = sitk.GetImageFromArray(array, isVector=vector)
    image.SetSpacing(grid.spacing_mm)
    image.SetOrigin(grid.origin_lps)
    image.SetDirection(grid.direction_lps)
    return image


def check_suffix(path: Path, allowed: tuple[str, ...], what: str) -> None:
    """Raise :class:`.FileError` unless the name ends in one of ``allowed``."""
    if not path.name.lower().endswith(allowed):
        raise FileError(f"{path}: cannot write {what} of this kind; let the name end in {' or '.join(allowed)}")


def image_header(path: Path) -> dict[str, Any]:
    """Size, spacing, origin, direction (LPS) and components of an image file, see :func:`.native.header_values`.

    Raises:
        InputError: as :func:`read_image`.
    """
    vetted = vet(path)
    if vetted is None:
        return ask_child("header", path).values
    with native_input(path) as name:
        return header_values(open_image(name, path, vetted.image_io))


def read_field(path: Path) -> tuple[npt.NDArray[Any], Grid]:
    """A displacement field from an image of vectors: (k, j, i, 3) float64, LPS mm, and its grid.

    Raises:
        InputError: as :func:`read_image`, or if it is none.
    """
    vetted = vet(path)
    if vetted is None:
        answer = ask_child("image", path, {"vector": True})
        return answer.arrays["voxels"], check_field_structure(answer.values, path)
    with native_input(path) as name:
        reader = open_image(name, path, vetted.image_io)
        grid = check_field_structure(header_values(reader), path)
        return read_voxels(reader, path, vector=True), grid


def _read(path: Path) -> tuple[Image, float]:
    """The image, and how far apart the values are that its file can hold; 0 for as good as what was written."""
    where, choice = _chosen(path)
    if is_dicom(where):
        from .dicom.series import read_dicom  # noqa: PLC0415 pydicom takes half a second, and only DICOM needs it

        return read_dicom(where, choice), 0.0
    if choice:
        raise InputError(f"{path}: only DICOM has several volumes to choose from; give {where}")
    vetted = vet(where)
    if vetted is None:
        answer = ask_child("image", where)
        return Image(answer.arrays["voxels"], check_structure(answer.values, where), where.name), 0.0
    with native_input(where) as name:
        reader = open_image(name, where, vetted.image_io)
        grid = check_structure(header_values(reader), where)
        image = Image(read_voxels(reader, where, vector=False), grid, where.name, vetted.remarks)
    return image, vetted.value_step


def _chosen(path: Path) -> tuple[Path, str]:
    """The file or folder, and the name of the volume in it that was asked for."""
    text, mark, choice = str(path).rpartition(CHOICE)
    if not mark or path.exists():
        return path, ""
    return Path(text), choice.strip()


def _writable(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if array.dtype == np.bool_:
        return array.astype(np.uint8)
    return array.astype(np.float32) if array.dtype == np.float16 else array


def _write(image: Any, path: Path, num_bytes: int, *, compress: bool) -> None:
    check_suffix(path, WRITABLE_SUFFIXES, "an image")
    with atomic_file(path, num_bytes) as temporary, native_output(temporary) as name:
        sitk.WriteImage(image, name, useCompression=compress)
