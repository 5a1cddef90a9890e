"""``joint-registration train`` and ``prepare-pool``: their options. The work is in ``training``."""

from __future__ import annotations

from pathlib import Path

import click

from ..errors import ConfigError, RegistrationCancelled
from .failures import debug_option


@click.command()
@click.option("--config", "config_path", type=click.Path(path_type=Path), help="Training configuration, JSON.")
@click.option("--preset", help="A built-in configuration instead: affine, vsvf, joint or published-*.")
@click.option("--output-dir", required=True, type=click.Path(path_type=Path), help="Folder of this run.")
@click.option("--resume", is_flag=True, help="Go on from the run's last state if it has one.")
@click.option("--threads", type=click.IntRange(1), help="Processor threads; as many as there are if not given.")
@debug_option
def train(config_path: Path | None, preset: str | None, output_dir: Path, resume: bool, threads: int | None) -> None:
    """Train the networks of AVSM.

    Everything a run makes lies in its folder: configuration, log.csv, validation.csv, the best and the
    last weights, and the state from which --resume goes on exactly. It can be stopped at any time.

    \b
    Examples:
      joint-registration train --config affine.json --output-dir runs/affine
      joint-registration train --config runs/affine/config.json --output-dir runs/affine --resume
    """
    import torch  # noqa: PLC0415 takes seconds, so not for --help

    from ..training.config import PRESETS  # noqa: PLC0415
    from ..training.loop import Trainer, read_config  # noqa: PLC0415

    if (config_path is None) == (preset is None):
        raise ConfigError("train: give either --config FILE or --preset NAME")
    if preset is not None and preset not in PRESETS:
        raise ConfigError(f"train: preset {preset!r} is unknown; choose one of {', '.join(PRESETS)}")
    if threads is not None:
        torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    config = PRESETS[preset] if preset is not None else read_config(config_path or Path())
    trainer = Trainer(config, output_dir, report=click.echo)
    if resume and (output_dir / "state" / "state.json").exists():
        trainer.resume()
    else:
        trainer.start()
    if not trainer.run():
        raise RegistrationCancelled(f"stopped at step {trainer.progress.step}, state saved; go on with --resume")


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
@debug_option
def prepare_pool(
    data: Path, output: Path, simple: int, realistic: int, procedural: int, factors: tuple[int, int, int], seed: int
) -> None:
    """Render knees from the label maps in DATA into OUTPUT, and align them to a common template.

    DATA holds manifest.csv (columns file, subject, split) and label maps of right knees. Scans that
    are in OUTPUT already are kept.

    \b
    Example:
      joint-registration prepare-pool ../shared/data/knee-labels runs/pool
    """
    from ..training.alignment import align_pool, align_to, save_affines  # noqa: PLC0415
    from ..training.pool import RenderConfig, build_pool, build_procedural, load_pool  # noqa: PLC0415

    config = RenderConfig(factors, simple, realistic, seed)
    for split in ("train", "validation"):
        for name in build_pool(data, split, output / split, config):
            click.echo(f"{split} {name}")
    for name in build_procedural(output / "train", procedural, config):
        click.echo(name)
    shrink = 2, 2, 2
    matrices, template = align_pool(load_pool(output / "train", shrink))
    save_affines(matrices, output / "train")
    save_affines(align_to(load_pool(output / "validation", shrink), template), output / "validation")


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
    from ..training.export import export  # noqa: PLC0415

    click.echo(export(list(parts), output, data=data, half=not full))
