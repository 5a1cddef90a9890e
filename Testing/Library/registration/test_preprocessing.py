"""Checks, normalisation and resampling of input images."""

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from JointRegistrationLib.core.config import PreprocessConfig
from JointRegistrationLib.core.errors import InputError
from JointRegistrationLib.core.geometry import Grid
from JointRegistrationLib.core.image import Image
from JointRegistrationLib.core.lattices.onto_grid import on_grid_of
from JointRegistrationLib.core.lattices.working_grid import shrunk_grid, working_grid
from JointRegistrationLib.ops.separable.resampling import resample, to_tensor
from JointRegistrationLib.registration.preprocessing import (
    check_image,
    check_mask,
    check_overlap,
    normalize,
    remarks_on,
)

GRID = Grid((8, 9, 10))


def image(array=None, grid=GRID, name="knee.nrrd"):
    return Image(np.random.default_rng(0).random(grid.shape) if array is None else array, grid, name)


def test_percentiles_go_to_zero_and_one_and_the_rest_is_clamped():
    values = np.arange(10_000, dtype=np.int16)
    result = normalize(values, PreprocessConfig(lower_percentile=1, upper_percentile=99))
    low, high = np.percentile(values, [1, 99])
    assert result.dtype == np.float32
    assert (result[values <= low] == 0).all() and (result[values >= high] == 1).all()
    np.testing.assert_allclose(result[5000], (5000 - low) / (high - low), atol=1e-6)


def test_a_nearly_empty_image_keeps_its_few_bright_voxels():
    values = np.zeros(10_000)
    values[3] = 7
    assert normalize(values)[3] == 1


TISSUE = np.random.default_rng(3).gamma(2.0, 100.0, (20, 40, 40))


def padded(value):
    """Tissue with a third of the field of view filled up by a value."""
    values = TISSUE.copy()
    values[:, :, :13] = value
    return values


@pytest.mark.parametrize("value", [-2000, -500, -32768, -1e6])
def test_padding_counts_as_dark_whatever_its_value(value):
    dark = normalize(padded(0.0).astype(np.float32))
    found = normalize(padded(value).astype(np.float32))
    np.testing.assert_allclose(found, dark, atol=2e-3)


def test_padding_that_an_interpolation_has_blended_counts_as_dark():
    values = padded(-2000.0)
    values[:, :, 13] = 0.5 * (values[:, :, 12] + values[:, :, 14])
    np.testing.assert_allclose(normalize(values)[:, :, 14:], normalize(padded(0.0))[:, :, 14:], atol=1e-2)


def test_metal_does_not_squeeze_the_tissue():
    values = TISSUE.copy()
    values[8:12, 10:14, 10:14] = 30_000
    kept = np.ones(values.shape, bool)
    kept[8:12, 10:14, 10:14] = False
    assert np.ptp(np.percentile(normalize(values)[kept], [5, 95])) > 0.2
    assert (normalize(values)[~kept] == 1).all()


@pytest.mark.parametrize("offset", [1e6, -1e9, 1e12])
def test_an_offset_that_single_precision_does_not_hold_is_taken_off_first(offset):
    np.testing.assert_allclose(normalize(TISSUE + offset), normalize(TISSUE), atol=1e-4)


@pytest.mark.parametrize("scale", [1e28, 1e36, 1e300, 1e-40, 1e-300])
def test_values_may_be_very_large_or_small(scale):
    np.testing.assert_allclose(normalize(TISSUE * scale), normalize(TISSUE), atol=1e-5)


def test_whole_numbers_of_32_bits_keep_their_differences():
    values = TISSUE.astype(np.int32)
    np.testing.assert_allclose(normalize(values + 2_000_000_000), normalize(values), atol=1e-5)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.float64])
def test_a_clean_image_is_scaled_bit_for_bit_by_the_published_rule(dtype):
    values = TISSUE.clip(0, 255).astype(dtype)
    expected = values.astype(np.float32)
    low, high = np.percentile(expected, [0.1, 99.9])
    expected = np.clip((expected - np.float32(low)) / np.float32(high - low), 0, 1)
    np.testing.assert_array_equal(normalize(values), expected)


