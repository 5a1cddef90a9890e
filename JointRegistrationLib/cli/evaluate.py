"""``joint-registration evaluate``: its options and what it shows. The work is in :mod:`.evaluation`."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..core.config import DEVICES
from ..core.errors import RegistrationCancelled
from .shared.failures import Interruption, debug_option, interruptible
from .shared.terminal import plain, plain_line, say

if TYPE_CHECKING:
    from ..evaluation.methods import Method
    from ..evaluation.pairs import EvaluationPair

_FILE = click.Path(path_type=Path)
_OnFraction = Callable[[int, "tuple[EvaluationPair, Method]", float], None]

_DESCRIPTION = """Register every pair listed in PAIRS by every method, and score the warped labels.

    PAIRS is a CSV file with the columns moving, fixed, moving_labels, fixed_labels and, if the pairs are of
    several kinds, group. File names count from its folder. Label maps lie on their image's grid; 2 and 4 are
    taken for the cartilage of femur and tibia, 1, 3 and 5 for the bones.

    \b
    Methods, separated by commas:
      none                          images where their headers put them
      affine-opt, vsvf-opt,         by optimisation
      lddmm-opt
      avsm-affine                   the affine network; avsm-affine:affine_steps=3
      avsm                          all networks; avsm:vsvf_steps=3, avsm:affine_steps=3:refine=20

    TABLE gets a row per pair and method as soon as it is known: Dice, 95 % Hausdorff and mean surface distance
    of each label, of the cartilages and of the bones; folds by the full Jacobian determinant; inverse error;
    NCC; seconds; notes; and the peak memory of the process, which never falls from one row to the next. Rows
    that are there are not computed again, so the command can be stopped and repeated; for other settings in
    --config give another TABLE. At the end it prints mean and standard deviation of all rows of TABLE.

    \b
    Example:
      joint-registration evaluate pairs.csv --methods none,affine-opt,avsm,avsm:refine=20 --output table.csv
    """


@click.command(help=_DESCRIPTION, short_help="Compare methods on pairs with label maps.")
@click.argument("pairs", type=_FILE)
@click.option("--methods", required=True, help="Which, separated by commas; see above.")
@click.option("-o", "--output", type=_FILE, required=True, help="The table to write or to go on with, CSV.")
@click.option("--device", type=click.Choice(DEVICES), help="Where to compute; auto (default) takes a GPU if there is.")
@click.option("--config", type=_FILE, help="Settings of all methods as JSON; metrics.json of a run shows them.")
@debug_option
def evaluate(pairs: Path, methods: str, output: Path, device: str | None, config: Path | None) -> None:
    """Check everything that can be checked beforehand, then import PyTorch and run."""
    with interruptible() as interruption:
        try:
            _run(pairs, methods, output, device, config, interruption)
        except (KeyboardInterrupt, RegistrationCancelled) as error:
            kept = f"finished rows are in {output}, and the same command goes on from there"
            raise RegistrationCancelled(f"cancelled; {kept}" if output.exists() else "cancelled") from error


def _run(
    pairs_path: Path, methods: str, output: Path, device: str | None, config: Path | None, interruption: Interruption
) -> None:
    from ..evaluation.methods import parse_methods  # noqa: PLC0415 takes seconds, so not for --help
    from ..evaluation.pairs import label_values, read_pairs  # noqa: PLC0415
    from ..evaluation.run import evaluate, pending  # noqa: PLC0415
    from ..evaluation.table import summary, table_for_one  # noqa: PLC0415
    from .register_files import read_config  # noqa: PLC0415

    base = read_config(config)
    asked = parse_methods(methods, dataclasses.replace(base, device=device or base.device))
    pairs = read_pairs(pairs_path)
    with table_for_one(output, label_values(pairs)) as table:
        runs = pending(pairs, asked, table)
        with _shown(len(runs)) as (progress, finished):
            for row in evaluate(runs, table, progress, interruption.asked):
                finished(row)
    say(f"{output}: mean (standard deviation) over the pairs of each group\n")
    say(summary(table.rows))


@contextmanager
def _shown(total: int) -> Iterator[tuple[_OnFraction, Callable[[dict[str, str]], None]]]:
    """Callbacks for progress and for finished rows: on a terminal a bar, and everywhere a line a row."""
    from tqdm import tqdm  # noqa: PLC0415

    layout = "{percentage:3.0f}% |{bar:30}| {elapsed}, {remaining} left  {desc}"
    with tqdm(total=total, bar_format=layout, file=sys.stderr, leave=False, disable=not sys.stderr.isatty()) as bar:

        def progress(number: int, run: tuple[EvaluationPair, Method], fraction: float) -> None:
            bar.set_description_str(plain_line(f"{run[0].name}: {run[1].name}"), refresh=False)
            bar.update(number + fraction - bar.n)

        def finished(row: dict[str, str]) -> None:
            dice = f"{100 * float(row['dice_cartilage']):.1f} %" if row["dice_cartilage"] else "-"
            line = f"{row['pair']}: {row['method']}: cartilage Dice {dice}, {float(row['seconds']):.1f} s"
            bar.write(plain(line), file=sys.stderr)

        yield progress, finished
