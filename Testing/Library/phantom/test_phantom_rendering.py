"""Images from given tissues, and from given maps of bones and cartilages."""

from __future__ import annotations

import numpy as np
import pytest

from JointRegistrationLib.core.errors import InputError
from JointRegistrationLib.core.geometry import Grid
from JointRegistrationLib.core.image import Image
from JointRegistrationLib.phantom import TISSUES, ContrastConfig, KneeShape, make_knee, render_dess, render_from_labels
from Testing.Support.grids import reoriented

GRID = Grid((40, 44, 44), (3.2, 3.2, 3.2), (-62.0, -66.0, -58.0))


@pytest.fixture(scope="module")
def knee():
    return make_knee(KneeShape(), GRID, seed=1)


def test_tissue_numbers_and_fractions_give_the_tissues_signals(knee):
    contrast = ContrastConfig(intensity=100.0, noise=0.0, coil_gain=0.0, bias=0.0, texture=0.0)
    block = np.zeros(GRID.shape, dtype=np.uint8)
    block[10:30, 10:30, 10:30] = TISSUES.index("cartilage")
    image = render_dess(block, GRID, contrast)
    assert image.array[20, 20, 20] == pytest.approx(100 * contrast.signal["cartilage"], rel=1e-4)
    assert image.array[2, 2, 2] == 0
    halves = np.zeros((len(TISSUES), *GRID.shape), dtype=np.float32)
    halves[TISSUES.index("muscle")] = halves[TISSUES.index("fluid")] = 0.5
    expected = 50 * (contrast.signal["muscle"] + contrast.signal["fluid"])
    assert render_dess(halves, GRID, contrast).array == pytest.approx(expected, rel=1e-4)


def test_a_tissue_map_renders_to_an_image_like_the_knee_it_came_from(knee):
    contrast = ContrastConfig(coil_gain=0.0, bias=0.0)
    image = render_dess(knee.tissues.array, GRID, contrast, seed=2)
    again = render_dess(knee.tissues.array, GRID, contrast, seed=2)
    assert np.array_equal(image.array, again.array)
    assert np.corrcoef(image.array.ravel(), knee.image.array.ravel())[0, 1] > 0.8


def test_arrays_that_are_no_tissues_are_refused(knee):
    with pytest.raises(InputError, match="shape"):
        render_dess(np.zeros((3, 3, 3)), GRID)
    with pytest.raises(InputError, match="from 0 to"):
        render_dess(np.full(GRID.shape, 77), GRID)


def test_an_image_around_labels_looks_like_the_knee_they_came_from(knee):
    image = render_from_labels(knee.labels, seed=4)
    body = knee.tissues.array > 0
    assert np.corrcoef(image.array[body], knee.image.array[body])[0, 1] > 0.6
    bone, muscle = np.isin(knee.labels.array, (1, 3, 5)), knee.tissues.array == TISSUES.index("muscle")
    assert np.median(image.array[bone]) < 0.3 * np.median(image.array[muscle])


def test_bone_lesions_count_as_bone_and_axes_do_not_matter(knee):
    marked = knee.labels.array.copy()
    marked[(marked == 1) & (np.indices(marked.shape)[0] % 5 == 0)] = 7
    clean = ContrastConfig(noise=0.0, coil_gain=0.0, bias=0.0, texture=0.0)
    plain = render_from_labels(knee.labels, clean)
    assert np.array_equal(render_from_labels(Image(marked, GRID), clean).array, plain.array)
    flipped = Image(knee.labels.array[::-1, :, ::-1], reoriented(GRID, (0, 1, 2), (True, False, True)))
    assert np.abs(render_from_labels(flipped, clean).array[::-1, :, ::-1] - plain.array).mean() < 2


def test_labels_without_a_tibia_are_refused(knee):
    only_femur = np.where(knee.labels.array <= 2, knee.labels.array, 0)
    with pytest.raises(InputError, match="tibial cartilage"):
        render_from_labels(Image(only_femur, GRID, "half a knee"))


def test_lost_cartilage_is_missing_to_a_fraction_of_a_voxel_and_only_there(knee):
    only_cartilage = dict.fromkeys(TISSUES, 0.0) | {"cartilage": 1.0}
    contrast = ContrastConfig(signal=only_cartilage, intensity=1.0, noise=0.0, coil_gain=0.0, bias=0.0, texture=0.0)
    lateral = np.zeros(GRID.shape, np.float32)
    lateral[..., GRID.size_ijk[0] // 2 :] = 1.0
    whole = render_from_labels(knee.labels, contrast).array
    lost = [
        whole - render_from_labels(knee.labels, contrast, cartilage_loss_mm={"femur": mm * lateral}).array
        for mm in (0.1, 0.3)
    ]
    assert all(np.all(difference[lateral == 0] == 0) and difference.min() > -1e-6 for difference in lost)
    area_mm2 = [difference.sum() * GRID.voxel_volume_mm3 / mm for difference, mm in zip(lost, (0.1, 0.3), strict=True)]
    assert area_mm2[0] > 500
    assert area_mm2[1] == pytest.approx(area_mm2[0], rel=0.1)
