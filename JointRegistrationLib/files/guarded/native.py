"""ITK's image readers behind plain functions. What is given to them was looked at before, or is read in a child."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from ...core.errors import FileError, GeometryError, InputError, ResourceError
from ...core.geometry import Grid
from ..output import itk_reason

READABLE = "NIfTI (.nii, .nii.gz), NRRD (.nrrd), MetaImage (.mha) or a folder with one DICOM series"


def open_image(name: str, path: Path, image_io: str) -> Any:
    """An ITK reader that has read the header of an image file and nothing else.

    Args:
        name: of the file, for ITK.
        path: of the file, for messages.
        image_io: ITK's name of the format; empty for whichever it finds.

    Raises:
        FileError: if it is no image.
    """
    reader = sitk.ImageFileReader()
    reader.SetFileName(name)
    if image_io:
        reader.SetImageIO(image_io)
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise FileError(f"{path}: cannot be read as an image ({itk_reason(error)}); give {READABLE}") from error
    return reader


def read_voxels(reader: Any, path: Path, *, vector: bool) -> npt.NDArray[Any]:
    """The voxels of a file whose header was read.

    Args:
        reader: of :func:`open_image`.
        path: for messages.
        vector: take a displacement field, as (k, j, i, 3) float64; else a scalar volume, in the file's type.

    Raises:
        FileError: if it is damaged; ResourceError: if there is not enough memory.
        InputError, GeometryError: as :func:`check_structure`.
    """
    header = header_values(reader)
    if vector:
        check_field_structure(header, path)
        reader.SetOutputPixelType(sitk.sitkVectorFloat64)
    else:
        check_structure(header, path)
    return execute(reader, path)


def execute(reader: Any, path: Path) -> npt.NDArray[Any]:
    """The voxels as :func:`read_voxels` gives them, of whatever structure."""
    try:
        return np.asarray(sitk.GetArrayFromImage(reader.Execute()))
    except RuntimeError as error:
        if "alloc" in str(error).lower():
            raise ResourceError(f"{path}: not enough memory to read it; close other programs") from error
        raise FileError(f"{path}: truncated or damaged ({itk_reason(error)}); copy or export the file again") from error


def header_values(header: Any) -> dict[str, Any]:
    """Size, spacing, origin and direction (LPS) and the components of a voxel; of a reader or an image."""
    components = getattr(header, "GetNumberOfComponents", None) or header.GetNumberOfComponentsPerPixel
    return {
        "size": list(header.GetSize()),
        "spacing": list(header.GetSpacing()),
        "origin": list(header.GetOrigin()),
        "direction": list(header.GetDirection()),
        "components": int(components()),
    }


def check_structure(header: dict[str, Any], path: Path) -> Grid:
    """The grid of a scalar volume.

    Args:
        header: of :func:`header_values`.
        path: for messages.

    Raises:
        InputError: if it has not three dimensions, one value a voxel and two slices.
        GeometryError: if spacing or direction is invalid.
    """
    size, components = header["size"], header["components"]
    if len(size) != 3:
        advice = "give one volume of the series" if len(size) > 3 else "give the whole volume, not one slice"
        raise InputError(f"{path}: a 3D volume is needed, but this image has {len(size)} dimensions; {advice}")
    if components != 1:
        raise InputError(
            f"{path}: one value a voxel is needed, but this image has {components} (colour, vector or time series); "
            "give a scalar volume"
        )
    if min(size) < 2:
        raise InputError(
            f"{path}: at least 2 slices are needed, but the size is {' x '.join(map(str, size))}; "
            "give the whole volume (for DICOM, the folder)"
        )
    return grid_of(header, path)


def check_field_structure(header: dict[str, Any], path: Path) -> Grid:
    """The grid of a displacement field, as :func:`check_structure`."""
    dimension, components = len(header["size"]), header["components"]
    if dimension != 3 or components != 3:
        raise InputError(
            f"{path}: a displacement field has three components a voxel in 3D, but this image has "
            f"{components} in {dimension}D; give a transform or a displacement field"
        )
    return grid_of(header, path)


def grid_of(header: dict[str, Any], path: Path) -> Grid:
    """Spacing first: with a zero spacing, NRRD's direction is not a number either."""
    spacing = tuple(header["spacing"])
    if not min(spacing) > 0:
        raise GeometryError(
            f"{path}: the spacing must be positive along every axis, but is {spacing} mm; correct the image's header"
        )
    try:
        return Grid.from_lps(header["size"], spacing, header["origin"], header["direction"])
    except GeometryError as error:
        raise GeometryError(f"{path}: {error}") from error
