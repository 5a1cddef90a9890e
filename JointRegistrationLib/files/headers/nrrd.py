"""NRRD headers, looked at before ITK sees them: NrrdIO trusts the lengths that it reads.

Only what writers of images really write is passed on to ITK in this process: known fields, whose values have the form
and the number that the format gives. Anything else is left to a child process.
"""

from __future__ import annotations

import gzip
import math
import re
import zlib
from pathlib import Path

import numpy as np

from ...core.errors import FileError
from ...core.system.reading import check_input_file
from .claims import Vetted, check_claim, read_exactly

_LONGEST_HEADER = 1 << 16
NUMBER = r"[-+]?(?:\d{1,20}(?:\.\d{0,20})?|\.\d{1,20})(?:[eE][-+]?\d{1,3})?"
_VECTOR = rf"\(\s?{NUMBER}(?:\s?,\s?{NUMBER}){{2}}\s?\)"
_NUMBERS = rf"(?:{NUMBER}|nan|NaN)"
_WORD = r"[A-Za-z0-9?*-]{1,40}"
_QUOTED = r'"[ !#-~]{0,40}"'


def _list_of(item: str) -> str:
    return rf"{item}(?: {item}){{0,4}}"


_TYPES = {
    **dict.fromkeys(("signed char", "int8", "int8_t"), np.int8),
    **dict.fromkeys(("uchar", "unsigned char", "uint8", "uint8_t"), np.uint8),
    **dict.fromkeys(("short", "short int", "signed short", "signed short int", "int16", "int16_t"), np.int16),
    **dict.fromkeys(("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"), np.uint16),
    **dict.fromkeys(("int", "signed int", "int32", "int32_t"), np.int32),
    **dict.fromkeys(("uint", "unsigned int", "uint32", "uint32_t"), np.uint32),
    **dict.fromkeys(("longlong", "long long", "long long int", "int64", "int64_t"), np.int64),
    **dict.fromkeys(("ulonglong", "unsigned long long", "uint64", "uint64_t"), np.uint64),
    "float": np.float32,
    "double": np.float64,
}
#: Fields with one value for each axis, and the others; the form of each.
_PER_AXIS = {
    "sizes": _list_of(r"\d{1,9}"),
    "space directions": _list_of(rf"(?:{_VECTOR}|none)"),
    "kinds": _list_of(_WORD),
    "centerings": _list_of(_WORD),
    "centers": _list_of(_WORD),
    "spacings": _list_of(_NUMBERS),
    "thicknesses": _list_of(_NUMBERS),
    "labels": _list_of(_QUOTED),
    "units": _list_of(_QUOTED),
}
_SINGLE = {
    "type": "|".join(_TYPES),
    "dimension": r"[1-5]",
    "space": r"[A-Za-z-]{1,40}",
    "space origin": _VECTOR,
    "space units": _list_of(_QUOTED),
    "measurement frame": rf"{_VECTOR}(?: {_VECTOR}){{2}}",
    "endian": "little|big",
    "encoding": "raw|gzip|gz",
    "content": r"[ -~]{1,200}",
}
_NEEDED = {"type", "dimension", "sizes", "encoding"}
_MM = {"mm", "millimeter", "millimeters", "millimetre", "millimetres", ""}


def check_nrrd(path: Path) -> Vetted | None:
    """Check a NRRD file: its header, and that all voxels are there.

    Returns:
        None for a header with anything unusual, which ITK should not see in this process.

    Raises:
        FileError: if voxels are missing, or the header names a device as the file of its voxels.
        ResourceError: if there is not enough memory for them.
    """
    with path.open("rb") as file:
        start = file.read(_LONGEST_HEADER)
        fields = _fields(start)
        if fields is None:
            return None
        _check_data_file(fields, path)
        if not _is_plain(fields):
            return None
        needed = math.prod(map(int, fields["sizes"].split())) * np.dtype(_TYPES[fields["type"]]).itemsize
        begin = _header_length(start)
        compressed = fields["encoding"] != "raw"
        check_claim(path, needed, path.stat().st_size - begin, compressed=compressed)
        if compressed:
            file.seek(begin)
            try:
                with gzip.open(file) as stream:
                    read_exactly(stream, needed, path)
            except (OSError, EOFError, zlib.error) as error:
                raise FileError(f"{path}: truncated or damaged ({error}); copy or export the file again") from error
    return Vetted("NrrdImageIO", _remarks(fields, path))


def _header_length(start: bytes) -> int:
    """Bytes up to the first voxel; 0 if the header does not end."""
    found = re.search(rb"\r?\n\r?\n", start)
    return 0 if found is None else found.end()


def _fields(start: bytes) -> dict[str, str] | None:
    """The fields by name; None for what is no NRRD header, or is too unusual to be read here."""
    length = _header_length(start)
    if not re.match(rb"NRRD000[1-5]\r?\n", start) or not length:
        return None
    fields: dict[str, str] = {}
    for line in start[:length].decode("latin-1").splitlines()[1:]:
        if not line or line.startswith("#"):
            continue
        pair = re.fullmatch(r"([ -9;-~]{1,80}):(=?)( ?)(.*)", line)
        if pair is None:
            return None
        name, is_key, value = pair[1].lower(), bool(pair[2]), pair[4].strip()
        if is_key:
            fields[":="] = value if len(value) > len(fields.get(":=", "")) else fields.get(":=", "")
        elif name in fields:
            return None
        else:
            fields[name] = value
    return fields


def _is_plain(fields: dict[str, str]) -> bool:
    """Whether every field is known, has its form, and as many values as there are axes."""
    texts = fields.get(":=", "")
    known = {**_PER_AXIS, **_SINGLE}
    others = {name: value for name, value in fields.items() if name != ":="}
    if not set(others) >= _NEEDED or not set(others) <= set(known) or not re.fullmatch(r"[ -~]{0,500}", texts):
        return False
    if not all(re.fullmatch(known[name], value) for name, value in others.items()):
        return False
    axes = int(fields["dimension"])
    counted = {
        name: len(re.findall(rf"{_VECTOR}|{_QUOTED}|[^ ]+", fields[name])) for name in others if name in _PER_AXIS
    }
    return all(count == axes for count in counted.values())


def _check_data_file(fields: dict[str, str], path: Path) -> None:
    """A header may name another file as that of its voxels: it must be a file."""
    for name in ("data file", "datafile"):
        value = fields.get(name, "")
        if value and not value.startswith("LIST") and "%" not in value:
            check_input_file(path.parent / value)


def _remarks(fields: dict[str, str], path: Path) -> tuple[str, ...]:
    remarks = []
    units = {unit.strip().lower() for unit in re.findall(r'"([^"]*)"', fields.get("space units", ""))} - _MM
    if units:
        remarks.append(
            f"{path.name}: its header gives lengths in {', '.join(sorted(units))}; they were taken as mm, as in "
            "Slicer: correct the header if it is right"
        )
    if "space directions" not in fields:
        remarks.append(
            f"{path.name}: its header does not say where the image lies in the patient (no space directions); "
            "an unturned image was assumed, as in Slicer"
        )
    return tuple(remarks)
