"""``register`` end to end on small images with a known map."""

import dataclasses

import numpy as np
import pytest
import torch

from JointRegistrationLib.core.config import (
    AffineConfig,
    PreprocessConfig,
    RegistrationConfig,
)
from JointRegistrationLib.core.errors import InputError, RegistrationCancelled, ResourceError
from JointRegistrationLib.core.geometry import Grid, transform_points
from JointRegistrationLib.core.image import Image, LandmarkPairs
from JointRegistrationLib.registration.methods import optimised
from JointRegistrationLib.registration.register import register
from Testing.Support import knees
from Testing.Support.bent_pair import FIXED_GRID, KERNEL, MOVING_GRID, QUICK, bend


@pytest.fixture(scope="module")
def pair():
    return knees.make_pair(FIXED_GRID, MOVING_GRID, lambda y: bend(y, -1.0))


@pytest.fixture(scope="module")
def result(pair):
    torch.manual_seed(0)
    return register(*pair, QUICK)


def inner_error_mm(result):
    """Distance between the found and the true moving points, within 22 mm of the origin."""
    x = knees.lattice_ras(FIXED_GRID)
    near = np.linalg.norm(x, axis=-1) < 22
    return np.linalg.norm((x + result.displacement_field_mm - bend(x))[near], axis=-1)


def test_most_of_a_known_deformation_is_found(result):
    x = knees.lattice_ras(FIXED_GRID)
    near = np.linalg.norm(x, axis=-1) < 22
    before = np.linalg.norm((bend(x) - x)[near], axis=-1).mean()
    assert inner_error_mm(result).mean() < 0.2 * before
    assert result.similarity_after > 0.98 > result.similarity_before


def test_the_map_has_no_folds_and_positive_jacobian(result):
    assert result.folds.count == 0
    assert result.jacobian_determinant.min() > 0


def test_fields_lie_on_the_native_grids(result):
    assert result.displacement_field_mm.shape == (*FIXED_GRID.shape, 3)
    assert result.inverse_displacement_field_mm.shape == (*MOVING_GRID.shape, 3)
    assert result.warped.shape == result.jacobian_determinant.shape == FIXED_GRID.shape
    assert result.displacement_field_mm.dtype == np.float32


def test_points_come_back_within_a_tenth_of_a_voxel(result):
    assert result.inverse_error_mean_mm < 0.1 * min(FIXED_GRID.spacing_mm)
    assert result.inverse_error_max_mm < min(FIXED_GRID.spacing_mm)


def test_warped_image_resembles_the_fixed_one(pair, result):
    fixed = pair[0].array
    inner = np.linalg.norm(knees.lattice_ras(FIXED_GRID), axis=-1) < 22
    assert np.abs(result.warped - fixed)[inner].mean() < 0.25 * np.abs(fixed - fixed[inner].mean())[inner].mean()


def test_identical_images_give_the_identity(pair):
    result = register(pair[0], pair[0], QUICK)
    assert np.abs(result.displacement_field_mm).max() < 0.1
    assert result.similarity_after == pytest.approx(1.0, abs=1e-3)


def test_affine_method_returns_a_linear_displacement(pair):
    result = register(*pair, dataclasses.replace(QUICK, method="affine-opt"))
    x = knees.lattice_ras(FIXED_GRID)
    np.testing.assert_allclose(x + result.displacement_field_mm, transform_points(result.affine_ras, x), atol=1e-3)
    np.testing.assert_allclose(result.jacobian_determinant, np.linalg.det(result.affine_ras[:3, :3]), rtol=1e-3)


def test_rk4_and_scaling_and_squaring_agree(pair, result):
    velocity = dataclasses.replace(KERNEL, integrator="rk4")
    config = dataclasses.replace(QUICK, vsvf=dataclasses.replace(QUICK.vsvf, velocity=velocity))
    other = register(*pair, config)
    assert np.linalg.norm(other.displacement_field_mm - result.displacement_field_mm, axis=-1).mean() < 0.1


def test_adam_finds_it_too(pair):
    config = dataclasses.replace(QUICK, vsvf=dataclasses.replace(QUICK.vsvf, optimizer="adam", iterations=40))
    assert inner_error_mm(register(*pair, config)).mean() < 1.0


def test_the_same_call_gives_the_same_result(pair, result):
    np.testing.assert_array_equal(register(*pair, QUICK).displacement_field_mm, result.displacement_field_mm)


def test_slabs_make_no_difference(pair, result, monkeypatch):
    monkeypatch.setattr("JointRegistrationLib.registration.native_grids._SLAB_VOXELS", 5000)
    cut = register(*pair, QUICK)
    np.testing.assert_allclose(cut.displacement_field_mm, result.displacement_field_mm, atol=1e-4)
    np.testing.assert_allclose(cut.jacobian_determinant, result.jacobian_determinant, atol=1e-4)
    assert cut.folds == result.folds


def test_working_at_reduced_resolution_still_returns_native_fields(pair):
    config = dataclasses.replace(QUICK, preprocess=PreprocessConfig(max_working_voxels=8000))
    result = register(*pair, config)
    assert result.displacement_field_mm.shape == (*FIXED_GRID.shape, 3)
    assert inner_error_mm(result).mean() < 1.5


