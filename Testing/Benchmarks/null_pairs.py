"""Register pairs in which nothing changed, or a known loss of cartilage did, and note what the maps make of them.

    python Testing/Benchmarks/null_pairs.py runs/null/table.csv [--size half] [--methods avsm:refine=20,vsvf-opt,greedy]
    python Testing/Benchmarks/null_pairs.py runs/null/table.csv --cases "dess/*,*/0.3 mm"
    python Testing/Benchmarks/null_pairs.py runs/null/table.csv --only-print [--size half] [--write]

A row a method and pair, which is registered both ways, A to B and B to A; rows that are there are not computed again.
null_cases.py and null_knees.py make the pairs, null_measures.py says what the columns are. At the end, and with
--only-print at once, the means over the pairs of each kind are printed; --write puts them into docs/results.md.
"""

from __future__ import annotations

import csv
import statistics
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import click
import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "Testing" / "Benchmarks")]

import null_measures  # noqa: E402
import peers as peer_programs  # noqa: E402
from null_cases import Named, NullPair, real_pairs  # noqa: E402
from null_knees import rendered_pairs  # noqa: E402
from real_knees import default_data  # noqa: E402
from results_tables import write  # noqa: E402

from JointRegistrationLib.core.config import RegistrationConfig  # noqa: E402
from JointRegistrationLib.core.errors import JointRegistrationError  # noqa: E402
from JointRegistrationLib.core.image import Image  # noqa: E402
from JointRegistrationLib.evaluation.methods import Method, parse_methods  # noqa: E402
from JointRegistrationLib.files import write_image  # noqa: E402
from JointRegistrationLib.registration.register import register  # noqa: E402

COLUMNS = ("kind", "pair", "size", "method", *null_measures.COLUMNS, "seconds", "stopped")
Row = dict[str, str]
Key = tuple[str, str, str]


class Table:
    """The rows measured so far, in a CSV that grows by whole lines."""

    def __init__(self, path: Path) -> None:
        self._path, self.rows = path, list[Row]()
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            with path.open(newline="", encoding="utf-8") as stream:
                self.rows = list(csv.DictReader(stream))
        else:
            path.write_text(",".join(COLUMNS) + "\n", encoding="utf-8")

    def __contains__(self, key: Key) -> bool:
        return any((row["pair"], row["size"], row["method"]) == key for row in self.rows)

    def append(self, row: Row) -> None:
        """Add a row and save it."""
        whole = {name: row.get(name, "") for name in COLUMNS}
        with self._path.open("a", newline="", encoding="utf-8") as stream:
            csv.DictWriter(stream, COLUMNS, lineterminator="\n").writerow(whole)
        self.rows.append(whole)


@dataclass(frozen=True)
class Found:
    """One method's map of a pair, from the one image to the other, (k, j, i, 3) RAS mm."""

    method: str
    field_mm: np.ndarray
    seconds: float


def ours(method: Method, fixed: Image, moving: Image) -> list[Found]:
    """By the library in this process."""
    if not method.registers:
        return [Found(method.name, np.zeros((*fixed.grid.shape, 3), np.float32), 0.0)]
    result = register(fixed, moving, method.config)
    return [Found(method.name, result.displacement_field_mm, result.timings_s["total"])]


def theirs(peer: str, fixed: Image, moving: Image, threads: int, python: Path) -> list[Found]:
    """By another program: its affine stage, if any, and its last one."""
    with tempfile.TemporaryDirectory() as scratch:
        paths = [Path(scratch) / f"{role}.nii.gz" for role in ("fixed", "moving")]
        for path, image in zip(paths, (fixed, moving), strict=True):
            write_image(image, path)
        result = peer_programs.register_pair(peer, *paths, threads, python)
    return [Found(stage.method, stage.displacement_field_mm, stage.seconds) for stage in result.stages()]