def test_an_image_empty_but_for_a_bright_voxel_is_refused():
    array = np.zeros((20, 20, 20), np.int16)
    array[3, 4, 5] = 900
    with pytest.raises(InputError, match=r"all but 1 of its 8000 voxels have the same value"):
        check_image(image(array, Grid((20, 20, 20))))


def test_an_image_half_of_which_is_missing_is_remarked():
    grid = Grid((40, 40, 20), (3.0, 3.0, 5.0))
    assert remarks_on(image(TISSUE, grid)) == ()
    half = TISSUE.copy()
    half[:, 20:] = 0
    assert remarks_on(image(half, grid)) == (
        "knee.nrrd: 20 of its 40 slices along one axis are empty: part of the knee is missing",
    )


def test_a_mask_of_48_voxels_is_remarked():
    grid = Grid((40, 40, 20), (3.0, 3.0, 5.0))
    mask = np.zeros(grid.shape, np.uint8)
    mask[4:8, 4:8, 4:7] = 1
    (remark,) = remarks_on(image(TISSUE, grid), image(mask, grid, "mask"))
    assert "mask marks only 48 voxels (2.2 ml) of knee.nrrd" in remark


@pytest.mark.parametrize(
    ("spacing", "said"),
    [
        ((1000.0, 1000.0, 5000.0), "measures 39000 x 39000 x 95000 mm, which is unusual for a knee"),
        ((0.08, 0.08, 0.1), "measures 3.1 x 3.1 x 1.9 mm, which is unusual for a knee"),
        ((1.0, 1.0, 1.0), "voxels of exactly 1 x 1 x 1 mm"),
        ((3.0, 3.0, 9.0), "between such slices little can be aligned"),
    ],
)
def test_a_size_that_is_no_knees_is_remarked(spacing, said):
    (remark,) = remarks_on(image(TISSUE, Grid((40, 40, 20), spacing)))
    assert said in remark


def test_working_grid_of_an_oai_knee_has_the_published_number_of_voxels_or_fewer():
    native = Grid((384, 384, 160), (0.3646, 0.3646, 0.7))
    grid = working_grid(native, 192 * 192 * 80)
    assert 0.8 * 192 * 192 * 80 < grid.num_voxels <= 192 * 192 * 80
    np.testing.assert_allclose(grid.corners_ras, native.corners_ras)
    assert max(grid.spacing_mm) / min(grid.spacing_mm) < 1.1


def test_working_grid_leaves_thick_slices_alone():
    grid = working_grid(Grid((512, 512, 24), (0.3, 0.3, 4.0)), 100_000)
    assert grid.size_ijk[2] == 24
    assert grid.num_voxels <= 100_000


def test_small_images_are_worked_at_full_resolution():
    assert working_grid(GRID, 1000) is GRID


def test_shrinking_thins_fine_axes_first():
    grid = shrunk_grid(Grid((64, 64, 20), (1, 1, 4)), 4)
    assert grid.size_ijk == (17, 17, 20)


def test_resampling_keeps_corners_and_linear_ramps():
    ramp = np.arange(17.0)[None, None, :] + 10 * np.arange(9.0)[None, :, None] + np.zeros((5, 9, 17))
    grid = Grid((17, 9, 5))
    result = resample(to_tensor(ramp), grid, (33, 5, 5))[0, 0].numpy()
    assert result.shape == (5, 5, 33)
    np.testing.assert_allclose(result[2, 1:4, :], ramp[2, 2:8:2, 0][:, None] + np.linspace(0, 16, 33), atol=1e-4)


def test_upsampling_equals_simpleitk():
    grid = Grid((7, 8, 9), (1.0, 2.0, 0.5))
    values = np.random.default_rng(1).random(grid.shape).astype(np.float32)
    fine = grid.resized((13, 15, 17))
    source = sitk.GetImageFromArray(values)
    source.SetSpacing(grid.spacing_mm)
    expected = sitk.Resample(source, fine.size_ijk, sitk.Transform(), sitk.sitkLinear, (0, 0, 0), fine.spacing_mm)
    np.testing.assert_allclose(
        resample(to_tensor(values), grid, fine.size_ijk)[0, 0], sitk.GetArrayFromImage(expected), atol=1e-5
    )


