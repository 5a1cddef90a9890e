"""MetaImage headers (.mha, .mhd), looked at before ITK sees them, by the rules of :mod:`.nrrd`."""

from __future__ import annotations

import math
import re
import zlib
from pathlib import Path

import numpy as np

from ...core.errors import FileError
from ...core.system.reading import check_input_file
from .claims import Inflated, Vetted, check_claim, read_exactly
from .nrrd import NUMBER

_LONGEST_HEADER = 1 << 15
_NUMBERS = rf"{NUMBER}(?: {NUMBER}){{0,15}}"
_TYPES = {
    "MET_CHAR": np.int8,
    "MET_UCHAR": np.uint8,
    "MET_SHORT": np.int16,
    "MET_USHORT": np.uint16,
    "MET_INT": np.int32,
    "MET_UINT": np.uint32,
    "MET_LONG": np.int64,
    "MET_ULONG": np.uint64,
    "MET_LONG_LONG": np.int64,
    "MET_ULONG_LONG": np.uint64,
    "MET_FLOAT": np.float32,
    "MET_DOUBLE": np.float64,
}
_FIELDS = {
    "ObjectType": "Image",
    "NDims": "[1-4]",
    "BinaryData": "True",
    "BinaryDataByteOrderMSB": "True|False",
    "ElementByteOrderMSB": "True|False",
    "CompressedData": "True|False",
    "CompressedDataSize": r"\d{1,15}",
    **dict.fromkeys(("TransformMatrix", "Rotation", "Orientation"), _NUMBERS),
    **dict.fromkeys(("Offset", "Position", "Origin", "CenterOfRotation"), _NUMBERS),
    **dict.fromkeys(("ElementSpacing", "ElementSize"), _NUMBERS),
    "AnatomicalOrientation": r"[A-Z?]{1,4}",
    "DimSize": r"\d{1,9}(?: \d{1,9}){0,3}",
    "ElementNumberOfChannels": r"\d{1,2}",
    "ElementType": "|".join(_TYPES),
    "ElementDataFile": "LOCAL",
}
#: Fields of this form that are not known are passed on as text.
_TEXT_NAME, _TEXT = r"[A-Za-z_][A-Za-z0-9_ ]{0,60}", r"[ -~]{0,200}"
_NEEDED = {"NDims", "DimSize", "ElementType", "ElementDataFile"}
_CONCERNS_VOXELS = re.compile(r"Element|HeaderSize|Binary|Compressed|NDims|DimSize", re.IGNORECASE)


def check_meta(path: Path) -> Vetted | None:
    """Check a MetaImage: its header, and that all voxels are there.

    Returns:
        None for a header with anything unusual, or whose voxels are in another file.

    Raises:
        FileError: if voxels are missing, or the header names a device as the file of its voxels.
        ResourceError: if there is not enough memory for them.
    """
    with path.open("rb") as file:
        start = file.read(_LONGEST_HEADER)
        begin = re.search(rb"^ElementDataFile\s*=[^\n]*\n?", start, re.MULTILINE)
        if begin is None:
            return None
        fields = _fields(start[: begin.end()].decode("latin-1"))
        named = re.split(rb"=", begin.group(), maxsplit=1)[1].strip().decode("latin-1")
        if named not in ("LOCAL", "Local", "local", "LIST") and not named.startswith("LIST ") and "%" not in named:
            check_input_file(path.parent / named)
        if fields is None:
            return None
        sizes = [int(n) for n in fields["DimSize"].split()]
        channels = int(fields.get("ElementNumberOfChannels", "1"))
        needed = math.prod(sizes) * channels * np.dtype(_TYPES[fields["ElementType"]]).itemsize
        compressed = fields.get("CompressedData") == "True"
        check_claim(path, needed, path.stat().st_size - begin.end(), compressed=compressed)
        if compressed:
            file.seek(begin.end())
            try:
                read_exactly(Inflated(file), needed, path)
            except (EOFError, zlib.error) as error:
                raise FileError(f"{path}: truncated or damaged ({error}); copy or export the file again") from error
    return Vetted("MetaImageIO", _remarks(fields, path))


def _fields(header: str) -> dict[str, str] | None:
    """The fields by name; None unless all are known, or plain text, and agree on the number of axes."""
    fields: dict[str, str] = {}
    for line in header.splitlines():
        name, equals, value = (part.strip() for part in line.partition("="))
        known = _FIELDS.get(name)
        if not equals or name in fields:
            return None
        if known is None and (_CONCERNS_VOXELS.match(name) or not re.fullmatch(_TEXT_NAME, name)):
            return None
        if not re.fullmatch(_TEXT if known is None else known, value):
            return None
        fields[name] = value
    if not set(fields) >= _NEEDED:
        return None
    axes = int(fields["NDims"])
    lengths = {"DimSize": axes, "ElementSpacing": axes, "ElementSize": axes, "Offset": axes, "Position": axes}
    lengths |= {"Origin": axes, "CenterOfRotation": axes}
    lengths |= dict.fromkeys(("TransformMatrix", "Rotation", "Orientation"), axes * axes)
    counted = {name: len(fields[name].split()) for name in lengths if name in fields}
    return fields if all(count == lengths[name] for name, count in counted.items()) else None


def _remarks(fields: dict[str, str], path: Path) -> tuple[str, ...]:
    missing = [
        what
        for what, names in {
            "spacing": ("ElementSpacing", "ElementSize"),
            "direction": ("TransformMatrix", "Rotation", "Orientation"),
        }.items()
        if not any(name in fields for name in names)
    ]
    if not missing:
        return ()
    return (
        f"{path.name}: its header gives no {' and no '.join(missing)}; voxels of 1 mm or an unturned image were "
        "assumed, as in Slicer",
    )