@dataclass(frozen=True)
class Program:
    """A method of ours, or a peer, and the names of its rows."""

    method: Method | str
    rows: tuple[str, ...]

    def run(self, fixed: Image, moving: Image, threads: int, python: Path) -> list[Found]:
        """Register; one map a row."""
        if isinstance(self.method, str):
            return theirs(self.method, fixed, moving, threads, python)
        return ours(self.method, fixed, moving)


def programs(text: str, python: Path) -> list[Program]:
    """What ``--methods`` names, ours and the peers that are installed."""
    names = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    peers = [name for name in names if name in peer_programs.PEERS]
    own = ",".join(name for name in names if name not in peers)
    found = [Program(m, (m.name,)) for m in parse_methods(own, RegistrationConfig())] if own else []
    there = peer_programs.installed(peers, python)
    return [*found, *(Program(peer, peer_programs.PEERS[peer].methods) for peer in there)]


def rows_of(named: Named, pair: NullPair, size: str, program: Program, threads: int, python: Path) -> list[Row]:
    """The rows of one program; where it fails, rows that say so."""
    head = {"kind": named.kind, "pair": named.name, "size": size}
    try:
        there = program.run(pair.fixed, pair.moving, threads, python)
        back = program.run(pair.moving, pair.fixed, threads, python)
    except (JointRegistrationError, peer_programs.PeerError) as error:
        return [{**head, "method": method, "stopped": str(error)} for method in program.rows]
    rows = []
    for one, other in zip(there, back, strict=True):
        figures = null_measures.measured(pair, one.field_mm, other.field_mm)
        cells = {name: "" if np.isnan(value) else f"{value:.5g}" for name, value in figures.items()}
        rows.append({**head, "method": one.method, **cells, "seconds": f"{one.seconds:.1f}"})
    return rows


def measure(cases: Iterable[Named], table: Table, size: str, wanted: list[Program], threads: int, python: Path) -> None:
    """Add what is missing to the table."""
    for named in cases:
        missing = [p for p in wanted if any((named.name, size, row) not in table for row in p.rows)]
        pair = named.make() if missing else None
        for program in missing:
            assert pair is not None
            for row in rows_of(named, pair, size, program, threads, python):
                if (row["pair"], size, row["method"]) not in table:
                    table.append(row)
                click.echo(f"{row['pair']} | {row['method']} | {told(row)}", err=True)


def told(row: Row) -> str:
    """One row in short."""
    if row.get("stopped"):
        return row["stopped"]
    return f"{row['error_mean_mm']} / {row['error_95_mm']} mm, {row['seconds']} s"


# -- the tables -----------------------------------------------------------------------------------------------

#: Headings, and the columns whose means stand below them.
SHOWN = (
    ("displacement, mm (95 %)", ("error_mean_mm", "error_95_mm")),
    ("bone: log2 J, 99 %", ("bone_log2j_99",)),
    ("mean ln J, back", ("bone_lnj_mean", "bone_back_lnj_mean")),
    ("there and back, mm (95 %)", ("bone_round_mean_mm", "bone_round_95_mm")),
    ("cartilage: log2 J, 99 %", ("cartilage_log2j_99",)),
    ("mean ln J, back", ("cartilage_lnj_mean", "cartilage_back_lnj_mean")),
    ("there and back, mm (95 %)", ("cartilage_round_mean_mm", "cartilage_round_95_mm")),
)
SHOWN_THINNED = (
    ("found loss there, mm", ("loss_there_mm",)),
    ("elsewhere, mm (95 % of magnitudes)", ("loss_elsewhere_mm", "loss_elsewhere_95_mm")),
)


def group_of(row: Row) -> str:
    """Pairs whose mean is one line: the images and the contrast curves of one change; one loss of all knees."""
    what = row["pair"].partition("/")[2]
    if row["kind"] == "real":
        return " ".join(part for part in what.split("-") if part not in ("t2", "fat", "fluid"))
    return {"contrast": "rendered twice", "order": "rendered, tissues in another order"}.get(what, f"{what} thinner")


