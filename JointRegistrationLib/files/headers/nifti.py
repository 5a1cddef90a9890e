"""What ITK lets pass in a NIfTI file, found in its header before ITK sees it.

ITK replaces a zero or NaN voxel size by another, takes the qform when the sform is singular, fills up
a truncated file with zeros, and turns voxels that are NaN into 0, all silently. Where sform and qform
disagree it takes the sform if that is the scanner's (code 1), else the qform; we take the same, as
Slicer does, and say so.
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

from ...core.errors import FileError, GeometryError, InputError
from .claims import Vetted, check_claim, read_exactly

_TOLERANCE = 1e-2
#: Frames whose corners or axes differ by more than this are said to disagree.
_TOLERANCE_MM, _TOLERANCE_DEGREES = 0.1, 1.0
_SCANNER = 1  # the code of a frame that the scanner gave
_UNITS = {1: "metres", 3: "micrometres"}  # 0 is not said, and taken as mm
#: Where extensions follow, the voxels begin later; what extensions hold is for a child process to read.
_LARGEST_OFFSET = 1 << 20
#: Offset and struct code of the fields that are looked at.
_NIFTI_1 = {
    "dim": (40, "8h"),
    "type": (70, "h"),
    "bits": (72, "h"),
    "pixdim": (76, "8f"),
    "offset": (108, "f"),
    "slope": (112, "2f"),
    "units": (123, "B"),
    "codes": (252, "2h"),
    "qform": (256, "6f"),
    "sform": (280, "12f"),
}
_NIFTI_2 = {
    "dim": (16, "8q"),
    "type": (12, "h"),
    "bits": (14, "h"),
    "pixdim": (104, "8d"),
    "offset": (168, "q"),
    "slope": (176, "2d"),
    "units": (500, "i"),
    "codes": (344, "2i"),
    "qform": (352, "6d"),
    "sform": (400, "12d"),
}
_FLOAT_TYPES = {16: "f4", 64: "f8"}
#: Bits a voxel of each data type that ITK reads in a process of ours.
_BITS = {2: 8, 4: 16, 8: 32, 16: 32, 64: 64, 128: 24, 256: 8, 512: 16, 768: 32, 1024: 64, 1280: 64}


@dataclass(frozen=True)
class _Header:
    dim: tuple[int, ...]
    bits_per_voxel: int
    pixdim: tuple[float, ...]
    data_offset: int
    slope: tuple[float, ...]
    units: int
    float_type: np.dtype[Any] | None
    qform_code: int
    sform_code: int
    qform: tuple[float, ...]
    sform: npt.NDArray[np.float64]
    plain: bool

    @property
    def voxels(self) -> int:
        return math.prod(self.dim[1 : 1 + self.dim[0]])


def check_nifti(path: Path) -> Vetted | None:
    """Check a single-file NIfTI-1 or -2: voxel sizes, frames, and that all voxels are there and finite.

    Returns:
        None for what is sound as far as it was looked at, but has more in it than ITK should see in this process
        (extensions, rare voxel types), or is no single-file NIfTI.

    Raises:
        FileError: if it is truncated or damaged.
        InputError: if a voxel is NaN or infinite.
        GeometryError: if a voxel size is not positive or the sform is not a valid frame.
        ResourceError: if there is not enough memory for it.
    """
    try:
        with _open(path) as file:
            header = _parse(file.read(544))
            if header is None:
                return None  # a NIfTI pair, or something else
            if not 1 <= header.dim[0] <= 7 or min(header.dim[1 : 1 + header.dim[0]]) < 1:
                raise FileError(f"{path}: the header gives no valid image size ({header.dim}); export it again")
            _check_spacing(header, path)
            _check_sform(header, path)
            _check_voxels(header, file, path)
    except (OSError, EOFError, zlib.error, OverflowError) as error:
        raise FileError(f"{path}: truncated or damaged ({error}); copy or export the file again") from error
    step = abs(header.slope[0]) if header.float_type is None and header.slope[0] not in (0, 1) else 0.0
    return Vetted("NiftiImageIO", _remarks(header, path), step) if header.plain else None


def _open(path: Path) -> BinaryIO | gzip.GzipFile:
    with path.open("rb") as file:
        compressed = file.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rb") if compressed else path.open("rb")


def _parse(raw: bytes) -> _Header | None:
    """The header of a single-file NIfTI-1 or NIfTI-2 in either byte order; None for anything else."""
    for order in "<>":
        if len(raw) >= 352 and struct.unpack_from(f"{order}i", raw)[0] == 348 and raw[344:347] == b"n+1":
            return _header(raw, order, _NIFTI_1, 348)
        if len(raw) >= 544 and struct.unpack_from(f"{order}i", raw)[0] == 540 and raw[4:7] == b"n+2":
            return _header(raw, order, _NIFTI_2, 540)
    return None


def _header(raw: bytes, order: str, layout: dict[str, tuple[int, str]], size: int) -> _Header:
    values = {name: struct.unpack_from(order + code, raw, at) for name, (at, code) in layout.items()}
    kind, offset = values["type"][0], values["offset"][0]
    sound = math.isfinite(offset) and 0 <= offset <= _LARGEST_OFFSET
    return _Header(
        dim=values["dim"],
        bits_per_voxel=_BITS.get(kind, values["bits"][0]),
        pixdim=values["pixdim"],
        data_offset=int(offset) if sound else 0,
        slope=values["slope"],
        units=values["units"][0] & 7,
        float_type=np.dtype(order + _FLOAT_TYPES[kind]) if kind in _FLOAT_TYPES else None,
        qform_code=values["codes"][0],
        sform_code=values["codes"][1],
        qform=values["qform"],
        sform=np.array(values["sform"], dtype=np.float64).reshape(3, 4),
        plain=sound and kind in _BITS and values["bits"][0] == _BITS[kind] and offset >= size + 4 and raw[size] == 0,
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
    needed = header.voxels * max(header.bits_per_voxel, 1) // 8
    scaled = header.slope not in ((0.0, 0.0), (1.0, 0.0))
    if scaled and not np.isfinite(header.slope).all():
        raise InputError(
            f"{path}: the scale of its values is {header.slope}, no number; correct the header (scl_slope)"
        )
    compressed = isinstance(file, gzip.GzipFile)
    stored = path.stat().st_size - (0 if compressed else header.data_offset)
    in_memory = max(needed, 4 * header.voxels) if scaled else needed
    check_claim(path, needed, stored, compressed=compressed, in_memory=in_memory)
    not_finite = 0

    def look(chunk: bytes) -> None:
        nonlocal not_finite
        if header.float_type is not None:
            whole = len(chunk) // header.float_type.itemsize
            not_finite += int((~np.isfinite(np.frombuffer(chunk, header.float_type, count=whole))).sum())

    file.seek(header.data_offset)
    read_exactly(file, needed, path, look)
    if not_finite:
        raise InputError(
            f"{path}: it holds NaN or infinite values ({not_finite} of {header.voxels} voxels); "
            "replace them, for example by 0"
        )


def _remarks(header: _Header, path: Path) -> tuple[str, ...]:
    """What the user should know about where the image was laid."""
    remarks = []
    if header.units in _UNITS:
        remarks.append(
            f"{path.name}: its header gives lengths in {_UNITS[header.units]}; they were converted to mm, as in Slicer"
        )
    if header.qform_code <= 0 and header.sform_code <= 0:
        remarks.append(
            f"{path.name}: its header does not say where the image lies in the patient; its axes were taken to run "
            "right to left, front to back and upwards, as in Slicer"
        )
    if header.qform_code > 0 and header.sform_code > 0:
        apart, turned = _disagreement(header)
        if apart > _TOLERANCE_MM or turned > _TOLERANCE_DEGREES:
            used = "sform" if header.sform_code == _SCANNER and _is_frame(header.sform[:, :3]) else "qform"
            remarks.append(
                f"{path.name}: the two frames in its header (qform and sform) disagree, by {apart:.3g} mm at a corner; "
                f"the {used} was used, as in Slicer"
            )
    return tuple(remarks)


def _disagreement(header: _Header) -> tuple[float, float]:
    """How far apart the qform and the sform put a corner, at most (mm), and the angle between their axes (degrees)."""
    qform = _qform(header)
    last = np.array([max(n, 1) - 1 for n in (*header.dim[1 : 1 + min(header.dim[0], 3)], 1, 1, 1)[:3]])
    corners = np.array([[i, j, k] for i in (0, 1) for j in (0, 1) for k in (0, 1)]) * last
    moved = [corners @ frame[:, :3].T + frame[:, 3] for frame in (qform, header.sform)]
    axes = [frame[:, :3] / np.linalg.norm(frame[:, :3], axis=0) for frame in (qform, header.sform)]
    cosines = np.clip((axes[0] * axes[1]).sum(axis=0), -1, 1)
    return float(np.linalg.norm(moved[0] - moved[1], axis=1).max()), float(np.degrees(np.arccos(cosines)).max())


def _qform(header: _Header) -> npt.NDArray[np.float64]:
    """The qform as 3x4: quaternion b, c, d, offset, and pixdim with its sign (the standard's method 2)."""
    b, c, d = header.qform[:3]
    a = math.sqrt(max(0.0, 1 - b * b - c * c - d * d))
    rotation = np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ]
    )
    spacing = np.array(header.pixdim[1:4]) * (1, 1, -1 if header.pixdim[0] < 0 else 1)
    return np.column_stack([rotation * spacing, header.qform[3:]])


def _is_frame(linear: npt.NDArray[np.float64]) -> bool:
    """Whether its axes are at right angles, as ITK wants them."""
    cosines = linear / np.linalg.norm(linear, axis=0)
    return bool(np.abs(cosines.T @ cosines - np.eye(3)).max() <= 1e-4)
