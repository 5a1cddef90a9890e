"""What each part of the training adds: short trainings from one start, one switch changed at a time.

    python Testing/Benchmarks/ablation.py runs/ablation [--updates 300] [--pool runs/pool2a] ...

Every row trains at 40 x 48 x 48 voxels (the pool's voxels averaged by twos along every axis) from the same
weights with the same seed, hence the same pairs, and is measured on the same validation pairs. Rows of the
momentum network are given the affines of the label maps; the last two use the affine network's. A row that
is finished is not run again, one that was stopped goes on: the same command resumes everything. The table is
printed and written to OUTPUT/ablation.md.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import click
import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from JointRegistrationLib.training.config import DataConfig, LossConfig, OptimizerConfig, TrainingConfig  # noqa: E402
from JointRegistrationLib.training.data.augment import AugmentConfig  # noqa: E402
from JointRegistrationLib.training.data.pool import Pool, load_pool  # noqa: E402
from JointRegistrationLib.training.loop import Trainer  # noqa: E402
from JointRegistrationLib.training.validation import validate  # noqa: E402


@dataclass(frozen=True)
class Row:
    """A line of the table: what it says, and how it differs from the base."""

    title: str
    change: Callable[[TrainingConfig], TrainingConfig] = lambda config: config


def losses(**values: float) -> Callable[[TrainingConfig], TrainingConfig]:
    """The change of some weights of the loss."""
    return lambda config: replace(config, losses=replace(config.losses, **values))


def data(**values: object) -> Callable[[TrainingConfig], TrainingConfig]:
    """The change of some settings of the data."""
    return lambda config: replace(config, data=replace(config.data, **values))


def end_to_end(stage: str) -> Callable[[TrainingConfig], TrainingConfig]:
    """From the affine network's own affines, three steps; ``joint`` trains that network too."""
    return lambda config: replace(
        config,
        stage=stage,
        data=replace(config.data, prealigned=False),
        affine_steps=3,
        optimizer=replace(config.optimizer, learning_rate=3e-4),
    )


ROWS: dict[str, Row] = {
    "base": Row("label distances and overlap, one vSVF step, DESS-like images (base)"),
    "seed": Row("base, other random numbers", lambda config: replace(config, seed=1)),
    "no-overlap": Row("without label overlap", losses(overlap=0.0)),
    "no-distances": Row("without label distances", losses(distances=0.0)),
    "images-only": Row("no label loss: mk-LNCC instead", losses(distances=0.0, overlap=0.0, similarity=4.0)),
    "with-images": Row("mk-LNCC besides the label losses", losses(similarity=2.0)),
    "inverse": Row("gradient inverse consistency, both directions", losses(gradient_symmetry=0.5)),
    "contrast": Row("random contrast: all renderings", data(last_images=0)),
    "two-steps": Row("two vSVF steps in training", lambda config: replace(config, vsvf_steps=2)),
    "momentum-only": Row("on the affine network, momentum network trained", end_to_end("vsvf")),
    "joint": Row("on the affine network, both trained end to end", end_to_end("joint")),
}


def base_config(pool: Path, start: list[Path], updates: int) -> TrainingConfig:
    """The momentum network on prealigned DESS-like pairs, as the second run behind the shipped weights."""
    return TrainingConfig(
        name="ablation",
        stage="vsvf",
        data=DataConfig(
            pool=str(pool),
            last_images=3,
            augment=AugmentConfig(4.0, 0.05, 0.03, 4.0, deformation_mm=1.5, deformation_sigma_mm=12.0),
            residual=AugmentConfig(1.5, 0.02, 0.015, 1.5),
        ),
        losses=LossConfig(distances=3.0, overlap=1.0, momentum=2.0, local_from_epoch=0),
        optimizer=OptimizerConfig(learning_rate=1.5e-3, warmup_steps=20, steps=updates, batch=2),
        initial_weights=tuple(map(str, start)),
        mixed_precision=True,
        device="cpu",
        log_every=20,
        validate_every=10**9,
        validation_pairs=24,
        save_every_seconds=30.0,
    )


