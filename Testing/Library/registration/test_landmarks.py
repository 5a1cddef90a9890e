"""The closed-form solution from landmark pairs."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from JointRegistrationLib.core.errors import ConfigError, InputError
from JointRegistrationLib.core.geometry import transform_points
from JointRegistrationLib.core.image import LandmarkPairs
from JointRegistrationLib.registration.landmarks import fit_transform, starting_transform

POINTS = np.random.default_rng(0).normal(scale=40, size=(8, 3))


def pairs_under(matrix, noise=0.0):
    moving = transform_points(matrix, POINTS)
    return LandmarkPairs(POINTS, moving + np.random.default_rng(1).normal(scale=noise, size=moving.shape))


def matrix_of(linear, translation=(3.0, -20.0, 8.0)):
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = linear, translation
    return matrix


ROTATION = Rotation.from_euler("xyz", [20, -35, 110], degrees=True).as_matrix()
EXACT = {
    "rigid": matrix_of(ROTATION),
    "similarity": matrix_of(1.3 * ROTATION),
    "affine": matrix_of(ROTATION @ np.array([[1.1, 0.2, 0], [0, 0.9, -0.1], [0.05, 0, 1.2]])),
}


@pytest.mark.parametrize("model", EXACT)
def test_recovers_an_exact_transform(model):
    np.testing.assert_allclose(fit_transform(pairs_under(EXACT[model]), model), EXACT[model], atol=1e-9)


def test_rigid_fit_of_noisy_points_equals_scipys():
    pairs = pairs_under(EXACT["rigid"], noise=2.0)
    fixed, moving = (p - p.mean(axis=0) for p in (pairs.fixed_ras, pairs.moving_ras))
    expected, _ = Rotation.align_vectors(moving, fixed)
    np.testing.assert_allclose(fit_transform(pairs, "rigid")[:3, :3], expected.as_matrix(), atol=1e-7)


def test_mirrored_points_still_give_a_proper_rotation():
    pairs = LandmarkPairs(POINTS, POINTS * [-1, 1, 1])
    assert np.linalg.det(fit_transform(pairs, "rigid")[:3, :3]) == pytest.approx(1.0)


def test_too_few_pairs_are_refused_with_the_number_needed():
    with pytest.raises(InputError, match="3 pairs were given, but a affine transform needs at least 4"):
        fit_transform(LandmarkPairs(POINTS[:3], POINTS[:3]), "affine")


def test_points_on_a_line_are_refused():
    line = np.outer(np.arange(5.0), [1, 2, 3])
    with pytest.raises(InputError, match="on one line"):
        fit_transform(LandmarkPairs(line, line), "rigid")


def test_points_in_a_plane_do_not_determine_an_affine_transform():
    plane = POINTS * [1, 1, 0]
    with pytest.raises(InputError, match="in one plane"):
        fit_transform(LandmarkPairs(plane, plane), "affine")


def spread(*deviationsMm, count=8):
    """Points with these standard deviations along three oblique axes, each off by about a millimetre from its pair."""
    rng = np.random.default_rng(3)
    points = rng.normal(size=(count, 3))
    points -= points.mean(axis=0)
    u, _, vt = np.linalg.svd(points, full_matrices=False)
    fixed = (u @ vt) * np.sqrt(count) * deviationsMm @ ROTATION.T
    return LandmarkPairs(fixed, transform_points(EXACT["rigid"], fixed) + rng.normal(scale=1.0, size=(count, 3)))


@pytest.mark.parametrize(
    ("deviationsMm", "count", "expected"),
    [
        ((30, 20, 12), 8, "affine"),
        ((30, 20, 2), 8, "rigid"),  # near one plane
        ((30, 20, 12), 3, "rigid"),
        ((30, 2, 1), 8, "translation"),  # near one line
        ((30, 20, 12), 2, "translation"),
        ((30, 20, 12), 1, "translation"),
    ],
)
def test_a_start_is_the_largest_model_that_the_points_determine_well(deviationsMm, count, expected):
    eight = spread(*deviationsMm)
    pairs = LandmarkPairs(eight.fixed_ras[:count], eight.moving_ras[:count])
    start = starting_transform(pairs, "affine")
    if expected == "translation":
        np.testing.assert_allclose(start[:3, :3], np.eye(3))
        np.testing.assert_allclose(start[:3, 3], (pairs.moving_ras - pairs.fixed_ras).mean(axis=0))
    else:
        np.testing.assert_allclose(start, fit_transform(pairs, expected))


def test_clicks_near_one_plane_do_not_tilt_or_stretch_what_lies_off_it():
    pairs = spread(30, 20, 2)
    off = pairs.fixed_ras.mean(axis=0) + 50 * ROTATION[:, 2]
    errors = [
        np.linalg.norm(transform_points(matrix, off) - transform_points(EXACT["rigid"], off))
        for matrix in (starting_transform(pairs, "affine"), fit_transform(pairs, "affine"))
    ]
    assert errors[0] < 4 < errors[1]


def test_unknown_model_is_refused():
    with pytest.raises(ConfigError, match="choose one of rigid, similarity, affine"):
        fit_transform(LandmarkPairs(POINTS, POINTS), "projective")


@pytest.mark.parametrize(
    ("fixed", "moving", "message"),
    [
        (POINTS, POINTS[:5], "8 fixed points but 5 moving"),
        (POINTS[:, :2], POINTS, "must be"),
        (POINTS[:0], POINTS[:0], "n > 0"),
        (POINTS * np.nan, POINTS, "not finite"),
    ],
)
def test_unusable_points_are_refused(fixed, moving, message):
    with pytest.raises(InputError, match=message):
        LandmarkPairs(fixed, moving)
