"""``joint-registration make-sample``: its options. The work is in :mod:`.worker.sample`."""

from __future__ import annotations

from pathlib import Path

import click

from ..worker.sample import NAMES, SEED, SIZE_IJK, write_sample
from .shared.failures import debug_option
from .shared.terminal import say


@click.command("make-sample")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--size", type=click.IntRange(8, 1024), nargs=3, default=SIZE_IJK, show_default=True, help="Voxels: I J K."
)
@click.option("--seed", type=click.IntRange(0), default=SEED, show_default=True, help="Another number, another pair.")
@debug_option
def make_sample(folder: Path, size: tuple[int, int, int], seed: int) -> None:
    """Compute a pair of knees to try things on, and write it into FOLDER.

    A knee of our own making and the same knee deformed, each with a label map. Nothing is downloaded.

    \b
    Example:
      joint-registration make-sample knees
    """
    write_sample(folder, size, seed)
    say("\n".join(str(folder / name) for name in NAMES))
