"""Labels carried in NumPy follow the rule of maps.warp_labels, however the work is shared."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from JointRegistrationLib.core.geometry import Grid
from JointRegistrationLib.core.image import Image
from JointRegistrationLib.core.lattices import sampling
from JointRegistrationLib.core.lattices.sampling import LabelMap, warp_label_image, warp_label_map
from JointRegistrationLib.ops import maps

GRID = Grid((30, 26, 22), (1.0, 1.2, 1.5), (-15.0, -14.0, -16.0))
FINER = Grid((44, 40, 36), (0.7, 0.8, 0.9), (-15.3, -15.1, -15.2))


@pytest.fixture
def labels() -> np.ndarray:
    coarse = np.random.default_rng(4).integers(0, 6, size=tuple(-(-n // 3) for n in GRID.shape))
    fine = np.kron(coarse, np.ones((3, 3, 3), int))[tuple(slice(n) for n in GRID.shape)]
    return np.pad(fine[1:-1, 1:-1, 1:-1], 1).astype(np.uint8)


@pytest.fixture
def field_mm() -> np.ndarray:
    k, j, i = np.meshgrid(*(np.linspace(-1, 1, n) for n in FINER.shape), indexing="ij")
    return np.stack([2 * np.sin(2 * k), 1.5 * np.cos(2 * j), np.sin(3 * i)], axis=-1).astype(np.float32)


def test_labels_follow_the_rule_of_the_maps(labels, field_mm):
    found = warp_label_map(LabelMap(labels, GRID), FINER, field_mm)
    points = maps.from_displacement(torch.from_numpy(np.moveaxis(field_mm, -1, 0).copy())[None], FINER)
    expected = maps.warp_labels(torch.from_numpy(labels.astype(np.int32))[None, None], GRID, points)[0, 0].numpy()
    assert found.dtype == labels.dtype and (found > 0).sum() > 500
    assert (found != expected).mean() < 2e-4  # points where two labels weigh the same up to rounding


@pytest.mark.parametrize("displaced", [True, False])
def test_result_does_not_depend_on_parts_or_threads(labels, field_mm, monkeypatch, displaced):
    source, field = LabelMap(labels, GRID), field_mm if displaced else None
    whole = warp_label_map(source, FINER, field)
    monkeypatch.setattr(sampling, "_PART_POINTS", 100)
    np.testing.assert_array_equal(warp_label_map(source, FINER, field, threads=3), whole)


def test_labels_on_voxels_of_the_grid_are_put_there_and_cut_off(labels):
    part = GRID.cropped((4, 6, 8), (20, 30, 20))  # reaches beyond the labels along j and k
    found = warp_label_map(LabelMap(labels, GRID), part)
    expected = np.zeros(part.shape, np.uint8)
    expected[:14, :20] = labels[8:, 6:, 4:24]
    np.testing.assert_array_equal(found, expected)


def test_a_sheared_way_to_the_labels_counts(labels):
    shear = np.eye(4)
    shear[0, 1], shear[:3, 3] = 0.2137, (1.033, -2.017, 0.519)
    found = warp_label_map(LabelMap(labels, GRID, np.linalg.inv(shear)), GRID)
    points = maps.affine_map(np.linalg.inv(shear), GRID, torch.zeros(1, dtype=torch.float64))
    expected = maps.warp_labels(torch.from_numpy(labels.astype(np.int32))[None, None], GRID, points)[0, 0].numpy()
    assert (found != expected).mean() < 2e-4 and not np.array_equal(found, labels)


def test_label_images_of_any_whole_numbers_follow_the_rule_too(labels, field_mm):
    numbers = np.array([0, -7, 3, 300, 70000, 12])[labels].astype(np.int32)
    found = warp_label_image(Image(numbers, GRID, "labels"), FINER, field_mm, threads=2)
    points = maps.from_displacement(torch.from_numpy(np.moveaxis(field_mm, -1, 0).copy())[None], FINER)
    expected = maps.warp_labels(torch.from_numpy(numbers)[None, None], GRID, points)[0, 0].numpy()
    assert found.array.dtype == np.int32 and found.grid == FINER and found.name == "labels"
    assert set(np.unique(found.array)) == {0, -7, 3, 300, 70000, 12}
    assert (found.array != expected).mean() < 2e-4


@pytest.mark.parametrize("value", [0, 5])
def test_label_images_of_one_value_reach_to_the_border_of_their_grid(value):
    image = Image(np.full(GRID.shape, value, np.uint8), GRID)
    assert (warp_label_image(image, GRID).array == value).all()
    around = warp_label_image(image, GRID.padded((2, 2, 2))).array
    assert (around[2:-2, 2:-2, 2:-2] == value).all() and around[0].max() == 0


def test_no_more_work_is_done_once_cancelled(labels, field_mm):
    assert not warp_label_map(LabelMap(labels, GRID), FINER, field_mm, cancelled=lambda: True).any()
