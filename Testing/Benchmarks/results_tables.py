"""The tables of all methods and other programs in docs/results.md, from label maps to Markdown, by one command.

    python Testing/Benchmarks/results_tables.py                    # everything: hours, mostly SyN's
    python Testing/Benchmarks/results_tables.py --sizes half --peers greedy,demons,elastix
    python Testing/Benchmarks/results_tables.py --only-write       # print and write what has been measured so far

For each size: render the validation knees (evaluation_pairs.py), register their pairs by our methods
(``joint-registration evaluate``) and by the other programs (peers.py; docs/results.md, Peers, says how to install
them), and put the means between the size's marks in docs/results.md. What stands in FOLDER/table.csv is not
measured again, so the command can be stopped and repeated.
"""

from __future__ import annotations

import csv
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "results.md"
FOLDERS = {"full": ROOT / "runs" / "evaluation", "half": ROOT / "runs" / "evaluation-half"}
METHODS = (
    "none,affine-opt,avsm-affine:affine_steps=1,avsm-affine:affine_steps=3,avsm-affine:affine_steps=7,"
    "avsm:vsvf_steps=1,avsm:vsvf_steps=2,avsm:vsvf_steps=3,vsvf-opt,avsm:refine=20"
)
PEERS = "greedy,demons,elastix,syn"
GROUPS = ("longitudinal", "cross-subject")
#: What rows with fewer pairs are compared with.
BEST = "avsm:refine=20"
#: Stages in the order of the table: nothing, affine, the networks and the others, refined.
ORDER = (
    "none",
    "affine-opt",
    *(f"{peer}-affine" for peer in ("demons", "elastix", "greedy", "syn")),
    *(f"avsm-affine:affine_steps={n}" for n in (1, 3, 7)),
    *("demons", "elastix", "greedy", "syn"),
    *(f"avsm:vsvf_steps={n}" for n in (1, 2, 3)),
    "vsvf-opt",
    BEST,
)

Row = Mapping[str, str]


def measure(size: str, methods: str, peers: str, limit: int | None, threads: int) -> None:
    """Add what is missing to the size's table."""
    folder, here = FOLDERS[size], Path(__file__).parent
    pairs, table = folder / "PAIRS.csv", folder / "table.csv"
    run(here / "evaluation_pairs.py", folder, "--size", size)
    run("-m", "JointRegistrationLib", "evaluate", pairs, "-o", table, "--device", "cpu", "--methods", methods)
    if peers != "none":
        few = [] if limit is None else ["--limit", limit]
        run(here / "peers.py", pairs, "-o", table, "--peers", peers, "--threads", threads, *few)


def run(*arguments: object) -> None:
    """A program of this checkout."""
    subprocess.run([sys.executable, *map(str, arguments)], cwd=ROOT, check=True)


def read(path: Path) -> list[Row]:
    """The rows measured so far."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def markdown(rows: Sequence[Row]) -> str:
    """A line a method; means over pairs, and the sample's standard deviation of the cartilage's Dice."""
    head = ["method"]
    for group in GROUPS:
        head += [f"{group}: pairs", "cartilage Dice, %", "bones, %", "HD95, mm", "folds, %"]
    known = {row["method"] for row in rows}
    lines = [head, ["---"] * len(head)]
    for method in [*(m for m in ORDER if m in known), *sorted(known.difference(ORDER))]:
        name = method if method == "none" else f"`{method}`"
        lines.append([name, *(text for group in GROUPS for text in cells(chosen(rows, method, group)))])
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return "\n\n".join([table, *fewer(rows)])


def cells(rows: Sequence[Row]) -> list[str]:
    """Five columns."""
    if not rows:
        return ["0", "", "", "", ""]
    dice, bones, distance, folds = (
        [float(row[name]) for row in rows if row[name]]
        for name in ("dice_cartilage", "dice_bones", "hd95_mm_cartilage", "folds_percent")
    )
    spread = f" ({100 * statistics.stdev(dice):.1f})" if len(dice) > 1 else ""
    return [
        str(len(rows)),
        f"{100 * statistics.fmean(dice):.1f}{spread}",
        f"{100 * statistics.fmean(bones):.1f}",
        f"{statistics.fmean(distance):.1f}",
        f"{statistics.fmean(folds):.4f}".rstrip("0").rstrip("."),
    ]


def chosen(rows: Sequence[Row], method: str, group: str) -> list[Row]:
    """The rows of one method and group."""
    return [row for row in rows if row["method"] == method and row["group"] == group]


def mean_dice(rows: Sequence[Row]) -> float:
    """Of the cartilage, in percent."""
    return 100 * statistics.fmean(float(row["dice_cartilage"]) for row in rows)


def fewer(rows: Sequence[Row]) -> list[str]:
    """For methods that ran on some of the pairs only: what our best one reaches on the same pairs."""
    sentences = []
    for method in ORDER:
        for group in GROUPS:
            found, ours = chosen(rows, method, group), chosen(rows, BEST, group)
            names = {row["pair"] for row in found}
            same = [row for row in ours if row["pair"] in names]
            if found and len(found) == len(same) < len(ours) and not method.endswith("-affine"):
                noun = "pair" if len(found) == 1 else "pairs"
                sentences.append(
                    f"`{method}` was run on {len(found)} {group} {noun} only: {mean_dice(found):.1f} %, where "
                    f"`{BEST}` has {mean_dice(same):.1f} % on the same {noun}."
                )
    return [" ".join(sentences)] if sentences else []


def write(size: str, text: str, program: str = "results_tables.py") -> None:
    """Replace what stands between the marks of the program and size."""
    begin, end = (f"<!-- {program}, {size}: {word} -->" for word in ("from here", "to here"))
    page = PAGE.read_text(encoding="utf-8")
    head, rest = page.split(begin, 1)
    PAGE.write_text(f"{head}{begin}\n\n{text}\n\n{end}{rest.split(end, 1)[1]}", encoding="utf-8")


@click.command()
@click.option("--sizes", default="full,half", show_default=True, help="Of the images, comma-separated.")
@click.option("--methods", default=METHODS, help="Ours, as joint-registration evaluate takes them.")
@click.option("--peers", default=PEERS, show_default=True, help="Other programs, comma-separated; or none.")
@click.option("--limit", type=click.IntRange(1), default=None, help="Pairs a group for the others; all if not given.")
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="For each of the others.")
@click.option("--only-write", is_flag=True, help="Measure nothing.")
def main(sizes: str, methods: str, peers: str, limit: int | None, threads: int, only_write: bool) -> None:
    """Measure what is missing, print the tables, and write them into docs/results.md."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    for size in sizes.split(","):
        if size not in FOLDERS:
            raise click.BadParameter(f"{size!r} is not one of {', '.join(FOLDERS)}", param_hint="--sizes")
        if not only_write:
            measure(size, methods, peers, limit, threads)
        rows = read(FOLDERS[size] / "table.csv")
        if not rows:
            raise click.ClickException(f"{FOLDERS[size] / 'table.csv'} has no rows yet; run without --only-write")
        click.echo(f"{size}\n{(text := markdown(rows))}\n")
        write(size, text)


if __name__ == "__main__":
    main()
