"""Fit the limits of the verdict to tables of ``trust_pairs.py``, and test them on others.

    python Testing/Benchmarks/trust_fit.py --train runs/trust/train.csv --test runs/trust/validation.csv

Prints the limits, the share of bad results (cartilage error above 3 mm) that is doubted, and that of good ones (below
1 mm); then each case's rows that are told wrongly.
"""

from __future__ import annotations

import csv
import dataclasses
import itertools
import sys
from pathlib import Path

import click
import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from JointRegistrationLib.core.figures.trust import LIMITS, Evidence, Limits  # noqa: E402

BAD_MM, GOOD_MM = 3.0, 1.0
FEATURES = tuple(field.name for field in dataclasses.fields(Evidence))
Rows = list[dict[str, str]]


def read(paths: tuple[Path, ...]) -> Rows:
    """The rows with a result."""
    rows: Rows = []
    for path in paths:
        with path.open(newline="", encoding="utf-8") as stream:
            rows += [row for row in csv.DictReader(stream) if row["error_mm"]]
    return rows


def doubted(rows: Rows, limits: Limits) -> np.ndarray:
    """Which results have a figure beyond its limit."""
    found = (Evidence(*(float(row[name]) for name in FEATURES)) for row in rows)
    return np.array([bool(evidence.doubts_beyond(limits)) for evidence in found])


def shares(rows: Rows, limits: Limits) -> tuple[float, float, int, int]:
    """Of the bad and of the good results the share that is doubted, and how many there are."""
    error = np.array([float(row["error_mm"]) for row in rows])
    found, bad, good = doubted(rows, limits), error > BAD_MM, error < GOOD_MM
    return float(found[bad].mean()), float(found[good].mean()), int(bad.sum()), int(good.sum())


def fit(rows: Rows) -> Limits:
    """The limits that tell most results rightly; of equal ones the middle."""
    grid = itertools.product(
        np.arange(0.24, 0.46, 0.02),
        (0.5, 0.6, 0.7, 0.8),
        (-1.0, -1.25, -1.5, -1.75, -2.0),
        np.arange(0.4, 0.72, 0.04),
        (-2.5, -2.75, -3.0, -3.5),
    )
    scored = []
    for values in grid:
        bad, good, *_ = shares(rows, Limits(*map(float, values)))
        scored.append((bad - good, values))
    best = max(score for score, _ in scored)
    return Limits(*(float(x) for x in np.median([values for score, values in scored if score == best], axis=0)))


def tell(name: str, rows: Rows, limits: Limits) -> None:
    """Print how many are told rightly, and which are not."""
    bad, good, bads, goods = shares(rows, limits)
    click.echo(
        f"{name}: doubted {100 * bad:.1f} % of {bads} results above {BAD_MM} mm, "
        f"{100 * good:.1f} % of {goods} below {GOOD_MM} mm"
    )
    for row, found in zip(rows, doubted(rows, limits), strict=True):
        error = float(row["error_mm"])
        if (error > BAD_MM and not found) or (error < GOOD_MM and found):
            figures = ", ".join(f"{key} {row[key]}" for key in ("local_ncc_squared", "log2_low", "overlap"))
            click.echo(f"  {row['source']} {row['pair']} {row['size']} {row['case']}: {error:.2f} mm, {figures}")


@click.command()
@click.option("--train", multiple=True, type=click.Path(exists=True, path_type=Path))
@click.option("--test", multiple=True, type=click.Path(exists=True, path_type=Path))
def main(train: tuple[Path, ...], test: tuple[Path, ...]) -> None:
    """Fit to TRAIN and tell of both, with the fitted limits and with those of the library."""
    fitted = fit(read(train)) if train else LIMITS
    for name, limits in (("fitted", fitted), ("the library's", LIMITS)):
        click.echo(f"{name}: {limits}")
        for split, paths in (("train", train), ("test", test)):
            if paths:
                tell(split, read(paths), limits)


if __name__ == "__main__":
    main()
