"""The list of pairs: a CSV file that names images and their label maps."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..core.errors import FileError
from ..core.system.reading import malformed, read_text
from ..files import read_labels

_FILES = ("moving", "fixed", "moving_labels", "fixed_labels")
_ALL = "all"
_SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".mha")


@dataclass(frozen=True)
class EvaluationPair:
    """Two images with label maps on their own grids, and the group whose mean the pair enters."""

    group: str
    moving: Path
    fixed: Path
    moving_labels: Path
    fixed_labels: Path

    @property
    def name(self) -> str:
        """Return the pair's name in tables: ``"moving > fixed"``, without folders and suffixes."""
        return f"{_stem(self.moving)} > {_stem(self.fixed)}"


def read_pairs(path: Path) -> list[EvaluationPair]:
    """Pairs from a CSV file with the columns moving, fixed, moving_labels, fixed_labels and, if wanted, group.

    File names are relative to the list's folder.

    Raises:
        FileError: if the list or a file it names is missing, or the list is not as described.
    """
    with malformed(path, "a CSV file of pairs", "correct it"):
        table = csv.DictReader(io.StringIO(read_text(path, "give a CSV file of pairs"), newline=""))
        rows = [(table.line_num, row) for row in table]
        columns = table.fieldnames or ()
    for column in _FILES:
        if column not in columns:
            raise FileError(f"{path}: column {column!r} is missing; the first line must name {', '.join(_FILES)}")
    if not rows:
        raise FileError(f"{path}: lists no pair; give one line for each")
    with malformed(path, "a CSV file of pairs", "correct it"):
        pairs = [_pair(row, f"{path}, line {line}", path.parent) for line, row in rows]
    _check_unique(pairs, path)
    return pairs


def label_values(pairs: Iterable[EvaluationPair]) -> tuple[int, ...]:
    """All labels but 0 that occur in the label maps of ``pairs``.

    Raises:
        InputError: if a label map cannot be read.
    """
    paths = dict.fromkeys(path for pair in pairs for path in (pair.moving_labels, pair.fixed_labels))
    found = {int(value) for path in paths for value in np.unique(read_labels(path).array)}
    return tuple(sorted(found - {0}))


def _pair(row: dict[str, str | None], where: str, folder: Path) -> EvaluationPair:
    files = []
    for column in _FILES:
        name = (row[column] or "").strip()
        if not name:
            raise FileError(f"{where}: no {column} is given; fill in every column")
        if not (folder / name).exists():
            raise FileError(
                f"{where}: {column}: there is no file {folder / name}; names count from the folder of the list"
            )
        files.append(folder / name)
    return EvaluationPair((row.get("group") or "").strip() or _ALL, *files)


def _check_unique(pairs: list[EvaluationPair], path: Path) -> None:
    """Rows of a result table are found again by group and name, in which spaces count once."""
    seen: set[tuple[str, ...]] = set()
    for pair in pairs:
        key = tuple(" ".join(text.split()) for text in (pair.group, pair.name))
        if key in seen:
            raise FileError(f"{path}: the pair {pair.name!r} occurs twice in group {pair.group!r}; list it once")
        seen.add(key)


def _stem(path: Path) -> str:
    suffix = next((s for s in _SUFFIXES if path.name.lower().endswith(s)), "")
    return path.name[: len(path.name) - len(suffix)]
