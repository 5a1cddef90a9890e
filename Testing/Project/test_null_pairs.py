"""Testing/Benchmarks/null_pairs.py: pairs whose truth is known, what is measured of a map, rows, and the tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import Testing.Benchmarks.null_pairs  # noqa: F401 its folder on the path, for the modules beside it
from JointRegistrationLib.core.geometry import Grid, transform_points
from JointRegistrationLib.core.image import Image
from Testing.Support.knees import centered_grid, intensity, lattice_ras

import null_cases  # isort: skip
import null_measures  # isort: skip
import null_pairs  # isort: skip
from null_cases import NullPair, Planted, Source  # isort: skip

GRID = centered_grid((48, 44, 40), (1.5, 1.5, 2.0), ((0, 0, 1), (-1, 0, 0), (0, -1, 0)))


def made_source() -> Source:
    """Smooth blobs, the body a ball, bone and cartilage two boxes."""
    points = lattice_ras(GRID)
    parts = np.zeros(GRID.shape, np.uint8)
    parts[8:20, 10:30, 10:30], parts[20:24, 10:30, 10:30] = null_cases.BONE, null_cases.CARTILAGE
    image = Image((100 * (2 + intensity(points))).astype(np.float32), GRID)
    return Source(image, np.linalg.norm(points, axis=-1) < 30, Image(parts, GRID), 4.0)


def field_of(matrix: np.ndarray, grid: Grid = GRID) -> np.ndarray:
    """The displacement field of a 4x4 matrix."""
    points = lattice_ras(grid)
    return (transform_points(matrix, points) - points).astype(np.float32)


def test_the_true_motion_brings_the_moved_image_back_and_has_no_error() -> None:
    source = made_source()
    pair = null_cases.real_pair(source, "bias", is_moved=True)
    motion = pair.truth_ras
    assert np.degrees(np.arccos((np.trace(motion[:3, :3]) - 1) / 2)) == pytest.approx(3.0)
    assert np.linalg.norm(transform_points(motion, GRID.center_ras) - GRID.center_ras) == pytest.approx(2.0)
    moved = null_cases.moved_source(source, motion)
    centre = np.linalg.norm(lattice_ras(GRID), axis=-1) < 20
    there = 100 * (2 + intensity(transform_points(np.linalg.inv(motion), lattice_ras(GRID))))
    assert np.abs(moved.image.array - there)[centre].max() < 2.0
    right = null_measures.measured(pair, field_of(motion), field_of(np.linalg.inv(motion)))
    nothing = null_measures.measured(pair, 0 * field_of(motion), 0 * field_of(motion))
    assert right["error_95_mm"] < 1e-4 and right["bone_round_95_mm"] < 1e-2 and right["bone_log2j_99"] < 1e-3
    assert nothing["error_mean_mm"] > 1.5


def test_noise_is_found_in_the_image_and_added_up_to_the_ratio_that_is_asked_for() -> None:
    flat = np.full(GRID.shape, 200.0, np.float32)
    noisy = Image(null_cases.rician(flat, 5.0, 1), GRID)
    body = np.ones(GRID.shape, bool)
    sigma = null_cases.noise_level(noisy, body)
    assert sigma == pytest.approx(5.0, rel=0.03)
    source = Source(noisy, body, made_source().parts, sigma)
    for change, times in (("noise-half", 2), ("noise-quarter", 4), ("contrast-t2", 2)):
        pair = null_cases.real_pair(source, change, is_moved=False)
        assert null_cases.noise_level(pair.fixed, body) == pytest.approx(times * sigma, rel=0.05)
    assert not np.array_equal(pair.fixed.array, pair.moving.array)


def test_bias_stays_within_thirty_percent_and_curves_change_the_order_of_tissues() -> None:
    ones = np.ones(GRID.shape, np.float32)
    field = null_cases.bias(ones, GRID)
    assert (field.min(), field.max()) == pytest.approx((0.7, 1.3))
    marrow, cartilage, fluid = 0.08, 0.4, 1.0
    for x, y in null_cases.CURVES.values():
        before = np.argsort((marrow, cartilage, fluid))
        assert not np.array_equal(np.argsort(np.interp((marrow, cartilage, fluid), x, y)), before)


def test_dark_marrow_belongs_to_the_body_though_the_image_ends_in_it() -> None:
    points = lattice_ras(GRID)
    away = np.linalg.norm(points[..., :2], axis=-1)
    tube = Image(np.where((away < 28) & (away > 18), 100.0, 1.0).astype(np.float32), GRID)
    body = null_cases.body_of(tube)
    assert body[away < 26].all()
    assert not body[away > 30].any()


def test_a_map_that_thins_cartilage_is_told_from_one_that_does_not() -> None:
    """Cartilage from z = 0 to 2; the map brings its free surface 0.3 mm down where x < 0."""
    x = np.concatenate([np.linspace(-20, -3, 50), np.linspace(3, 20, 50)])  # linear interpolation blends between
    surface = np.stack([x, 0 * x, 0 * x + 2], axis=-1)
    planted = Planted(surface, surface - [0, 0, 2], np.where(x < 0, 0.3, 0.0))
    points = lattice_ras(GRID)
    field = np.zeros((*GRID.shape, 3), np.float32)
    field[..., 2] = -0.15 * points[..., 2] * (points[..., 0] < 0)
    found = null_measures.found_loss(planted, field, GRID)
    assert found["loss_there_mm"] == pytest.approx(0.3, abs=1e-3)
    assert abs(found["loss_elsewhere_95_mm"]) < 1e-3
    moved = null_measures.found_loss(planted, field_of(null_cases.rigid_motion(GRID)), GRID)
    assert abs(moved["loss_there_mm"]) < 1e-3


def run(table: null_pairs.Table, pair: NullPair) -> None:
    programs = null_pairs.programs("none", Path("python"))
    null_pairs.measure(
        [null_cases.Named("real", "dess/bias", lambda: pair)], table, "half", programs, 1, Path("python")
    )


def test_rows_are_kept_and_not_computed_again(tmp_path: Path) -> None:
    pair = null_cases.real_pair(made_source(), "bias", is_moved=False)
    path = tmp_path / "runs" / "table.csv"
    run(null_pairs.Table(path), pair)
    once = path.read_text()
    assert once.splitlines()[1].startswith("real,dess/bias,half,none,0,0,")
    again = null_pairs.Table(path)
    null_pairs.measure(
        [null_cases.Named("real", "dess/bias", lambda: pytest.fail("made again"))],
        again, "half", null_pairs.programs("none", Path("python")), 1, Path("python"),
    )  # fmt: skip
    assert path.read_text() == once
    assert [row["method"] for row in again.rows] == ["none"]


def test_the_tables_are_means_over_images_and_curves_and_say_what_failed() -> None:
    def row(kind: str, pair: str, value: float, stopped: str = "") -> null_pairs.Row:
        cells = dict.fromkeys(null_measures.COLUMNS, "" if stopped else str(value))
        return {"kind": kind, "pair": pair, "size": "half", "method": "m", "stopped": stopped, **cells}

    text = null_pairs.markdown(
        [
            row("real", "dess/contrast-t2", 1.0),
            row("real", "cubequant/contrast-fat", 3.0),
            row("real", "dess/contrast-fat-moved", 9.0),
            row("real", "cubequant/contrast-fluid", 0.0, "it failed"),
            row("thinned", "9/0.3 mm", 0.25),
        ]
    )
    assert "| contrast | `m` | 2 of 3 | 2.000 (2.000) | 2.000 | 2.000, 2.000 |" in text
    assert "| contrast moved | `m` | 1 | 9.000 (9.000) |" in text
    assert "| 0.3 mm thinner | `m` | 1 | 0.250 | 0.250 (0.250) |" in text
