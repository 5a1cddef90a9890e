"""Fit the limits of the verdict to tables of ``trust_pairs.py``, and test them on others.

    python Testing/Benchmarks/trust_fit.py --train runs/trust/train.csv --test runs/trust/validation.csv

Prints the limits, the share of bad results (cartilage error above 3 mm) that is doubted, and that of good ones (below
1 mm); then each case's rows that are told wrongly.
"""

from __future__ import annotations

import csv
import itertools
import sys
from pathlib import Path

import click
import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from JointRegistrationLib.core.figures import trust  # noqa: E402

BAD_MM, GOOD_MM = 3.0, 1.0
FEATURES = ("local_ncc_squared", "log2_low", "overlap")
LIMITS = (trust.LEAST_LOCAL, trust.LEAST_LOG2, trust.LEAST_OVERLAP)

Rows = list[dict[str, str]]


def read(paths: tuple[Path, ...]) -> Rows:
    """The rows with a result."""
    rows: Rows = []
    for path in paths:
        with path.open(newline="", encoding="utf-8") as stream:
            rows += [row for row in csv.DictReader(stream) if row["error_mm"]]
    return rows


def doubted(rows: Rows, limits: tuple[float, ...]) -> np.ndarray:
    """Which results have a figure below its limit."""
    values = np.array([[float(row[name]) for name in FEATURES] for row in rows])
    return (values < np.array(limits)).any(axis=1)


def shares(rows: Rows, limits: tuple[float, ...]) -> tuple[float, float, int, int]:
    """Of the bad and of the good results the share that is doubted, and how many there are."""
    error = np.array([float(row["error_mm"]) for row in rows])
    found, bad, good = doubted(rows, limits), error > BAD_MM, error < GOOD_MM
    return float(found[bad].mean()), float(found[good].mean()), int(bad.sum()), int(good.sum())


def fit(rows: Rows) -> tuple[float, ...]:
    """The limits that tell most results rightly; of equal ones the middle."""
    grid = (np.arange(0.2, 0.6, 0.02), np.arange(-3.0, -0.7, 0.1), np.arange(0.3, 0.85, 0.05))
    scored = [
        (sum((shares(rows, limits)[0], 1 - shares(rows, limits)[1])), limits) for limits in itertools.product(*grid)
    ]
    best = max(score for score, _ in scored)
    same = np.array([limits for score, limits in scored if score == best])
    return tuple(float(x) for x in np.median(same, axis=0))


def tell(name: str, rows: Rows, limits: tuple[float, ...]) -> None:
    """Print how many are told rightly, and which are not."""
    bad, good, bads, goods = shares(rows, limits)
    click.echo(
        f"{name}: doubted {100 * bad:.1f} % of {bads} results above {BAD_MM} mm, "
        f"{100 * good:.1f} % of {goods} below {GOOD_MM} mm"
    )
    for row, found in zip(rows, doubted(rows, limits), strict=True):
        error = float(row["error_mm"])
        if (error > BAD_MM and not found) or (error < GOOD_MM and found):
            figures = ", ".join(f"{key} {row[key]}" for key in FEATURES)
            click.echo(f"  {row['source']} {row['pair']} {row['size']} {row['case']}: {error:.2f} mm, {figures}")


@click.command()
@click.option("--train", multiple=True, type=click.Path(exists=True, path_type=Path))
@click.option("--test", multiple=True, type=click.Path(exists=True, path_type=Path))
def main(train: tuple[Path, ...], test: tuple[Path, ...]) -> None:
    """Fit to TRAIN and tell of both, with the fitted limits and with those of the library."""
    fitted = fit(read(train)) if train else LIMITS
    for name, limits in (("fitted", fitted), ("the library's", LIMITS)):
        click.echo(f"{name}: " + ", ".join(f"{key} {value:.3g}" for key, value in zip(FEATURES, limits, strict=True)))
        for split, paths in (("train", train), ("test", test)):
            if paths:
                tell(split, read(paths), limits)


if __name__ == "__main__":
    main()
