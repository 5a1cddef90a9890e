"""Checks, normalisation and resampling of input images."""

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from JointRegistrationLib.config import PreprocessConfig
from JointRegistrationLib.errors import InputError
from JointRegistrationLib.geometry import Grid
from JointRegistrationLib.image import Image
from JointRegistrationLib.preprocess import (
    check_image,
    check_mask,
    check_overlap,
    check_same_grid,
    normalize,
    resample,
    to_tensor,
)
from JointRegistrationLib.resolution import shrunk_grid, working_grid

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


def test_mask_on_another_grid_is_refused_naming_both():
    other = Grid((8, 9, 10), origin_ras=(5, 0, 0))
    with pytest.raises(InputError, match=r"mask.nrrd: must lie on the grid of knee.nrrd"):
        check_same_grid(image(grid=other, name="mask.nrrd"), image())


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