def train_row(config: TrainingConfig, folder: Path, train: Pool, validation: Pool) -> bool:
    """Train one row in its folder, from its last state if there is one; False if it was told to stop."""
    if (folder / "result.json").exists():
        return True
    run = Trainer(config, folder, train, validation)
    if (folder / "state" / "state.json").exists():
        run.resume()
    else:
        run.start()
    if not run.run():
        return False
    figures = {
        f"{steps}": validate(run.model, run.validation_pool, config, config.affine_steps, steps) for steps in (1, 2)
    }
    (folder / "result.json").write_text(json.dumps(figures, indent=1))
    return True


def measure_start(name: str, config: TrainingConfig, folder: Path, train: Pool, validation: Pool) -> None:
    """What the weights reach before any update."""
    path = folder / f"start-{name}.json"
    if not path.exists():
        run = Trainer(config, folder / f"start-{name}", train, validation)
        run.start()
        figures = {str(s): validate(run.model, run.validation_pool, config, config.affine_steps, s) for s in (1, 2)}
        path.write_text(json.dumps(figures, indent=1))


def table(folder: Path) -> str:
    """The finished rows as Markdown."""
    lines = [
        "| Training | Cross-subject, 1 / 2 steps | Longitudinal, 1 / 2 steps | Folds, % |",
        "|---|---|---|---|",
    ]
    titles = {"start-base": "no update yet", "start-joint": "no update yet, on the affine network"}
    for name, title in {**titles, **{name: row.title for name, row in ROWS.items()}}.items():
        path = folder / f"{name}.json" if name in titles else folder / name / "result.json"
        if path.exists():
            lines.append(_line(title, json.loads(path.read_text())))
    return "\n".join(lines)


def _line(title: str, figures: dict[str, dict[str, float]]) -> str:
    one, two = figures["1"], figures["2"]
    dice = [f"{one[f'{kind}_dice']:.3f} / {two[f'{kind}_dice']:.3f}" for kind in ("cross", "longitudinal")]
    folds = max(f[f"{kind}_folds"] for f in (one, two) for kind in ("cross", "longitudinal"))
    return f"| {title} | {dice[0]} | {dice[1]} | {folds:.4f} |"


@click.command()
@click.argument("output", type=click.Path(path_type=Path))
@click.option("--pool", default="runs/pool2a", show_default=True, type=click.Path(path_type=Path))
@click.option("--updates", default=300, show_default=True, type=click.IntRange(1), help="Of the weights, each row.")
@click.option(
    "--start",
    multiple=True,
    default=("runs/affine-ft2/last.safetensors", "runs/vsvf40/last.safetensors"),
    show_default=True,
    type=click.Path(path_type=Path),
    help="Weights that every row begins with; repeat for several files.",
)
@click.option("--rows", default="", help="Only these, separated by commas; all if not given.")
@click.option("--threads", default=1, show_default=True, type=click.IntRange(1))
def main(output: Path, pool: Path, updates: int, start: tuple[Path, ...], rows: str, threads: int) -> None:
    """Train every row that is not done, then print the table."""
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    base = base_config(pool, list(start), updates)
    validation = load_pool(pool / "validation", base.data.shrink, base.data.last_images)
    pools: dict[int, Pool] = {}
    for name in [r for r in rows.split(",") if r] or ROWS:
        config = ROWS[name].change(base)
        images = config.data.last_images
        if images not in pools:
            pools = {images: load_pool(pool / "train", config.data.shrink, images)}
        if name in ("base", "joint"):
            measure_start(name, config, output, pools[images], validation)
        if not train_row(config, output / name, pools[images], validation):
            raise SystemExit(f"stopped in row {name}; the same command goes on from there")
        (output / "ablation.md").write_text(table(output) + "\n")
        click.echo(f"{name} done", err=True)
    click.echo(table(output))


if __name__ == "__main__":
    main()
