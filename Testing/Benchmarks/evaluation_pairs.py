"""Render the validation knees once and list the pairs that ``joint-registration evaluate`` is to register.

    python Testing/Benchmarks/evaluation_pairs.py runs/evaluation [--size full|half] [--data DIR]
    python Testing/Benchmarks/evaluation_pairs.py runs/tuning --split train

From each manual label map of ``shared/data/knee-labels/validation``: the label map at every second voxel
(80 x 192 x 192) or every fourth (40 x 96 x 96), and one DESS-like image of it. Soft tissue belongs to the
subject, contrast, texture and noise to the scan; all are seeded by names. PAIRS.csv lists all longitudinal
pairs, both ways, and twelve cross-subject pairs, the same at every call. What is there already stays. None of
it may be committed.

With ``--split train`` three pairs of each group from the training label maps: what settings are chosen by, so that
the validation pairs stay unseen.
"""

from __future__ import annotations

import csv
import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import click
import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from JointRegistrationLib.core.geometry import Grid, transform_points  # noqa: E402
from JointRegistrationLib.core.image import Image  # noqa: E402
from JointRegistrationLib.files import atomic_file, read_labels, write_image, write_labels  # noqa: E402
from JointRegistrationLib.phantom.from_labels import render_from_labels  # noqa: E402
from JointRegistrationLib.phantom.shapes.knee_shape import random_shape  # noqa: E402
from JointRegistrationLib.phantom.tissues.contrast import random_contrast  # noqa: E402
from JointRegistrationLib.training.data.labels import majority_labels, structure_fractions  # noqa: E402
from JointRegistrationLib.training.data.pool import hash_name  # noqa: E402

FACTORS = {"full": 2, "half": 4}
COLUMNS = ("group", "moving", "fixed", "moving_labels", "fixed_labels")
#: Other numbers than training's, so that no image equals one of a pool.
SEED = 2026
CROSS_SUBJECT_PAIRS = 12
TUNING_PAIRS = 3

Pair = tuple[str, str, str]


def default_data() -> Path:
    """Where the label maps are: JOINTREG_DATA, or shared/data beside the checkout."""
    return Path(os.environ.get("JOINTREG_DATA", ROOT.parent / "shared" / "data"))


def coarser(labels: Image, factor: int) -> Image:
    """The label map at ``factor`` times the spacing: of each block of voxels the structure that fills most of it.

    Bone lesions count as bone (7, 8, 9 become 1, 3, 5).
    """
    array = majority_labels(structure_fractions(labels.array, (factor,) * 3))
    native = labels.grid
    origin = transform_points(native.ijk_to_ras, np.full(3, (factor - 1) / 2))  # the middle of the first block
    spacing = tuple(factor * s for s in native.spacing_mm)
    grid = Grid(array.shape[::-1], spacing, tuple(origin), native.direction_ras)
    return Image(array, grid, labels.name)


def rendered(labels: Image, subject: str, scan: str) -> Image:
    """The DESS of one scan."""
    habit = replace(random_shape(np.random.default_rng([SEED, hash_name(subject)])), side="right", lesions=())
    contrast = random_contrast(np.random.default_rng([SEED, hash_name(scan)]))
    return render_from_labels(labels, contrast, SEED + hash_name(scan), shape=habit)


def store(source: Path, subject: str, scan: str, folder: Path, factor: int) -> None:
    """Write a scan's label map and image, unless both are there."""
    labels_path, image_path = folder / f"{scan}_labels.nii.gz", folder / f"{scan}.nii.gz"
    if labels_path.exists() and image_path.exists():
        return
    labels = coarser(read_labels(source), factor)
    write_labels(labels, labels_path)
    write_image(rendered(labels, subject, scan), image_path)


def choose_pairs(scans: list[tuple[str, str]], split: str) -> list[Pair]:
    """(group, moving scan, fixed scan) from (scan, subject): all longitudinal pairs, and some across subjects.

    Of the training scans a few of either group.
    """
    ordered = [(a, b) for a in scans for b in scans if a != b]
    longitudinal = [("longitudinal", a[0], b[0]) for a, b in ordered if a[1] == b[1]]
    cross = [("cross-subject", a[0], b[0]) for a, b in ordered if a[1] != b[1]]
    if split == "train":
        return some(longitudinal, TUNING_PAIRS) + some(cross, TUNING_PAIRS)
    return longitudinal + some(cross, CROSS_SUBJECT_PAIRS)


def some(pairs: list[Pair], count: int) -> list[Pair]:
    """``count`` of them, the same at every call, in their order."""
    return [pairs[n] for n in sorted(np.random.default_rng(SEED).permutation(len(pairs))[:count])]


def write_pairs(pairs: list[Pair], path: Path) -> None:
    """PAIRS.csv, files relative to it."""
    with atomic_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        table = csv.writer(stream, lineterminator="\n")
        table.writerow(COLUMNS)
        for group, moving, fixed in pairs:
            images = [f"{scan}.nii.gz" for scan in (moving, fixed)]
            table.writerow([group, *images, *(f"{scan}_labels.nii.gz" for scan in (moving, fixed))])


def claim(folder: Path, size: str, split: str) -> None:
    """Make the folder this size's and split's own: scans of two sizes must not mix."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "settings.json"
    settings = {"size": size, "seed": SEED} | ({"split": split} if split != "validation" else {})
    if path.exists() and json.loads(path.read_text()) != settings:
        raise click.ClickException(f"{folder} holds scans made with {path.read_text().strip()}; choose another folder")
    path.write_text(json.dumps(settings) + "\n")


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--size", type=click.Choice(list(FACTORS)), default="full", show_default=True, help="Of the images.")
@click.option("--split", type=click.Choice(["validation", "train"]), default="validation", show_default=True)
@click.option("--data", type=click.Path(path_type=Path), default=None, help="Folder with knee-labels/.")
def main(folder: Path, size: str, split: str, data: Path | None) -> None:
    """Fill FOLDER with images, label maps and PAIRS.csv."""
    knees = (data or default_data()) / "knee-labels"
    if not (knees / "manifest.csv").is_file():
        raise click.ClickException(f"no label maps at {knees}; give --data, or set JOINTREG_DATA")
    with (knees / "manifest.csv").open(newline="", encoding="utf-8") as stream:
        rows = sorted((row for row in csv.DictReader(stream) if row["split"] == split), key=lambda r: r["file"])
    claim(folder, size, split)
    scans = {Path(row["file"]).name.removesuffix(".nii.gz"): row for row in rows}
    pairs = choose_pairs([(scan, row["subject"]) for scan, row in scans.items()], split)
    for scan in sorted({scan for pair in pairs for scan in pair[1:]}):
        store(knees / scans[scan]["file"], scans[scan]["subject"], scan, folder, FACTORS[size])
        click.echo(scan)
    write_pairs(pairs, folder / "PAIRS.csv")
    click.echo(f"{folder / 'PAIRS.csv'}: {len(pairs)} pairs")


if __name__ == "__main__":
    main()
