"""Which images of a folder are whose knee: patient, visit and side of each, their split and their pairs.

The split is by patient, 70 / 10 / 20 for training, validation and test; pairs are of one side, longitudinal or between
two patients (spec, section 6).
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...core.errors import ConfigError, FileError, InputError
from ...core.system.reading import malformed, read_text
from ...files.csv_cells import text_of
from ...files.dicom.series import series_tags
from ...files.guarded.native import READABLE
from ...files.images import WRITABLE_SUFFIXES

SPLITS = ("train", "validation", "test")
SHARES = (0.7, 0.1, 0.2)
#: Unordered pairs over all splits; each is listed both ways (published).
MOST_PAIRS = {"longitudinal": 3000, "cross-subject": 2000}
_SIDES = {"r": "right", "right": "right", "l": "left", "left": "left"}


@dataclass(frozen=True)
class Source:
    """One image to prepare: ``file`` (or DICOM folder), ``side`` right or left, ``labels`` if there are any."""

    file: Path
    subject: str
    visit: str
    side: str
    labels: Path | None = None

    @property
    def name(self) -> str:
        """A name for files."""
        parts = (self.subject, self.visit or "0", self.side)
        return "_".join(re.sub(r"[^A-Za-z0-9.-]+", "-", part) for part in parts)

    @property
    def knee(self) -> str:
        """Return what the same knee at another visit shares."""
        return f"{self.subject} {self.side}"


def find_sources(
    folder: Path, *, pattern: str | None = None, description: str | None = None, side: str | None = None
) -> list[Source]:
    """Images and DICOM folders below ``folder``.

    Args:
        folder: where to look, at any depth.
        pattern: regular expression with the groups ``subject`` and, if wanted, ``visit`` and ``side``, searched in
            the path from ``folder`` on, with slashes; what it does not match is left out. None: DICOM only, by
            PatientID, StudyDate and Laterality.
        description: regular expression; DICOM series whose SeriesDescription does not match are left out.
        side: of all knees whose side neither pattern nor tags tell.

    Raises:
        FileError: if nothing is found.
        ConfigError: for a pattern that cannot be used.
        InputError: if a knee's patient or side is not known, or two images have the same name.
    """
    if not folder.is_dir():
        raise FileError(f"{folder}: there is no such folder; give the one that holds the images")
    matcher, wanted = _compiled(pattern, "--pattern"), _compiled(description, "--description")
    if matcher is not None and "subject" not in matcher.groupindex:
        raise ConfigError(f"--pattern {pattern!r}: the group (?P<subject>...) is missing; visit and side may follow")
    found: list[Source] = []
    for path in _candidates(folder):
        source = _source(path, path.relative_to(folder).as_posix(), matcher, wanted, side)
        if source is not None:
            found.append(source)
    if not found:
        raise FileError(
            f"{folder}: no image was found ({READABLE}); "
            + ("DICOM folders only are taken without --pattern or --table" if pattern is None else "check --pattern")
        )
    return check_names(found)


def read_table(path: Path, folder: Path) -> list[Source]:
    """Sources from a CSV with the columns file, subject, visit, side and, if there are any, labels.

    File names count from ``folder``.

    Raises:
        FileError: if it cannot be read, or an image or label map is missing.
        InputError: if a column or a value is missing, or two rows are of the same visit.
    """
    with malformed(path, "a table of scans", "correct it"):
        rows = list(csv.DictReader(io.StringIO(read_text(path, "give a CSV file of scans"), newline="")))
        return _sources(path, folder, rows)


def _sources(path: Path, folder: Path, rows: list[dict[str, str]]) -> list[Source]:
    found = []
    for line, row in enumerate(rows, start=2):
        missing = [name for name in ("file", "subject", "visit", "side") if not row.get(name)]
        if missing:
            raise InputError(f"{path}: line {line}: {', '.join(missing)} is empty or not a column; fill it in")
        labels = folder / row["labels"] if row.get("labels") else None
        for file in (folder / row["file"], labels):
            if file is not None and not file.exists():
                raise FileError(f"{path}: line {line}: {file} does not exist; file names count from {folder}")
        side = _side(row["side"], f"{path}: line {line}")
        found.append(Source(folder / row["file"], text_of(row["subject"]), text_of(row["visit"]), side, labels))
    if not found:
        raise FileError(f"{path}: the table has no row; list a scan a line")
    return check_names(found)


def check_names(sources: list[Source]) -> list[Source]:
    """The same, by name, or InputError for two images of one visit."""
    by_name: dict[str, Source] = {}
    for source in sources:
        if source.name in by_name:
            raise InputError(
                f"{source.file} and {by_name[source.name].file}: both are {source.name} (patient, visit, side); "
                "tell them apart by --pattern, --description or --table"
            )
        by_name[source.name] = source
    return [by_name[name] for name in sorted(by_name)]


def split_subjects(sources: Sequence[Source], shares: Sequence[float] = SHARES, seed: int = 0) -> dict[str, str]:
    """Patient to split; each gets at least one, test only if there are three.

    Raises:
        InputError: for fewer than two patients.
    """
    subjects = sorted({source.subject for source in sources})
    if len(subjects) < 2:
        raise InputError(f"{sources[0].file}: at least two patients are needed to split them, but there is one")
    order = [subjects[n] for n in np.random.default_rng(seed).permutation(len(subjects))]
    validation = max(1, round(shares[1] * len(order)))
    test = max(1, round(shares[2] * len(order))) if len(order) > 2 else 0
    names = ["validation"] * validation + ["test"] * test
    return {name: names[n] if n < len(names) else "train" for n, name in enumerate(order)}


def list_pairs(sources: Sequence[Source], share: float, seed: int = 0) -> list[tuple[str, Source, Source]]:
    """(group, fixed, moving) of one split, of one side each, seeded, both ways; ``share`` of :data:`MOST_PAIRS`."""
    first, second = np.triu_indices(len(sources), 1)
    most = {group: max(1, round(share * count)) for group, count in MOST_PAIRS.items()}
    chosen: dict[str, list[tuple[str, Source, Source]]] = {group: [] for group in MOST_PAIRS}
    for n in np.random.default_rng(seed).permutation(len(first)):
        a, b = sources[first[n]], sources[second[n]]
        group = "longitudinal" if a.subject == b.subject else "cross-subject"
        if a.side == b.side and len(chosen[group]) < 2 * most[group]:
            chosen[group] += [(group, a, b), (group, b, a)]
    return [pair for pairs in chosen.values() for pair in pairs]


# -- parts ------------------------------------------------------------------------------------------


def _compiled(pattern: str | None, option: str) -> re.Pattern[str] | None:
    try:
        return None if pattern is None else re.compile(pattern)
    except re.error as error:
        raise ConfigError(f"{option} {pattern!r}: not a regular expression ({error})") from error


def _candidates(folder: Path) -> Iterator[Path]:
    """Image files, and folders that hold files of another kind (DICOM slices often have no suffix)."""
    for path in [folder, *sorted(folder.rglob("*"))]:
        if path.is_file():
            if path.name.lower().endswith(WRITABLE_SUFFIXES):
                yield path
        elif any(p.is_file() and not p.name.lower().endswith(WRITABLE_SUFFIXES) for p in path.iterdir()):
            yield path


def _source(
    path: Path, relative: str, matcher: re.Pattern[str] | None, wanted: re.Pattern[str] | None, side: str | None
) -> Source | None:
    match = None if matcher is None else matcher.search(relative)
    if (matcher is not None and match is None) or (matcher is None and path.is_file()):
        return None
    tags: dict[str, str] = {}
    if path.is_dir():
        found = series_tags(path)
        if found is None or (wanted is not None and not wanted.search(found["SeriesDescription"])):
            return None
        tags = found
    groups = {name: value for name, value in (match.groupdict() if match else {}).items() if value}
    subject = groups.get("subject") or tags.get("PatientID", "")
    if not subject:
        raise InputError(f"{path}: PatientID is empty; give --pattern with (?P<subject>...), or --table")
    visit = groups.get("visit") or tags.get("StudyDate", "")
    told = groups.get("side") or tags.get("Laterality") or _side_in_text(tags.get("SeriesDescription", "")) or side
    return Source(path, subject, visit, _side(told or "", str(path)))


def _side_in_text(text: str) -> str | None:
    sides = {word for word in re.findall(r"[a-z]+", text.lower()) if word in ("left", "right")}
    return sides.pop() if len(sides) == 1 else None


def _side(text: str, where: str) -> str:
    if text.strip().lower() not in _SIDES:
        raise InputError(
            f"{where}: the knee's side is {text!r}, but right or left is needed; give --side, --pattern with "
            "(?P<side>...), or a table with the column side"
        )
    return _SIDES[text.strip().lower()]
