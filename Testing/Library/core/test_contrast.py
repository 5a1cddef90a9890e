"""Whether two images are of one kind, seen before they are aligned."""

from __future__ import annotations

import numpy as np
import pytest

from JointRegistrationLib.core.figures.contrast import coarse_ncc, contrast_remark
from JointRegistrationLib.core.geometry import Grid
from JointRegistrationLib.core.image import Image

GRID = Grid((60, 70, 40), (2.0, 1.8, 3.0), (10.0, -20.0, 5.0), ((0.0, 0.0, 1.0), (-1.0, 0.0, 0.0), (0.0, -1.0, 0.0)))


def blobs(grid: Grid = GRID, shift_mm: float = 0.0) -> Image:
    """A smooth random image, a function of the place in the patient."""
    k, j, i = np.indices(grid.shape).reshape(3, -1)
    points = np.stack([i, j, k], -1) @ grid.ijk_to_ras[:3, :3].T + grid.ijk_to_ras[:3, 3] - shift_mm
    rng = np.random.default_rng(3)
    waves = [(rng.normal(0, 0.06, 3), rng.uniform(0, 6)) for _ in range(20)]
    values = sum(np.sin(points @ wave + phase) for wave, phase in waves)
    return Image(np.asarray(values, np.float32).reshape(grid.shape), grid, "knee")


def far() -> Grid:
    """The same lattice beyond the other end of the table."""
    return Grid(GRID.size_ijk, GRID.spacing_mm, (900.0, 0.0, 0.0), GRID.direction_ras)


def negative(image: Image) -> Image:
    return Image(image.array.max() - image.array, image.grid, "other")


def test_the_same_image_correlates_fully_and_is_not_remarked() -> None:
    assert coarse_ncc(blobs(), blobs()) == pytest.approx(1)
    assert contrast_remark(blobs(), blobs()) == ""


def test_a_negative_is_said_with_what_to_do() -> None:
    remark = contrast_remark(blobs(), negative(blobs()))
    assert "other looks like a negative of knee (correlation -1.00" in remark
    assert "invert one of them" in remark


def test_the_other_lattice_and_a_few_millimetres_do_not_matter() -> None:
    other = Grid((50, 45, 66), (2.6, 2.7, 2.0), GRID.center_ras - np.array([62.0, 60.0, 66.0]))
    assert coarse_ncc(blobs(), blobs(other, 4.0)) > 0.7
    assert contrast_remark(blobs(), blobs(other, 4.0)) == ""


def test_images_that_lie_apart_are_compared_with_one_centre() -> None:
    away = Grid(
        GRID.size_ijk, GRID.spacing_mm, np.asarray(GRID.origin_ras) + np.array([0, 0, 55.0]), GRID.direction_ras
    )
    moved = Image(blobs().array, away, "moved")
    assert coarse_ncc(blobs(), moved) < 0.6
    assert contrast_remark(blobs(), moved) == ""
    assert "looks like a negative" in contrast_remark(blobs(), Image(negative(blobs()).array, far(), "far"))
    shift = np.eye(4)
    shift[:3, 3] = [0, 0, 55.0]
    assert coarse_ncc(blobs(), moved, shift) == pytest.approx(1)


def test_an_image_of_something_else_is_said() -> None:
    noise = np.random.default_rng(1).random(GRID.shape).astype(np.float32)
    assert "hardly look alike" in contrast_remark(blobs(), Image(noise, GRID, "noise"))


def test_padding_does_not_decide() -> None:
    padded = blobs().array.copy()
    padded[:, :3] = -3e4
    assert coarse_ncc(blobs(), Image(padded, GRID, "padded")) > 0.9


def test_nothing_is_said_where_it_cannot_be_told() -> None:
    assert np.isnan(coarse_ncc(blobs(), Image(blobs().array, far(), "far")))
    constant = Image(np.ones(GRID.shape, np.float32), GRID, "constant")
    assert np.isnan(coarse_ncc(blobs(), constant))
    assert contrast_remark(blobs(), constant) == ""
    small = Image(blobs().array[:8, :8, :8], Grid((8, 8, 8), (1.0, 1.0, 1.0)), "small")
    assert contrast_remark(small, negative(small)) == ""