def test_landmarks_are_the_start(pair):
    points = np.random.default_rng(0).uniform(-20, 20, size=(6, 3))
    config = dataclasses.replace(
        QUICK, method="affine-opt", affine=AffineConfig(model="rigid", levels=(1,), iterations=0)
    )
    result = register(*pair, config, landmarks=LandmarkPairs(points, points + np.array([1.0, 2.0, 3.0])))
    np.testing.assert_allclose(result.affine_ras[:3, 3], [1, 2, 3], atol=1e-4)


def test_progress_rises_from_0_to_1_through_named_stages(pair):
    seen = []
    register(*pair, QUICK, progress=lambda stage, fraction, loss: seen.append((stage, fraction, loss)))
    fractions = [fraction for _, fraction, _ in seen]
    assert fractions == sorted(fractions)
    assert fractions[0] == 0.0 and fractions[-1] == 1.0
    assert list(dict.fromkeys(stage for stage, _, _ in seen)) == ["preparing", "affine", "deformable", "finishing"]
    assert any(loss is not None for _, _, loss in seen)


@pytest.mark.parametrize("stage", ["preparing", "affine", "deformable", "finishing"])
def test_cancel_is_obeyed_in_every_stage(pair, stage):
    now = []
    with pytest.raises(RegistrationCancelled, match=f"during {stage}"):
        register(*pair, QUICK, lambda name, *_: now.append(name), lambda: stage in now or stage == "preparing")


@pytest.mark.parametrize("after", range(1, 8))
def test_cancel_is_asked_for_between_the_steps_of_preparing_too(pair, after):
    asked = []
    with pytest.raises(RegistrationCancelled, match="during preparing"):
        register(*pair, QUICK, cancelled=lambda: asked.append(True) or len(asked) == after)


def test_summary_is_plain_json(result):
    import json

    summary = json.loads(json.dumps(result.summary()))
    assert summary["method"] == "vsvf-opt"
    assert summary["folds"] == 0
    assert set(summary["timings_s"]) == {"preparing", "affine", "deformable", "finishing", "total"}


def test_images_apart_are_refused_unless_a_centre_start_is_asked_for(pair):
    far = Image(pair[1].array, dataclasses.replace(pair[1].grid, origin_ras=(900, 0, 0)), "moving")
    with pytest.raises(InputError, match="does not overlap"):
        register(pair[0], far, QUICK)
    config = dataclasses.replace(
        QUICK, method="affine-opt", affine=AffineConfig(initialization="center", levels=(4,), iterations=5)
    )
    assert register(pair[0], far, config).similarity_after > 0.5


def test_mask_of_another_image_is_refused(pair):
    elsewhere = dataclasses.replace(MOVING_GRID, origin_ras=(900, 0, 0))
    mask = Image(np.ones(MOVING_GRID.shape, dtype=np.uint8), elsewhere, "mask")
    with pytest.raises(InputError, match="mask: 100 % of what it marks lie outside fixed"):
        register(*pair, QUICK, fixed_mask=mask)


def test_masked_out_moving_content_has_no_influence(pair):
    spoilt, mask = pair[1].array.copy(), np.ones(MOVING_GRID.shape, dtype=np.uint8)
    spoilt[:9] = 5 * np.random.default_rng(0).random(spoilt[:9].shape)  # the inferior quarter
    mask[:10] = 0
    moving = Image(spoilt, MOVING_GRID, "moving")
    masked = register(pair[0], moving, QUICK, moving_mask=Image(mask, MOVING_GRID, "mask"))
    upper = (knees.lattice_ras(FIXED_GRID)[..., 2] > 5) & (np.linalg.norm(knees.lattice_ras(FIXED_GRID), axis=-1) < 22)
    x = knees.lattice_ras(FIXED_GRID)[upper]

    def error_mm(result):
        return np.linalg.norm(x + result.displacement_field_mm[upper] - bend(x), axis=-1).mean()

    assert error_mm(masked) < 0.4
    assert error_mm(register(pair[0], moving, QUICK)) > 1.25 * error_mm(masked)


def test_a_device_that_is_not_there_is_named():
    image = Image(np.random.default_rng(0).random((8, 8, 8)), Grid((8, 8, 8)))
    missing = "cuda" if not torch.cuda.is_available() else "mps"
    with pytest.raises(ResourceError, match=f"device '{missing}' is not available"):
        register(image, image, RegistrationConfig(device=missing))


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory"), torch.cuda.OutOfMemoryError()]
)
def test_running_out_of_memory_says_what_to_reduce(pair, monkeypatch, error):
    def fail(*_args, **_kwargs):
        raise error

    monkeypatch.setattr(optimised, "affine_opt", fail)
    with pytest.raises(ResourceError, match="max_working_voxels"):
        register(*pair, QUICK)


def test_other_runtime_errors_are_not_hidden(pair, monkeypatch):
    def fail(*_args, **_kwargs):
        raise RuntimeError("a bug")

    monkeypatch.setattr(optimised, "affine_opt", fail)
    with pytest.raises(RuntimeError, match="a bug"):
        register(*pair, QUICK)