def markdown(rows: Sequence[Row]) -> str:
    """A line for each group and method: real pairs, rendered ones, and those with a planted loss."""
    parts = [
        lines([row for row in rows if row["kind"] != "thinned"], SHOWN),
        lines([row for row in rows if row["kind"] == "thinned"], (*SHOWN_THINNED, *SHOWN)),
    ]
    return "\n\n".join(part for part in parts if part)


def lines(rows: Sequence[Row], shown: Sequence[tuple[str, tuple[str, ...]]]) -> str:
    """One Markdown table; empty without rows."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((group_of(row), row["method"]), []).append(row)
    if not groups:
        return ""
    table = [["pairs", "method", "n", *(heading for heading, _ in shown)]]
    table.append(["---"] * len(table[0]))
    for (group, method), found in groups.items():
        done = [row for row in found if not row["stopped"]]
        count = str(len(done)) if len(done) == len(found) else f"{len(done)} of {len(found)}"
        table.append([group, f"`{method}`", count, *(cell(done, columns) for _, columns in shown)])
    return "\n".join(f"| {' | '.join(line)} |" for line in table)


def cell(rows: Sequence[Row], columns: tuple[str, ...]) -> str:
    """The means of one or two columns over the rows that have them."""
    values = [[float(row[column]) for row in rows if row[column]] for column in columns]
    if not all(values):
        return ""
    first, *second = (f"{statistics.fmean(v):.3f}".replace("-0.000", "0.000") for v in values)
    if not second:
        return first
    return f"{first}, {second[0]}" if columns[0].endswith("lnj_mean") else f"{first} ({second[0]})"


@click.command(help=__doc__.split("\n")[0])
@click.argument("path", metavar="TABLE", type=click.Path(path_type=Path))
@click.option("--size", type=click.Choice(["full", "half"]), default="full", show_default=True)
@click.option("--methods", default="avsm:refine=20,vsvf-opt,greedy,syn,elastix,convexadam", show_default=True)
@click.option("--cases", default="*", show_default=True, help="Patterns of pairs' names, comma-separated.")
@click.option("--knees", type=click.IntRange(1), default=1, show_default=True, help="Label maps to render.")
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True)
@click.option("--python", type=click.Path(path_type=Path), default=peer_programs.default_python, help="With the peers.")
@click.option("--data", type=click.Path(path_type=Path), default=None, help="Folder with real-knee/ and knee-labels/.")
@click.option("--only-print", is_flag=True, help="Measure nothing.")
@click.option("--write", "into_page", is_flag=True, help="Put the tables into docs/results.md.")
def main(
    path: Path,
    size: str,
    methods: str,
    cases: str,
    knees: int,
    threads: int,
    python: Path,
    data: Path | None,
    only_print: bool,
    into_page: bool,
) -> None:
    """Fill TABLE and print its means."""
    torch.set_num_threads(threads)
    data, table = data or default_data(), Table(path)
    if not only_print:
        if not (data / "real-knee").is_dir():
            raise click.ClickException(f"no real knees at {data / 'real-knee'}; give --data, or set JOINTREG_DATA")
        pairs = [*real_pairs(data, size, path.parent), *rendered_pairs(data, size, knees)]
        chosen = [pair for pair in pairs if any(fnmatch(pair.name, pattern) for pattern in cases.split(","))]
        if not chosen:
            raise click.UsageError(f"--cases: no pair is called so; choose of {', '.join(p.name for p in pairs)}")
        try:
            measure(chosen, table, size, programs(methods, python), threads, python)
        except JointRegistrationError as error:
            raise click.ClickException(str(error)) from error
    click.echo(text := markdown([row for row in table.rows if row["size"] == size]))
    if into_page:
        write(size, text, "null_pairs.py")


if __name__ == "__main__":
    main()