def test_thinning_does_not_alias():
    stripes = np.zeros((8, 8, 65), dtype=np.float32)
    stripes[..., ::2] = 1
    thinned = resample(to_tensor(stripes), Grid((65, 8, 8)), (17, 8, 8))[0, 0].numpy()
    assert np.abs(thinned[..., 1:-1] - 0.5).max() < 0.01  # plain subsampling would give 1 everywhere


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float64, bool])
def test_usual_voxel_types_are_accepted(dtype):
    array = np.zeros(GRID.shape, dtype=dtype)
    array[2:5] = 1
    check_image(image(array))


def test_constant_image_is_refused():
    with pytest.raises(InputError, match=r"knee.nrrd: every voxel has the value 3"):
        check_image(image(np.full(GRID.shape, 3)))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_are_refused_and_counted(bad):
    array = np.random.default_rng(0).random(GRID.shape)
    array[0, 0, :2] = bad
    with pytest.raises(InputError, match=r"NaN or infinite values \(2 of 720 voxels\)"):
        check_image(image(array))


def test_a_volume_of_three_slices_is_refused():
    with pytest.raises(InputError, match="at least 4 voxels"):
        check_image(image(grid=Grid((8, 8, 3))))


def test_a_mask_that_lies_elsewhere_is_refused_naming_both_grids():
    other = Grid((8, 9, 10), origin_ras=(5, 0, 0))
    with pytest.raises(InputError, match=r"mask.nrrd: 62 % of what it marks lie outside knee.nrrd \(8 x 9 x 10 voxels"):
        check_mask(image(grid=other, name="mask.nrrd"), image())


def test_a_mask_on_finer_voxels_is_resampled_and_said():
    fine = Grid((15, 17, 19), (0.5, 0.5, 0.5))
    array = np.zeros(fine.shape, np.uint8)
    array[4:13, 6:11, 2:9] = 7
    placed = check_mask(image(array, fine, "mask.nrrd"), image())
    expected = np.zeros(GRID.shape, np.uint8)
    expected[2:7, 3:6, 1:5] = 7
    np.testing.assert_array_equal(placed.array, expected)
    assert placed.grid == GRID
    assert "mask.nrrd lies on other voxels than knee.nrrd and was resampled" in placed.remarks[0]


def test_labels_on_finer_voxels_are_resampled_label_by_label():
    fine = Grid((15, 17, 19), (0.5, 0.5, 0.5))
    array = np.zeros(fine.shape, np.int16)
    array[:9], array[9:] = 1, 900
    placed = on_grid_of(image(array, fine, "labels"), image())
    assert np.unique(placed.array[1:-1, 1:-1, 1:-1]).tolist() == [1, 900], "no label in between"


def test_a_mask_on_the_images_grid_is_left_as_it_is():
    mask = image(np.ones(GRID.shape, np.uint8), name="mask")
    assert on_grid_of(mask, image()) is mask


def test_empty_mask_is_refused():
    with pytest.raises(InputError, match="the mask is empty"):
        check_mask(image(np.zeros(GRID.shape), name="mask.nrrd"), image())


def test_images_far_apart_are_refused_with_the_distance():
    with pytest.raises(InputError, match=r"does not overlap.*500 mm.*initialization 'center'"):
        check_overlap(image(), image(grid=Grid((8, 9, 10), origin_ras=(500, 0, 0)), name="moving"))


def test_a_start_that_brings_the_images_together_is_accepted():
    shift = np.eye(4)
    shift[0, 3] = 500
    check_overlap(image(), image(grid=Grid((8, 9, 10), origin_ras=(500, 0, 0))), shift)


def test_result_of_resampling_is_differentiable():
    values = torch.rand(1, 1, 5, 6, 7, dtype=torch.float64, requires_grad=True)
    grid = Grid((7, 6, 5))
    assert torch.autograd.gradcheck(lambda v: resample(v, grid, (4, 9, 5)), values)
