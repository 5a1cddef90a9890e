"""``joint-registration validate``: its options. The work is in ``training.measure``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from ..core.config import DEVICES
from .shared.failures import debug_option
from .shared.terminal import plain_line, say


def _numbers(context: click.Context, parameter: click.Parameter, text: str) -> tuple[int, ...]:
    """Whole numbers from 1, separated by commas."""
    try:
        numbers = tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError as error:
        raise click.BadParameter(f"whole numbers separated by commas are needed, but {text!r} was given") from error
    if not all(number >= 1 for number in numbers):
        raise click.BadParameter(f"numbers start from 1, but {text!r} was given")
    return numbers


@click.command(short_help="Measure weights on the validation knees of a pool.")
@click.argument("weights", required=False, type=click.Path(path_type=Path))
@click.option("--pool", required=True, type=click.Path(path_type=Path), help="Folder of the scans.")
@click.option("--split", default="validation", show_default=True, help="Which of its folders.")
@click.option(
    "--shrink",
    default="1,1,1",
    show_default=True,
    callback=_numbers,
    help="Voxels of the pool per voxel of an image.",
)
@click.option("--affine-steps", default="1,3,7", show_default=True, callback=_numbers, help="Numbers of affine steps.")
@click.option("--vsvf-steps", default="1,2,3", show_default=True, callback=_numbers, help="Numbers of vSVF steps.")
@click.option("--pairs", default=12, show_default=True, type=click.IntRange(1), help="Cross-subject pairs.")
@click.option("--device", default="auto", show_default=True, type=click.Choice(DEVICES), help="Where to compute.")
@click.option("--threads", type=click.IntRange(1), help="Processor threads; as many as there are if not given.")
@debug_option
def validate(
    weights: Path | None,
    pool: Path,
    split: str,
    shrink: tuple[int, ...],
    affine_steps: tuple[int, ...],
    vsvf_steps: tuple[int, ...],
    pairs: int,
    device: str,
    threads: int | None,
) -> None:
    """Measure WEIGHTS, or the package's own, on the validation knees of a pool.

    Prints a table: Dice of the cartilage of femur and tibia (in brackets: of all structures) and folds,
    after each number of steps, on all longitudinal and on so many cross-subject pairs, the same at every
    call. The networks see the images at --shrink; overlap is measured at the pool's own resolution. It is
    a quick look, to choose between trainings; the figures to quote come from `evaluate`.

    \b
    Example:
      joint-registration validate runs/vsvf/best.safetensors --pool runs/pool --shrink 2,1,1
    """
    if len(shrink) != 3 or not affine_steps:
        raise click.BadParameter("--shrink needs three numbers, --affine-steps at least one")
    import torch  # noqa: PLC0415 takes seconds, so not for --help
    from tqdm import tqdm  # noqa: PLC0415

    from ..networks.weights import load_model  # noqa: PLC0415
    from ..ops.devices import choose_device  # noqa: PLC0415
    from ..training.data.pool import load_pool  # noqa: PLC0415
    from ..training.record.measure import as_markdown, measure  # noqa: PLC0415

    if threads is not None:
        torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    where = choose_device(device)
    model = load_model(weights)[0].to(where)
    working, fine = (load_pool(pool / split, factors).to(where) for factors in (shrink, (1, 1, 1)))
    with tqdm(unit="pair", file=sys.stderr, leave=False, disable=not sys.stderr.isatty()) as bar:

        def progress(name: str) -> None:
            bar.set_description_str(plain_line(name), refresh=False)
            bar.update()

        results = measure(model, working, fine, affine_steps, vsvf_steps, pairs, progress)
    say(as_markdown(results))
