"""affine-opt finds known transforms."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from JointRegistrationLib.core.config import AffineConfig, PreprocessConfig, RegistrationConfig, SimilarityConfig
from JointRegistrationLib.core.errors import InputError, RegistrationCancelled
from JointRegistrationLib.core.geometry import transform_points
from JointRegistrationLib.core.image import Image
from JointRegistrationLib.core.progress import Reporter
from JointRegistrationLib.registration.methods.affine import affine_opt, center_of_mass, initial_transforms, model_basis
from JointRegistrationLib.registration.register import prepare_pair
from Testing.Support import knees

CONFIG = AffineConfig(levels=(4, 2, 1), iterations=30)
ROTATION = Rotation.from_euler("xyz", [6, -8, 10], degrees=True).as_matrix()
LINEAR = {
    "rigid": ROTATION,
    "similarity": 1.1 * ROTATION,
    "affine": ROTATION @ np.array([[1.1, 0.08, 0], [0, 0.92, -0.05], [0.04, 0, 1.03]]),
}
#: Grids that share nothing but the region of the blobs.
OBLIQUE = Rotation.from_euler("z", 25, degrees=True).as_matrix() @ np.array([[0, 0, 1], [-1, 0, 0], [0, 1, 0]])
MOVING_GRID = knees.centered_grid((40, 36, 26), (1.9, 2.1, 2.8), OBLIQUE, center=(4, -3, 2))


def matrix_of(linear, translation=(4.0, -6.0, 3.0)):
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = linear, translation
    return matrix


def prepared(matrix, moving_grid=MOVING_GRID, fixed_grid=None):
    fixed_grid = fixed_grid or knees.centered_grid()
    back = np.linalg.inv(matrix)
    fixed, moving = knees.make_pair(fixed_grid, moving_grid, lambda y: transform_points(back, y))
    return prepare_pair(fixed, moving, PreprocessConfig(), "cpu")


def error_mm(found, expected):
    """Largest distance between two transforms within 25 mm of the origin."""
    points = 25 * np.array([[a, b, c] for a in (-1, 1) for b in (-1, 1) for c in (-1, 1)]) / np.sqrt(3)
    return np.linalg.norm(transform_points(found, points) - transform_points(expected, points), axis=1).max()


@pytest.mark.parametrize("model", LINEAR)
def test_recovers_a_known_transform_between_different_grids(model):
    expected = matrix_of(LINEAR[model])
    found = affine_opt(prepared(expected), AffineConfig(model=model, levels=(4, 2, 1), iterations=30))
    assert error_mm(found, expected) < 0.2  # a tenth of a voxel


def test_a_rigid_model_stays_rigid():
    found = affine_opt(prepared(matrix_of(LINEAR["affine"])), AffineConfig(model="rigid", levels=(4, 2), iterations=10))
    np.testing.assert_allclose(found[:3, :3] @ found[:3, :3].T, np.eye(3), atol=1e-5)


def test_identical_images_stay_where_they_are():
    grid = knees.centered_grid()
    found = affine_opt(prepared(np.eye(4), moving_grid=grid, fixed_grid=grid), CONFIG)
    assert error_mm(found, np.eye(4)) < 0.02


def test_a_shift_of_most_of_the_image_is_found_by_the_automatic_start():
    expected = matrix_of(np.eye(3), (45.0, 10.0, -30.0))
    moving_grid = knees.centered_grid((40, 36, 32), (2.0, 2.1, 2.2), center=(45.0, 10.0, -30.0))
    assert error_mm(affine_opt(prepared(expected, moving_grid=moving_grid), CONFIG), expected) < 0.3


def test_a_given_start_is_used():
    expected = matrix_of(Rotation.from_euler("x", 120, degrees=True).as_matrix(), (0, 0, 0))
    start = matrix_of(Rotation.from_euler("x", 110, degrees=True).as_matrix(), (2, 0, 0))
    pair = prepared(expected)
    assert error_mm(affine_opt(pair, CONFIG, initial_ras=start), expected) < 0.2
    assert error_mm(affine_opt(pair, CONFIG), expected) > 5  # too far for it without


def test_masked_out_content_has_no_influence():
    expected = matrix_of(LINEAR["rigid"])
    back = np.linalg.inv(expected)
    grid = knees.centered_grid()
    fixed, moving = knees.make_pair(grid, MOVING_GRID, lambda y: transform_points(back, y))
    spoilt = fixed.array.copy()
    spoilt[:, :, 20:] = 5 * np.random.default_rng(0).random(spoilt[:, :, 20:].shape)
    mask = np.zeros(grid.shape, dtype=np.uint8)
    mask[:, :, :19] = 1
    config = RegistrationConfig()
    without = prepare_pair(Image(spoilt, grid), moving, config.preprocess, "cpu")
    masked = prepare_pair(Image(spoilt, grid), moving, config.preprocess, "cpu", fixed_mask=Image(mask, grid))
    rigid = AffineConfig(model="rigid", similarity=SimilarityConfig("ncc"), levels=(2, 1), iterations=30)
    assert error_mm(affine_opt(masked, rigid), expected) < 0.5
    assert error_mm(affine_opt(without, rigid), expected) > 1


def test_zero_iterations_return_the_start():
    start = matrix_of(LINEAR["rigid"])
    found = affine_opt(prepared(np.eye(4)), AffineConfig(levels=(1,), iterations=0), initial_ras=start)
    np.testing.assert_allclose(found, start, atol=1e-4)


def test_images_that_never_meet_are_refused():
    apart = matrix_of(np.eye(3), (1000, 0, 0))
    with pytest.raises(InputError, match="do not overlap under any starting transform"):
        affine_opt(prepared(np.eye(4)), CONFIG, initial_ras=apart)


def test_starts_are_named():
    pair = prepared(matrix_of(np.eye(3), (10.0, 0, 0)))
    np.testing.assert_array_equal(initial_transforms(pair, "identity")[0], np.eye(4))
    np.testing.assert_allclose(initial_transforms(pair, "center")[0][:3, 3], (4, -3, 2), atol=1e-6)
    assert len(initial_transforms(pair, "moments")) == 1
    expected = initial_transforms(pair, "center") + initial_transforms(pair, "moments")
    automatic = initial_transforms(pair, "auto")
    np.testing.assert_array_equal(automatic[0], np.eye(4))
    for start in automatic[1:]:  # those further than a millimetre from each other
        assert any(np.array_equal(start, other) for other in expected)


@pytest.mark.parametrize(("model", "count"), [("rigid", 3), ("similarity", 4), ("affine", 9)])
def test_models_have_their_degrees_of_freedom(model, count):
    basis = model_basis(model)
    assert basis.shape == (count, 3, 3)
    assert np.linalg.matrix_rank(basis.reshape(count, 9).numpy()) == count


def test_cancel_is_obeyed_within_a_level():
    calls = []

    def cancelled():
        calls.append(1)
        return len(calls) > 5

    with pytest.raises(RegistrationCancelled, match="cancelled during affine"):
        affine_opt(prepared(np.eye(4)), CONFIG, reporter=Reporter("affine", cancelled=cancelled))
    assert len(calls) == 6


def test_center_of_mass_of_a_single_voxel_is_its_position():
    values = torch.zeros(1, 1, *MOVING_GRID.shape)
    values[0, 0, 5, 7, 11] = 2.0
    expected = transform_points(MOVING_GRID.ijk_to_ras, (11, 7, 5))
    np.testing.assert_allclose(center_of_mass(values, MOVING_GRID.ijk_to_ras), expected)
