"""Landmark files: Slicer markups (.mrk.json, .fcsv) and plain tables (.csv), all to RAS mm."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import FileError, InputError
from ..core.geometry import RAS_LPS, FloatArray
from ..core.image import LandmarkPairs, paired_landmarks
from ..core.system.reading import malformed, read_text

_SIGNS = {"RAS": np.ones(3), "LPS": np.diag(RAS_LPS)[:3]}
#: .fcsv headers write the frame by name or, in old files, by number.
_FCSV_FRAMES = {"0": "RAS", "1": "LPS", "RAS": "RAS", "LPS": "LPS"}
_READABLE = "Slicer markups (.mrk.json, .fcsv) or a table with columns x, y, z in RAS mm (.csv)"


def read_landmarks(path: Path | str) -> FloatArray:
    """Points (n, 3), RAS mm, in the file's order.

    ``.mrk.json`` and ``.fcsv`` say themselves whether they are RAS or LPS. A ``.csv`` is RAS mm, one
    point a row: either a header naming columns x, y and z (others are ignored; ``label`` names the
    points), or three bare numbers a row.

    Raises:
        FileError: if it is missing or not one of these.
        InputError: if it holds no point, an undefined one, or an unknown frame.
    """
    return _read(Path(path))[0]


def read_landmark_pairs(fixed_path: Path | str, moving_path: Path | str) -> LandmarkPairs:
    """Corresponding points of two files, by the rule of :func:`.image.paired_landmarks`.

    Raises:
        InputError: as :func:`read_landmarks`, and if the points cannot be paired.
    """
    fixed, fixed_names = _read(Path(fixed_path))
    moving, moving_names = _read(Path(moving_path))
    return paired_landmarks((fixed, fixed_names, str(fixed_path)), (moving, moving_names, str(moving_path)))


def _read(path: Path) -> tuple[FloatArray, list[str]]:
    name = path.name.lower()
    readers = {".json": _parse_markups, ".fcsv": _parse_fcsv, ".csv": _parse_csv}
    parse = next((reader for suffix, reader in readers.items() if name.endswith(suffix)), None)
    if parse is None:
        raise FileError(f"{path}: landmarks of this kind cannot be read; give {_READABLE}")
    text = read_text(path, f"give {_READABLE}")
    with malformed(path, "a valid landmark file", f"give {_READABLE}"):
        points, names = parse(text, path)
    if not points:
        raise InputError(f"{path}: holds no landmarks; place at least one point")
    array = np.array(points, dtype=np.float64).reshape(len(points), -1)
    if array.shape != (len(points), 3) or not np.isfinite(array).all():
        raise InputError(f"{path}: every landmark needs three finite coordinates in mm; correct the file")
    return array, names


def _parse_markups(text: str, path: Path) -> tuple[list[Any], list[str]]:
    markups = json.loads(text)["markups"]
    if len(markups) != 1:
        raise InputError(f"{path}: one list of markups is needed, but the file holds {len(markups)}; save one a file")
    frame = str(markups[0].get("coordinateSystem", "LPS")).upper()
    if frame not in _SIGNS:
        raise InputError(f"{path}: coordinate system {frame!r} is unknown; save the markups as RAS or LPS")
    unit = str(markups[0].get("coordinateUnits", "mm"))
    if unit != "mm" and "[mm]" not in unit:
        raise InputError(f"{path}: its coordinates are in {unit}; save the markups in mm")
    points, names = [], []
    for number, point in enumerate(markups[0]["controlPoints"], start=1):
        label = str(point.get("label") or number)
        if point.get("positionStatus", "defined") != "defined":
            raise InputError(f"{path}: landmark {label!r} has no position; place it or remove it")
        points.append(_position(point["position"], label, path) * _SIGNS[frame])
        names.append(label)
    return points, names


def _position(value: Any, label: str, path: Path) -> FloatArray:
    """Three numbers, and nothing that NumPy would make three of."""
    numbers = isinstance(value, list) and all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in value)
    if not numbers or len(value) != 3:
        raise InputError(
            f"{path}: the position of landmark {label!r} must be three numbers in mm, but is {str(value)[:80]}; "
            "correct the file"
        )
    return np.array([float(v) for v in value])


def _parse_fcsv(text: str, path: Path) -> tuple[list[Any], list[str]]:
    frame, columns = "RAS", ["id", "x", "y", "z"]
    rows = []
    for line in text.splitlines():
        if not line.startswith("#"):
            if line.strip():
                rows.append(line)
        elif "=" in line:
            key, value = (part.strip() for part in line[1:].split("=", 1))
            if key.lower() == "coordinatesystem":
                frame = value
            elif key.lower() == "columns":
                columns = [column.strip() for column in value.split(",")]
    if frame not in _FCSV_FRAMES:
        raise InputError(f"{path}: coordinate system {frame!r} cannot be used; save the points as RAS or LPS")
    signs = _SIGNS[_FCSV_FRAMES[frame]]
    points, names = [], []
    for number, row in enumerate(csv.reader(rows), start=1):
        values = dict(zip(columns, row, strict=False))
        points.append(np.array([float(values[axis]) for axis in "xyz"]) * signs)
        names.append(values.get("label") or str(number))
    return points, names


def _parse_csv(text: str, path: Path) -> tuple[list[Any], list[str]]:
    rows = [row for row in csv.reader(text.splitlines()) if any(cell.strip() for cell in row)]
    if rows and _is_numeric(rows[0]):
        return [[float(x), float(y), float(z)] for x, y, z in rows], [str(n + 1) for n in range(len(rows))]
    header = [cell.strip().lower() for cell in rows[0]] if rows else []
    if rows and not {"x", "y", "z"} <= set(header):
        raise InputError(f"{path}: columns x, y and z are needed (RAS mm), but the header says {', '.join(header)}")
    records = [dict(zip(header, row, strict=False)) for row in rows[1:]]
    points = [[float(record[axis]) for axis in "xyz"] for record in records]
    return points, [record.get("label") or str(n + 1) for n, record in enumerate(records)]


def _is_numeric(row: list[str]) -> bool:
    try:
        return len([float(cell) for cell in row]) == 3
    except ValueError:
        return False
