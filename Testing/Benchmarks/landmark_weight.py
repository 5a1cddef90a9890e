"""Which weight landmark pairs deserve in the deformation: error against a known map, with pairs placed inexactly.

    python Testing/Benchmarks/landmark_weight.py [--seeds 2] [--pairs 10] [--error-mm 1.5]

Computed knees at half the working resolution, vsvf-opt from the true affine part. Pairs lie on bone and
cartilage surfaces; each point of the moving image is off by ``error-mm`` in a random direction. "hidden":
in the moving image a ball of 18 mm radius on the femoral cartilage holds noise only, as an implant's
artefact would, and half of the pairs lie within it. The table gives the mean error at bone and cartilage,
the same inside the ball, and folds.
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import click
import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from JointRegistrationLib.core.config import LandmarkConfig, RegistrationConfig, VsvfConfig  # noqa: E402
from JointRegistrationLib.core.geometry import transform_points  # noqa: E402
from JointRegistrationLib.core.image import Image, LandmarkPairs  # noqa: E402
from JointRegistrationLib.core.result import StartingMap  # noqa: E402
from JointRegistrationLib.phantom import LABEL_NAMES, KneePair, make_pair, working_grid  # noqa: E402
from JointRegistrationLib.registration.register import register  # noqa: E402

#: Weight and tolerance (mm).
WEIGHTS = ((0.0, 0.0), (0.001, 0.0), (0.001, 1.5), (0.003, 1.5), (0.01, 0.0), (0.01, 1.5), (0.03, 1.5), (0.1, 1.5))
RADIUS_MM = 18.0


def lattice_ras(pair: KneePair) -> np.ndarray:
    """(k, j, i, 3) positions of the fixed grid."""
    grid = pair.fixed.image.grid
    k, j, i = np.meshgrid(*(np.arange(n) for n in grid.shape), indexing="ij")
    return transform_points(grid.ijk_to_ras, np.stack([i, j, k], axis=-1))


def surface(labels: np.ndarray) -> np.ndarray:
    """Voxels of a tissue beside another one along i."""
    edge = np.zeros(labels.shape, dtype=bool)
    edge[..., 1:] = (labels[..., 1:] != labels[..., :-1]) & (labels[..., 1:] > 0)
    return edge


def hidden(pair: KneePair, centre_moving: np.ndarray, rng: np.random.Generator) -> Image:
    """The moving image with noise in a ball."""
    image = pair.moving.image
    k, j, i = np.meshgrid(*(np.arange(n) for n in image.grid.shape), indexing="ij")
    points = transform_points(image.grid.ijk_to_ras, np.stack([i, j, k], axis=-1))
    ball = np.linalg.norm(points - centre_moving, axis=-1) < RADIUS_MM
    values = image.array.astype(np.float32).copy()
    values[ball] = rng.uniform(values.min(), np.percentile(values, 99), ball.sum())
    return dataclasses.replace(image, array=values)


@click.command()
@click.option("--seeds", default=2)
@click.option("--pairs", default=10)
@click.option("--error-mm", default=1.5)
@click.option("--size", type=int, nargs=3, default=(96, 96, 40))
def main(seeds: int, pairs: int, error_mm: float, size: tuple[int, int, int]) -> None:
    """Print the table."""
    femoral = next(value for value, name in LABEL_NAMES.items() if "femoral cartilage" in name)
    config = RegistrationConfig(method="vsvf-opt", check_side=False, vsvf=VsvfConfig(levels=(4, 2, 1), iterations=12))
    click.echo("images  seed  weight  tol.      pairs mm      tissue mm   ball mm   folds")
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        pair = make_pair(seed + 21, working_grid().resized(size))
        x, truth, labels = lattice_ras(pair), pair.displacement_field_mm, pair.fixed.labels.array
        centre = x[labels == femoral][rng.integers((labels == femoral).sum())]
        near = np.linalg.norm(x - centre, axis=-1) < RADIUS_MM
        edges = surface(labels)
        picked = [rng.choice(np.flatnonzero(edges & where), pairs // 2, replace=False) for where in (near, ~near)]
        rows = np.concatenate(picked)
        fixed, true = x.reshape(-1, 3)[rows], (x + truth).reshape(-1, 3)[rows]
        off = rng.normal(size=fixed.shape)
        off *= error_mm / np.linalg.norm(off, axis=1, keepdims=True)
        landmarks = LandmarkPairs(fixed, true + off)
        affine = StartingMap(truth, pair.fixed.image.grid).affine_part()
        warped = affine[:3, :3].astype(np.float32)
        start = StartingMap((x @ warped.T + affine[:3, 3] - x).astype(np.float32), pair.fixed.image.grid, affine)
        noisy = hidden(pair, centre @ warped.T + affine[:3, 3], rng)
        images = {"hidden": noisy, "clean": pair.moving.image}
        for name, moving in images.items():
            for weight, tolerance in WEIGHTS:
                asked = dataclasses.replace(config, landmarks=LandmarkConfig(weight=weight, tolerance_mm=tolerance))
                result = register(pair.fixed.image, moving, asked, landmarks=landmarks, initial=start)
                error = np.linalg.norm(result.displacement_field_mm - truth, axis=-1)
                tissue = error[labels > 0].mean()
                ball = error[near & (labels > 0)].mean()
                at_pairs = error.reshape(-1)[rows].mean()
                click.echo(
                    f"{name:8}{seed:4}{weight:8g}{tolerance:6g}{at_pairs:14.2f}{tissue:15.2f}{ball:10.2f}{result.folds.count:8}",
                )


if __name__ == "__main__":
    main()
