"""Register pairs whose error is known, sound and spoilt, and note what the result shows of it without labels.

    python Testing/Benchmarks/trust_pairs.py runs/trust/train.csv [--size half|full] [--split train|validation]

One row a run. The error is that of cartilage: of procedural knees the mean distance between where the map and where the
truth send its voxels; of rendered label maps the mean distance between the fixed and the warped surfaces. Rows that are
there are not computed again. ``trust_fit.py`` fits the verdict to such tables, and tests it on others.
"""

from __future__ import annotations

import csv
import dataclasses
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "Testing" / "Benchmarks")]

from evaluation_pairs import FACTORS, choose_pairs, coarser, default_data, rendered  # noqa: E402

from JointRegistrationLib.core.config import AffineConfig, NetworkConfig, RegistrationConfig  # noqa: E402
from JointRegistrationLib.core.errors import JointRegistrationError  # noqa: E402
from JointRegistrationLib.core.figures.metrics import surface_distances_mm  # noqa: E402
from JointRegistrationLib.core.figures.trust import Evidence  # noqa: E402
from JointRegistrationLib.core.geometry import Grid, transform_points  # noqa: E402
from JointRegistrationLib.core.image import Image  # noqa: E402
from JointRegistrationLib.core.lattices.sampling import warp_label_image  # noqa: E402
from JointRegistrationLib.core.result import RegistrationResult  # noqa: E402
from JointRegistrationLib.files import read_labels  # noqa: E402
from JointRegistrationLib.phantom import make_pair  # noqa: E402
from JointRegistrationLib.phantom.tissues.contrast import random_contrast  # noqa: E402
from JointRegistrationLib.registration.register import register  # noqa: E402

CARTILAGES = (2, 4)
FEATURES = tuple(field.name for field in dataclasses.fields(Evidence))
COLUMNS = ("source", "pair", "size", "case", "error_mm", *FEATURES, "ncc_before", "stopped")


@dataclass(frozen=True)
class Case:
    """Two images, and how far from the truth a result of them is, mm."""

    fixed: Image
    moving: Image
    error_mm: Callable[[RegistrationResult], float]
    arguments: dict[str, Any] = dataclasses.field(default_factory=dict)
    config: RegistrationConfig = dataclasses.field(default_factory=RegistrationConfig)


def procedural(seed: int, factor: int) -> Case:
    """A knee and its copy under a known map."""
    half = factor == 4
    pair = make_pair(seed, contrast_moving=random_contrast(np.random.default_rng([7, seed])))
    fixed, moving, labels = pair.fixed.image, pair.moving.image, pair.fixed.labels
    truth, every = pair.displacement_field_mm, slice(None, None, 2 if half else 1)
    if half:
        fixed, moving, labels = (_thinned(image) for image in (fixed, moving, labels))
        truth = truth[every, every, every]
    cartilage = np.isin(labels.array, (2, 4, 6))

    def error(result: RegistrationResult) -> float:
        wrong = result.displacement_field_mm[cartilage] - truth[cartilage]
        return float(np.linalg.norm(wrong, axis=-1).mean())

    return Case(fixed, moving, error)


def _thinned(image: Image) -> Image:
    """Every second voxel."""
    grid = image.grid
    array = np.ascontiguousarray(image.array[::2, ::2, ::2])
    spacing = tuple(2 * s for s in grid.spacing_mm)
    return Image(array, Grid(array.shape[::-1], spacing, grid.origin_ras, grid.direction_ras), image.name)


def labelled(fixed_labels: Image, fixed: Image, moving_labels: Image, moving: Image) -> Case:
    """Two rendered label maps, of one person or two."""

    def error(result: RegistrationResult) -> float:
        warped = warp_label_image(moving_labels, fixed.grid, result.displacement_field_mm)
        pairs = [(fixed_labels.array == label, warped.array == label) for label in CARTILAGES]
        distances = (surface_distances_mm(a, b, fixed.grid).mean() if b.any() else np.inf for a, b in pairs)
        return float(max(distances))

    return Case(fixed, moving, error)


# -- what spoils a pair ---------------------------------------------------------------------------------------


