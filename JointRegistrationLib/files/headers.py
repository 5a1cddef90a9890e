"""What ITK lets pass in a NIfTI file, found in its header before ITK sees it.

ITK replaces a zero or NaN voxel size by another, takes the qform when the sform is singular, fills up
a truncated file with zeros, and turns voxels that are NaN into 0, all silently.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from ..errors import FileError, GeometryError, InputError

_TOLERANCE = 1e-2
#: Offset and struct code of the fields that are looked at.
_NIFTI_1 = {
    "dim": (40, "8h"),
    "type": (70, "h"),
    "bits": (72, "h"),
    "pixdim": (76, "8f"),
    "offset": (108, "f"),
    "codes": (252, "2h"),
    "sform": (280, "12f"),
}
_NIFTI_2 = {
    "dim": (16, "8q"),
    "type": (12, "h"),
    "bits": (14, "h"),
    "pixdim": (104, "8d"),
    "offset": (168, "q"),
    "codes": (344, "2i"),
    "sform": (400, "12d"),
}
_FLOAT_TYPES = {16: "f4", 64: "f8"}


@dataclass(frozen=True)
class _Header:
    dim: tuple[int, ...]
    bits_per_voxel: int
    pixdim: tuple[float, ...]
    data_offset: int
    float_type: np.dtype[Any] | None
    qform_code: int
    sform_code: int
    sform: npt.NDArray[np.float64]


def check_nifti(path: Path) -> None:
    """Check a single-file NIfTI-1 or -2: voxel sizes, sform, and that all voxels are there and finite.

    Raises:
        FileError: if it is truncated or damaged.
        InputError: if a voxel is NaN or infinite.
        GeometryError: if a voxel size is not positive or the sform is not a valid frame.
    """
    try:
        with _open(path) as file:
            header = _parse(file.read(540))
            if header is None:
                return  # a NIfTI pair, or something else: for ITK to judge
            if not 1 <= header.dim[0] <= 7 or min(header.dim[1 : 1 + header.dim[0]]) < 1:
                raise FileError(f"{path}: the header gives no valid image size ({header.dim}); export it again")
            _check_spacing(header, path)
            _check_sform(header, path)
            _check_voxels(header, file, path)
    except (OSError, EOFError, zlib.error) as error:
        raise FileError(f"{path}: truncated or damaged ({error}); copy or export the file again") from error


def _open(path: Path) -> BinaryIO | gzip.GzipFile:
    with path.open("rb") as file:
        compressed = file.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rb") if compressed else path.open("rb")


def _parse(raw: bytes) -> _Header | None:
    """The header of a single-file NIfTI-1 or NIfTI-2 in either byte order; None for anything else."""
    for order in "<>":
        if len(raw) >= 352 and struct.unpack_from(f"{order}i", raw)[0] == 348 and raw[344:347] == b"n+1":
            return _header(raw, order, _NIFTI_1)
        if len(raw) >= 540 and struct.unpack_from(f"{order}i", raw)[0] == 540 and raw[4:7] == b"n+2":
            return _header(raw, order, _NIFTI_2)
    return None


def _header(raw: bytes, order: str, layout: dict[str, tuple[int, str]]) -> _Header:
    values = {name: struct.unpack_from(order + code, raw, at) for name, (at, code) in layout.items()}
    return _Header(
        dim=values["dim"],
        bits_per_voxel=values["bits"][0],
        pixdim=values["pixdim"],
        data_offset=int(values["offset"][0]),
        float_type=np.dtype(order + _FLOAT_TYPES[values["type"][0]]) if values["type"][0] in _FLOAT_TYPES else None,
        qform_code=values["codes"][0],
        sform_code=values["codes"][1],
        sform=np.array(values["sform"], dtype=np.float64).reshape(3, 4),
    )


def _check_spacing(header: _Header, path: Path) -> None:
    spacing = header.pixdim[1 : 1 + min(header.dim[0], 3)]
    if not np.all(np.isfinite(spacing)) or min(spacing) <= 0:
        raise GeometryError(
            f"{path}: the spacing must be positive along every axis, but the header says "
            f"{tuple(round(float(s), 6) for s in spacing)} mm; correct the header (pixdim)"
        )


def _check_sform(header: _Header, path: Path) -> None:
    if header.sform_code <= 0:
        return
    linear = header.sform[:, :3]
    norms = np.linalg.norm(linear, axis=0)
    if not np.all(np.isfinite(header.sform)) or norms.min() == 0 or abs(np.linalg.det(linear / norms)) < 1e-6:
        raise GeometryError(
            f"{path}: the direction in the header (sform) is singular: {linear.round(6).tolist()}; "
            "three perpendicular axes are needed: correct the header or export the image again"
        )
    cosines = linear / norms
    sheared = np.abs(cosines.T @ cosines - np.eye(3)).max() > _TOLERANCE
    rescaled = np.any(np.abs(norms / np.asarray(header.pixdim[1:4]) - 1) > _TOLERANCE)
    # With a qform beside it, ITK and Slicer use that one (the scanner's), and so do we.
    if (sheared or rescaled) and header.qform_code <= 0:
        fault = "is skewed" if sheared else "has other voxel sizes than pixdim"
        raise GeometryError(
            f"{path}: the sform {fault} and there is no qform to use instead; "
            "resample the image to a grid of perpendicular axes, or correct the header"
        )


def _check_voxels(header: _Header, file: BinaryIO | gzip.GzipFile, path: Path) -> None:
    """Reads on to the end, which for gzip also checks the checksum."""
    voxels = math.prod(header.dim[1 : 1 + header.dim[0]])
    needed = voxels * header.bits_per_voxel // 8
    found = not_finite = 0
    file.seek(header.data_offset)
    while chunk := file.read(1 << 22):
        found += len(chunk)
        if header.float_type is not None:
            whole = len(chunk) // header.float_type.itemsize
            not_finite += int((~np.isfinite(np.frombuffer(chunk, header.float_type, count=whole))).sum())
    if found < needed:
        raise FileError(
            f"{path}: truncated: {needed} bytes are needed for its {voxels} voxels, but there are {found}; "
            "copy or export the file again"
        )
    if not_finite:
        raise InputError(
            f"{path}: it holds NaN or infinite values ({not_finite} of {voxels} voxels); replace them, for example by 0"
        )
