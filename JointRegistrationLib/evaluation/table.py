"""The result table: a CSV file that grows by a row at a time and may be cut short at any time, and its summary."""

from __future__ import annotations

import csv
import io
import math
import os
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from ..core.errors import FileError
from ..core.system.reading import malformed
from ..files.csv_cells import cell
from ..files.output import raise_write_error, sole_writer

_KEY = ("group", "pair", "method")
#: Per label, and as the mean of two groups of labels.
_OVERLAPS = ("dice", "hd95_mm", "assd_mm")
_TEXTS = (*_KEY, "notes")
_UNIONS = ("cartilage", "bones")
_FIGURES = ("folds", "folds_percent", "inverse_error_mean_mm", "ncc", "seconds", "peak_memory_mb", "notes")


def columns(labels: Sequence[int]) -> list[str]:
    """The columns of a table for these labels."""
    parts = (*_UNIONS, *(str(label) for label in labels))
    return [*_KEY, *(f"{measure}_{part}" for measure in _OVERLAPS for part in parts), *_FIGURES]


class ResultTable:
    """A CSV file of results; what is in it already is kept.

    A last line without an end was being written when the program was stopped: it is dropped. Of several rows of one
    group, pair and method the first counts. Use :func:`table_for_one` where another process may write to it too.

    Args:
        path: the file; made if it does not exist.
        labels: the labels it has columns for.

    Raises:
        FileError: if it cannot be written, or is another table.
        ResourceError: if the disk is full.
    """

    def __init__(self, path: Path, labels: Sequence[int]) -> None:
        self.path = path
        self.columns = columns(labels)
        self.rows: list[dict[str, str]] = []
        self._keys: set[tuple[str, ...]] = set()
        try:
            self._open()
        except OSError as error:
            raise_write_error(error, path)

    def __contains__(self, key: tuple[str, str, str]) -> bool:
        """Whether the row of (group, pair, method) is there."""
        return tuple(map(_cell, key)) in self._keys

    def append(self, values: Mapping[str, object]) -> dict[str, str]:
        """Add a row and save it; columns without a value, and nan, stay empty.

        A row whose group, pair and method are there already is not added.

        Raises:
            FileError, ResourceError: if it cannot be written.
        """
        row = {column: _cell(values.get(column)) for column in self.columns}
        if tuple(row[name] for name in _KEY) not in self._keys:
            self._write(_line([row[column] for column in self.columns]))
            self._add(row)
        return row

    def _add(self, row: dict[str, str]) -> None:
        key = tuple(row[name] for name in _KEY)
        if key not in self._keys:
            self._keys.add(key)
            self.rows.append(row)

    def _open(self) -> None:
        header = _line(self.columns)
        data = self.path.read_bytes() if self.path.exists() else b""
        content = data.decode("utf-8", "replace")
        if not (content.startswith(header) or header.startswith(content)):
            raise FileError(
                f"{self.path}: is another table, perhaps of other labels, and will not be changed; "
                "give another name to --output"
            )
        end = data.rfind(b"\n") + 1
        if end < len(data):
            os.truncate(self.path, end)
        whole = content[: content.rfind("\n") + 1]
        if not whole:
            self._write(header)
        with malformed(self.path, "a table of results", "give another name to --output"):
            lines = list(enumerate(csv.reader(io.StringIO(whole[len(header) :])), 2))
        for number, cells in lines:
            if len(cells) != len(self.columns):
                raise FileError(
                    f"{self.path}: line {number} has {len(cells)} columns, not {len(self.columns)}; "
                    "delete the line, and it will be computed again"
                )
            row = dict(zip(self.columns, cells, strict=True))
            with malformed(f"{self.path}, line {number}", "a row of results", "delete the line"):
                _ = [float(row[name]) for name in self.columns if row[name] and name not in _TEXTS]
            self._add(row)

    def _write(self, line: str) -> None:
        try:
            with self.path.open("a", encoding="utf-8", newline="") as stream:
                stream.write(line)
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as error:
            raise_write_error(error, self.path)


@contextmanager
def table_for_one(path: Path, labels: Sequence[int]) -> Iterator[ResultTable]:
    """A :class:`ResultTable` that no other process can have at the same time.

    Raises:
        FileError: if another has it, and as :class:`ResultTable`.
    """
    with sole_writer(path.with_name(f".{path.name}.lock"), path):
        yield ResultTable(path, labels)


def summary(rows: Iterable[Mapping[str, str]]) -> str:
    """The paper's table, as Markdown: a row a method, for each group mean (standard deviation) over its pairs.

    Dice is the mean of femoral and tibial cartilage, in percent; the deviation is the sample's (n - 1).
    Methods and groups stand in the order in which they first occur.
    """
    by_cell: dict[tuple[str, str], list[Mapping[str, str]]] = {}
    for row in rows:
        by_cell.setdefault((row["method"], row["group"]), []).append(row)
    methods, groups = (list(dict.fromkeys(key[n] for key in by_cell)) for n in (0, 1))
    head = ["method"]
    for group in groups:
        head += [f"{group}: pairs", "cartilage Dice, %", "folds", "seconds"]
    lines = [head, ["---"] * len(head)]
    lines += [[method, *(c for g in groups for c in _cells(by_cell.get((method, g), [])))] for method in methods]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cells(rows: list[Mapping[str, str]]) -> list[str]:
    figures = (("dice_cartilage", 100.0, ".1f"), ("folds", 1.0, ".1f"), ("seconds", 1.0, ".1f"))
    spread = [_mean_and_deviation([scale * float(r[c]) for r in rows if r[c]], digits) for c, scale, digits in figures]
    return [str(len(rows)), *spread]


def _mean_and_deviation(values: list[float], digits: str) -> str:
    if not values:
        return "-"
    deviation = f"{statistics.stdev(values):{digits}}" if len(values) > 1 else "-"
    return f"{statistics.fmean(values):{digits}} ({deviation})"


def _cell(value: object) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return f"{value:.6g}" if isinstance(value, float) else cell(" ".join(str(value).split()))


def _line(cells: Sequence[str]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()
