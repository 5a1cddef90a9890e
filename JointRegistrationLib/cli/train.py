"""``joint-registration train`` and ``prepare-pool``: their options. The work is in ``training``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..core.config import DEVICES
from ..core.errors import ConfigError, FileError, RegistrationCancelled
from .shared.failures import debug_option
from .shared.terminal import plain, say

if TYPE_CHECKING:
    from ..training.distributed import Ranks
    from ..training.record.provenance import AnyConfig
    from ..training.run import OnUpdate, Report, Run

_FILE = click.Path(path_type=Path)


@click.command()
@click.option("--config", "config_path", type=_FILE, help="Training configuration, JSON.")
@click.option("--preset", help="A built-in configuration instead: affine, vsvf, joint, segment, published-affine, ...")
@click.option("--output-dir", required=True, type=_FILE, help="Folder of this run.")
@click.option("--resume", is_flag=True, help="Go on from the run's last state if it has one.")
@click.option("--pool", type=_FILE, help="Folder of the scans, in place of the configuration's.")
@click.option("--weights", type=_FILE, multiple=True, help="Weights to start from, likewise; may be repeated.")
@click.option("--updates", type=click.IntRange(1), help="Updates of the weights in all, likewise.")
@click.option("--device", type=click.Choice(DEVICES), help="Where to compute, likewise; auto takes a GPU if there is.")
@click.option("--threads", type=click.IntRange(1), help="Processor threads; as many as there are if not given.")
@debug_option
def train(
    config_path: Path | None,
    preset: str | None,
    output_dir: Path,
    resume: bool,
    pool: Path | None,
    weights: tuple[Path, ...],
    updates: int | None,
    device: str | None,
    threads: int | None,
) -> None:
    """Train the networks of AVSM, or the segmenter (presets segment, segment-full).

    Everything a run makes lies in its folder: configuration, log.csv, validation.csv, pictures of two
    validation pairs, the best and the last weights, and the state from which --resume goes on exactly.
    It can be stopped at any time. Several GPUs: start it by torchrun.

    \b
    Examples:
      joint-registration train --preset affine --pool runs/pool --output-dir runs/affine
      joint-registration train --config runs/affine/config.json --output-dir runs/affine --resume
      torchrun --nproc-per-node 4 -m JointRegistrationLib train --preset vsvf --output-dir runs/vsvf
    """
    import torch  # noqa: PLC0415 takes seconds, so not for --help

    from ..training.distributed import process_group  # noqa: PLC0415

    config = _configuration(config_path, preset, pool, weights, updates, device)
    _check_begun(output_dir, resume)
    if threads is not None:
        torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    with process_group(config.device) as ranks, _shown(config.optimizer.steps, ranks.first) as (report, on_update):
        trainer = _trainer(config, output_dir, report, ranks, on_update)
        with _sole_run(output_dir) if ranks.first else nullcontext():
            if _check_begun(output_dir, resume):
                trainer.resume()
            else:
                trainer.start()
            finished = trainer.run()
    if not finished:
        raise RegistrationCancelled(f"stopped at step {trainer.progress.step}, state saved; go on with --resume")


def _trainer(config: AnyConfig, folder: Path, report: Report, ranks: Ranks, on_update: OnUpdate) -> Run[Any]:
    """The training that a configuration describes."""
    from ..training.loop import Trainer  # noqa: PLC0415
    from ..training.segmenter.config import SegmentTrainingConfig  # noqa: PLC0415
    from ..training.segmenter.loop import SegmentTrainer  # noqa: PLC0415

    if isinstance(config, SegmentTrainingConfig):
        return SegmentTrainer(config, folder, report=report, ranks=ranks, on_update=on_update)
    return Trainer(config, folder, report=report, ranks=ranks, on_update=on_update)


def _check_begun(output_dir: Path, resume: bool) -> bool:
    """Whether the folder holds the state of a run; ConfigError if that must not go on."""
    begun = (output_dir / "state" / "state.json").exists()
    if begun and not resume:
        raise ConfigError(
            f"{output_dir}: holds the state of an earlier run; go on with it (--resume), or choose another folder"
        )
    return begun


@contextmanager
def _sole_run(output_dir: Path) -> Iterator[None]:
    """Keep other processes from training in the same folder."""
    from ..core.system.held_folders import LOCK_NAME  # noqa: PLC0415
    from ..files.output import raise_write_error, sole_writer  # noqa: PLC0415

    try:
        output_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise_write_error(error, output_dir)
    with sole_writer(output_dir / LOCK_NAME, output_dir):
        yield


def _configuration(
    path: Path | None,
    preset: str | None,
    pool: Path | None,
    weights: tuple[Path, ...],
    updates: int | None,
    device: str | None,
) -> AnyConfig:
    """The file's or preset's configuration with what the other options change."""
    from ..training.config import PRESETS  # noqa: PLC0415
    from ..training.record.provenance import read_config  # noqa: PLC0415
    from ..training.segmenter.config import SEGMENT_PRESETS  # noqa: PLC0415

    presets: dict[str, AnyConfig] = {**PRESETS, **SEGMENT_PRESETS}
    if (path is None) == (preset is None):
        raise ConfigError("train: give either --config FILE or --preset NAME")
    if preset is not None and preset not in presets:
        raise ConfigError(f"train: preset {preset!r} is unknown; choose one of {', '.join(presets)}")
    config = presets[preset] if preset is not None else read_config(path or Path())
    if pool is not None:
        config = replace(config, data=replace(config.data, pool=str(pool)))  # type: ignore[arg-type]
    if updates is not None:
        config = replace(config, optimizer=replace(config.optimizer, steps=updates))
    if weights:
        config = replace(config, initial_weights=tuple(map(str, weights)))
    return replace(config, device=device or config.device)


@contextmanager
def _shown(updates: int, first: bool) -> Iterator[tuple[Report, OnUpdate]]:
    """Callbacks for lines and for updates: on a terminal also a bar; silent in all but the first process."""
    from tqdm import tqdm  # noqa: PLC0415

    hidden = not (first and sys.stderr.isatty())
    with tqdm(total=updates, unit="update", file=sys.stderr, disable=hidden, smoothing=0.1) as bar:

        def report(line: str) -> None:
            if first:
                bar.write(plain(line))
                sys.stdout.flush()

        def on_update(step: int, terms: dict[str, float]) -> None:
            if bar.n == 0:
                bar.n = bar.initial = step - 1  # a resumed run's speed is that of its own updates
            bar.set_postfix_str(f"loss {sum(terms.values()):.4f}", refresh=False)
            bar.update(step - bar.n)

        yield report, on_update


@click.command("prepare-pool")
@click.argument("data", type=click.Path(path_type=Path))
@click.argument("output", type=click.Path(path_type=Path))
@click.option("--simple", default=8, show_default=True, type=click.IntRange(0), help="Quick images per scan.")
@click.option("--realistic", default=4, show_default=True, type=click.IntRange(0), help="DESS-like images per scan.")
@click.option("--procedural", default=60, show_default=True, type=click.IntRange(0), help="Procedural knees to add.")
@click.option(
    "--factors",
    default=(2, 4, 4),
    show_default=True,
    type=click.IntRange(1),
    nargs=3,
    help="Label voxels per voxel of the pool, along right, superior, anterior.",
)
@click.option("--seed", default=0, show_default=True, help="Changes every image.")
@click.option("--jobs", default=1, show_default=True, type=click.IntRange(1), help="Scans rendered at a time.")
@debug_option
def prepare_pool(
    data: Path,
    output: Path,
    simple: int,
    realistic: int,
    procedural: int,
    factors: tuple[int, int, int],
    seed: int,
    jobs: int,
) -> None:
    """Render knees from the label maps in DATA into OUTPUT, and align them to a common template.

    DATA holds manifest.csv (columns file, subject, split) and label maps of right knees. Scans that
    are in OUTPUT already are kept.

    \b
    Example:
      joint-registration prepare-pool ../shared/data/knee-labels runs/pool
    """
    from ..training.data.alignment import align_pool, align_to, save_affines  # noqa: PLC0415
    from ..training.data.pool import RenderConfig, build_pool, build_procedural, load_pool  # noqa: PLC0415

    _check_manifest(data)
    config = RenderConfig(factors, simple, realistic, seed, jobs)
    for split in ("train", "validation"):
        for name in build_pool(data, split, output / split, config):
            say(f"{split} {name}")
    for name in build_procedural(output / "train", procedural, config):
        say(name)
    shrink = 2, 2, 2
    matrices, template = align_pool(load_pool(output / "train", shrink))
    save_affines(matrices, output / "train")
    save_affines(align_to(load_pool(output / "validation", shrink), template), output / "validation")


@click.command("prepare-knees")
@click.argument("data", type=click.Path(path_type=Path))
@click.argument("output", type=click.Path(path_type=Path))
@click.option("--seed", default=0, show_default=True, help="Changes the soft tissue.")
@debug_option
def prepare_knees(data: Path, output: Path, seed: int) -> None:
    """Fill the knees of the label maps in DATA with soft tissue, for training the segmenter, into OUTPUT.

    DATA: see prepare-pool. Scans that are in OUTPUT already are kept.

    \b
    Example:
      joint-registration prepare-knees ../shared/data/knee-labels runs/knees
    """
    from ..training.segmenter.knee_codes import build_codes  # noqa: PLC0415

    _check_manifest(data)
    for split in ("train", "validation"):
        for name in build_codes(data, split, output / split, seed):
            click.echo(f"{split} {name}")


def _check_manifest(data: Path) -> None:
    if not (data / "manifest.csv").is_file():
        raise FileError(
            f"{data}: there is no manifest.csv; give the folder of label maps, with a table of file, subject and split"
        )


@click.command("export-weights")
@click.argument("parts", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--output", required=True, type=click.Path(path_type=Path), help="The weights file to write.")
@click.option("--data", default="", help="What they were trained on, in a sentence, for the header.")
@click.option("--full", is_flag=True, help="Store float32 instead of float16.")
@debug_option
def export_weights(parts: tuple[Path, ...], output: Path, data: str, full: bool) -> None:
    """Join the weights of several runs, PARTS, into one file for the package.

    Each part gives the networks that its run trained; later parts win. The file's SHA-256 is written
    beside it.

    \b
    Example:
      joint-registration export-weights runs/affine/last.safetensors runs/vsvf/best.safetensors \\
        --output JointRegistrationLib/weights/avsm.safetensors
    """
    from ..training.record.parts import export  # noqa: PLC0415

    say(export(list(parts), output, data=data, half=not full))
