#!/usr/bin/env python
"""How well the segmenter finds bones and cartilages: rendered validation knees, and real ones.

    python Testing/Benchmarks/segment_knees.py --pool runs/knees --weights runs/segment-full/best.safetensors

Prints a table; every image goes through ``segment`` as a user's would. The pool is that of ``prepare-knees``.
"""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import click
import numpy as np
import torch

from JointRegistrationLib.core.figures.metrics import dice
from JointRegistrationLib.core.geometry import Grid
from JointRegistrationLib.core.image import Image
from JointRegistrationLib.core.structures import LABELS, Segmentation
from JointRegistrationLib.files import read_image, read_labels
from JointRegistrationLib.networks.segmenter import CLASSES
from JointRegistrationLib.segmentation.segment import segment
from JointRegistrationLib.training.data.augment import generator
from JointRegistrationLib.training.data.labels import canonical_grid
from JointRegistrationLib.training.segmenter.knee_codes import Knee, load_knees
from JointRegistrationLib.training.segmenter.synthesis import Sample, SynthesisConfig, plain_sample
from JointRegistrationLib.training.segmenter.validation import dess_sample

ROOT = Path(__file__).resolve().parents[2]
NUMBERS = np.array([LABELS.get(name, 0) for name in CLASSES], dtype=np.uint8)
REAL = ("dess", "cubequant", "mese_echo1", "lowfield_t2w")
BONES = ("femur", "tibia", "patella")


def samples(knee: Knee, number: int) -> dict[str, Sample]:
    """The knee as a DESS and in random contrast, at the working resolution."""
    arbitrary = plain_sample(knee, replace(SynthesisConfig(), dess_like=0.0), 1, generator(1_000_000, number))
    return (
        {"random": arbitrary} if knee.dess is None else {"DESS": dess_sample(knee, knee.dess, 1), "random": arbitrary}
    )


def found_in(sample: Sample, knee: Knee, weights: Path | None, *, mirror: bool) -> tuple[Segmentation, np.ndarray]:
    """What is found, and the true labels; mirrored it is a left knee."""
    array = sample.image[0, 0].numpy()
    truth = NUMBERS[sample.target[0].argmax(dim=0).numpy()]
    if mirror:
        array, truth = array[::-1], truth[::-1]
    grid: Grid = canonical_grid(array.shape, [2 * s for s in knee.spacing_kji_mm])
    return segment(Image(np.ascontiguousarray(array), grid, knee.name), weights=weights), truth


def dice_of(found: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    by_label = dice(found, truth)
    return {name: by_label.get(number, float("nan")) for name, number in LABELS.items()}


def row(name: str, values: dict[str, float], rest: str = "") -> str:
    return f"| {name} | " + " | ".join(f"{values[n]:.3f}" if n in values else "" for n in LABELS) + f" | {rest} |"


def rendered(pool: Path, weights: Path | None) -> None:
    each: dict[str, list[dict[str, float]]] = {}
    sides: dict[str, list[str]] = {}
    for n, knee in enumerate(load_knees(pool / "validation")):
        for kind, sample in samples(knee, n).items():
            mirror = n % 2 == 1
            found, truth = found_in(sample, knee, weights, mirror=mirror)
            each.setdefault(kind, []).append(dice_of(found.labels.array, truth))
            right = found.side.side == ("left" if mirror else "right")
            sides.setdefault(kind, []).append(("right" if right else "wrong") if found.side.certain else "unknown")
    for kind, rows in each.items():
        means = {name: float(np.nanmean([r[name] for r in rows])) for name in LABELS}
        bones = np.mean([means[name] for name in BONES])
        cartilage = np.mean([value for name, value in means.items() if name not in BONES])
        told = ", ".join(f"{sides[kind].count(word)} {word}" for word in ("right", "wrong", "unknown"))
        click.echo(
            row(f"{kind}, {len(rows)} knees", means, f"bones {bones:.3f}, cartilage {cartilage:.3f}; side {told}")
        )


def real(data: Path, weights: Path | None) -> None:
    for name in REAL:
        path = data / "real-knee" / f"{name}.nii.gz"
        if not path.exists():
            click.echo(f"{path} is not there: left out")
            continue
        image = read_image(path)
        begun = time.perf_counter()
        found = segment(image, weights=weights)
        seconds = time.perf_counter() - begun
        values = found.confidence
        if name == "lowfield_t2w":
            truth = read_labels(data / "real-knee" / "lowfield_bones.nii.gz").array
            every = dice_of(found.labels.array, truth)
            click.echo(row("lowfield_t2w, Dice", {bone: every[bone] for bone in BONES}))
        side = f"{found.side.side}, log odds {found.side.log_odds:.1f}"
        click.echo(row(f"{name}, confidence", values, f"{side}; {seconds:.1f} s"))


@click.command(help=__doc__)
@click.option("--pool", type=click.Path(path_type=Path), help="Code maps of prepare-knees; left out if not given.")
@click.option("--weights", type=click.Path(path_type=Path), help="In place of the package's.")
@click.option("--data", type=click.Path(path_type=Path), help="Folder with real-knee/.")
@click.option("--threads", default=2, show_default=True, help="Processor threads.")
def main(pool: Path | None, weights: Path | None, data: Path | None, threads: int) -> None:
    torch.set_num_threads(threads)
    data = data or Path(os.environ.get("JOINTREG_DATA", ROOT.parent / "shared" / "data"))
    click.echo("| | " + " | ".join(LABELS) + " | |\n" + "|---" * (len(LABELS) + 2) + "|")
    if pool is not None:
        rendered(pool, weights)
    real(data, weights)


if __name__ == "__main__":
    main()