def _moving(case: Case, array: Any, grid: Grid | None = None) -> Case:
    return replace(case, moving=Image(np.ascontiguousarray(array), grid or case.moving.grid, "moving"))


def _inverted(case: Case) -> Case:
    array = case.moving.array
    return _moving(case, np.percentile(array, 99.9) - array)


def _inverted_tissue(case: Case) -> Case:
    array = case.moving.array
    high = np.percentile(array, 99.5)
    body = array > 0.08 * high
    return _moving(case, np.where(body, 1.1 * high - np.minimum(array, high), array))


def _curved(case: Case) -> Case:
    array = np.clip(case.moving.array / np.percentile(case.moving.array, 99), 0, 1.5)
    return _moving(case, 0.25 * array + 1.1 * np.maximum(array - 0.35, 0))


def _folded_contrast(case: Case) -> Case:
    array = np.clip(case.moving.array / np.percentile(case.moving.array, 99), 0, 1)
    return _moving(case, np.abs(array - 0.35))


def _half_zero(case: Case) -> Case:
    array = case.moving.array.copy()
    array[:, array.shape[1] // 2 :] = 0
    return _moving(case, array)


def _noisy(level: float) -> Callable[[Case], Case]:
    def change(case: Case) -> Case:
        rng, array = np.random.default_rng(5), case.moving.array
        sigma = level * np.percentile(array, 99)
        noise = rng.normal(0, sigma, (2, *array.shape))
        return _moving(case, np.hypot(array + noise[0], noise[1]).astype(np.float32))

    return change


def _cropped(case: Case) -> Case:
    grid, n = case.moving.grid, case.moving.array.shape[1]
    first = n // 2
    origin = transform_points(grid.ijk_to_ras, np.array([0.0, first, 0.0]))
    array = case.moving.array[:, first:]
    return _moving(case, array, Grid(array.shape[::-1], grid.spacing_mm, tuple(origin), grid.direction_ras))


def _thick(case: Case) -> Case:
    array, grid = case.moving.array, case.moving.grid
    n = max(2, round(5.6 / grid.spacing_mm[2]))
    count = len(array) // n
    thick = array[: n * count].reshape(count, n, *array.shape[1:]).mean(axis=1).astype(np.float32)
    origin = transform_points(grid.ijk_to_ras, np.array([0.0, 0.0, (n - 1) / 2]))
    spacing = (*grid.spacing_mm[:2], n * grid.spacing_mm[2])
    return _moving(case, thick, Grid(thick.shape[::-1], spacing, tuple(origin), grid.direction_ras))


def _mirrored(case: Case) -> Case:
    return _moving(case, case.moving.array[::-1])


def _upside_down(case: Case) -> Case:
    return _moving(case, case.moving.array[:, ::-1, ::-1])


def _no_knee(case: Case) -> Case:
    rng, grid = np.random.default_rng(3), case.moving.grid
    noise = torch.nn.functional.interpolate(
        torch.as_tensor(rng.random((1, 1, 8, 12, 12), dtype=np.float32)), size=grid.shape, mode="trilinear"
    )
    return _moving(case, noise[0, 0].numpy())


def _bright_voxel(case: Case) -> Case:
    array = case.moving.array.copy()
    array[tuple(n // 3 for n in array.shape)] = 60 * array.max()
    return _moving(case, array)


def _tiny_mask(case: Case) -> Case:
    mask = np.zeros(case.fixed.array.shape, np.uint8)
    k, j, i = (n // 4 for n in mask.shape)
    mask[k : k + 3, j : j + 4, i : i + 4] = 1
    return replace(case, arguments={"fixed_mask": Image(mask, case.fixed.grid, "mask")})


def _with(**settings: Any) -> Callable[[Case], Case]:
    return lambda case: replace(case, config=dataclasses.replace(case.config, **settings))


CASES: dict[str, Callable[[Case], Case]] = {
    "as it is": lambda case: case,
    "networks alone": _with(network=NetworkConfig(refine=0)),
    "affine": _with(method="affine-opt"),
    "nothing done": _with(method="affine-opt", affine=AffineConfig(initialization="identity", iterations=0)),
    "vsvf-opt": _with(method="vsvf-opt"),
    "inverted": _inverted,
    "inverted tissue": _inverted_tissue,
    "contrast curve": _curved,
    "contrast folded": _folded_contrast,
    "half zero": _half_zero,
    "noise 10 %": _noisy(0.1),
    "noise 40 %": _noisy(0.4),
    "cropped": _cropped,
    "thick slices": _thick,
    "mirrored": _mirrored,
    "upside down": _upside_down,
    "no knee": _no_knee,
    "bright voxel": _bright_voxel,
    "tiny mask": _tiny_mask,
}


def sources(size: str, split: str, data: Path, seeds: int, count: int) -> Iterator[tuple[str, str, Callable[[], Case]]]:
    """Kind, name, and what makes the pair."""
    first = 0 if split == "train" else 5000
    for seed in range(first, first + seeds):
        yield "procedural", str(seed), lambda seed=seed: procedural(seed, FACTORS[size])
    knees = data / "knee-labels"
    with (knees / "manifest.csv").open(newline="", encoding="utf-8") as stream:
        rows = sorted((row for row in csv.DictReader(stream) if row["split"] == split), key=lambda r: r["file"])
    scans = {Path(row["file"]).name.removesuffix(".nii.gz"): row for row in rows}
    pairs = choose_pairs([(scan, row["subject"]) for scan, row in scans.items()], split)
    for group in ("longitudinal", "cross-subject"):
        for _, moving, fixed in [pair for pair in pairs if pair[0] == group][:count]:
            yield group, f"{moving} > {fixed}", lambda a=moving, b=fixed: _labelled(knees, scans, a, b, FACTORS[size])


def _labelled(knees: Path, scans: dict[str, Any], moving: str, fixed: str, factor: int) -> Case:
    labels = {scan: coarser(read_labels(knees / scans[scan]["file"]), factor) for scan in (fixed, moving)}
    images = {scan: rendered(labels[scan], scans[scan]["subject"], scan) for scan in labels}
    return labelled(labels[fixed], images[fixed], labels[moving], images[moving])


def run(case: Case) -> list[Any]:
    """Error, features, NCC before, and why it was refused, if it was."""
    try:
        result = register(case.fixed, case.moving, case.config, **case.arguments)
    except JointRegistrationError as error:
        return ["", *[""] * len(FEATURES), "", str(error)]
    assert result.evidence is not None
    features = [round(value, 5) for value in dataclasses.astuple(result.evidence)]
    return [round(case.error_mm(result), 4), *features, round(result.similarity_before, 4), ""]


@click.command()
@click.argument("table", type=click.Path(path_type=Path))
@click.option("--size", type=click.Choice(list(FACTORS)), default="half", show_default=True)
@click.option("--split", type=click.Choice(["train", "validation"]), default="train", show_default=True)
@click.option("--seeds", default=8, show_default=True, help="Procedural pairs.")
@click.option("--count", default=3, show_default=True, help="Pairs of label maps in each group.")
@click.option("--data", type=click.Path(path_type=Path), default=None, help="Folder with knee-labels/.")
def main(table: Path, size: str, split: str, seeds: int, count: int, data: Path | None) -> None:
    """Fill TABLE."""
    table.parent.mkdir(parents=True, exist_ok=True)
    known = set()
    if table.exists():
        with table.open(newline="", encoding="utf-8") as stream:
            known = {(row["source"], row["pair"], row["size"], row["case"]) for row in csv.DictReader(stream)}
    with table.open("a", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        if not known:
            writer.writerow(COLUMNS)
        for source, name, make in sources(size, split, data or default_data(), seeds, count):
            wanted = [case for case in CASES if (source, name, size, case) not in known]
            pair = make() if wanted else None
            for case in wanted:
                assert pair is not None
                row = [source, name, size, case, *run(CASES[case](pair))]
                writer.writerow(row)
                stream.flush()
                click.echo(" | ".join(str(cell) for cell in row))


if __name__ == "__main__":
    main()
