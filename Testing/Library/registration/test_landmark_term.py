"""Landmark pairs as a soft term: its value, which pairs count, and that they guide the deformation."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from JointRegistrationLib.core.config import (
    KernelConfig,
    LandmarkConfig,
    LddmmConfig,
    RegistrationConfig,
    SimilarityConfig,
    VelocityConfig,
    VsvfConfig,
)
from JointRegistrationLib.core.errors import ConfigError
from JointRegistrationLib.core.image import LandmarkPairs
from JointRegistrationLib.ops.similarity.image_pair import ImagePair
from JointRegistrationLib.registration.landmarks import landmark_term
from JointRegistrationLib.registration.methods.networks import _Judgement
from JointRegistrationLib.registration.register import register
from Testing.Support import knees

GRID = knees.centered_grid((16, 18, 14), (3.0, 3.0, 3.5))
LIKE = torch.zeros(1)
POINTS = np.array([[0.0, 2, 1], [8, -6, 4], [-7, 5, -9]])
OFF = np.array([[1.0, 2, -2], [0, 0, 0.5], [0, 12, 0]])  # 3, 0.5 and 12 mm
KERNEL = {"sigmas_mm": (6.0, 12.0), "weights": (0.5, 0.5)}
SIMILARITY = SimilarityConfig("lncc", 5)
CONFIG = RegistrationConfig(
    method="vsvf-opt",
    check_side=False,
    landmarks=LandmarkConfig(weight=1.0, tolerance_mm=0.0, start=False),
    affine=dataclasses.replace(RegistrationConfig().affine, iterations=0, initialization="identity", levels=(2,)),
    vsvf=VsvfConfig(
        SIMILARITY, VelocityConfig(**KERNEL, integrator="rk4", steps=4), regularity=0.1, levels=(2,), iterations=12
    ),
    lddmm=LddmmConfig(SIMILARITY, KernelConfig(**KERNEL), regularity=0.1, levels=(2,), iterations=12),
)


@pytest.mark.parametrize(("tolerance", "robust"), [(0.0, 3.0), (1.0, 2.0), (0.0, 1000.0)])
def test_the_term_is_the_mean_pseudo_huber_loss_of_what_exceeds_the_tolerance(tolerance, robust):
    config = LandmarkConfig(weight=0.7, tolerance_mm=tolerance, robust_mm=robust)
    term, notes = landmark_term(LandmarkPairs(POINTS, POINTS + OFF), config, GRID, GRID, LIKE)
    excess = np.maximum(np.array([3, 0.5, 12]) - tolerance, 0)
    expected = 0.7 * np.mean(2 * robust**2 * (np.sqrt(1 + excess**2 / robust**2) - 1))
    assert float(term(lambda points: points)) == pytest.approx(expected, rel=1e-3)
    assert notes == ()


def test_pairs_that_agree_have_a_finite_derivative():
    term, _ = landmark_term(LandmarkPairs(POINTS, POINTS), CONFIG.landmarks, GRID, GRID, LIKE)
    shift = torch.zeros(1, 3, 1, 1, 1, requires_grad=True)
    term(lambda points: points + shift).backward()
    assert shift.grad.abs().max() == 0


def test_pairs_outside_either_image_are_left_out_by_name():
    fixed = np.vstack([POINTS[:2], [[500, 0, 0]]])
    moving = np.vstack([POINTS[:1] + OFF[:1], [[0, 0, 400]], [[0, 0, 0]]])
    names = ("notch", "apex", "far")
    term, notes = landmark_term(LandmarkPairs(fixed, moving, names), CONFIG.landmarks, GRID, GRID, LIKE)
    assert term.fixed_ras.shape == (1, 3, 1, 1, 1)
    assert notes == ("Landmark pairs apex, far lie outside the images and did not guide the deformation.",)
    term, notes = landmark_term(LandmarkPairs(fixed[2:], moving[2:]), CONFIG.landmarks, GRID, GRID, LIKE)
    assert term is None and notes[0].startswith("Landmark pair 1 lies")


def test_no_pairs_or_no_weight_is_no_term():
    pairs = LandmarkPairs(POINTS, POINTS)
    assert landmark_term(None, CONFIG.landmarks, GRID, GRID, LIKE) == (None, ())
    assert landmark_term(pairs, LandmarkConfig(weight=0), GRID, GRID, LIKE) == (None, ())


@pytest.mark.parametrize("setting", [{"weight": -1.0}, {"tolerance_mm": -0.1}, {"robust_mm": 0.0}])
def test_settings_out_of_range_are_refused(setting):
    with pytest.raises(ConfigError, match=f"landmarks.{next(iter(setting))}"):
        LandmarkConfig(**setting)


@pytest.mark.parametrize("method", ["vsvf-opt", "lddmm-opt"])
def test_pairs_guide_the_map_where_the_images_are_content(method):
    image, _ = knees.make_pair(GRID, GRID, lambda y: y)
    pairs = LandmarkPairs(POINTS, POINTS + np.array([0.0, 3.0, 0.0]), ("a", "b", "c"))
    config = dataclasses.replace(CONFIG, method=method)
    guided = register(image, image, config, landmarks=pairs)
    errors = guided.landmark_errors_mm
    assert errors.names == ("a", "b", "c")
    assert errors.before_mm == pytest.approx((3, 3, 3))
    assert max(errors.after_mm) < 1.0
    assert guided.folds.count == 0
    free = register(
        image, image, dataclasses.replace(config, landmarks=LandmarkConfig(weight=0, start=False)), landmarks=pairs
    )
    assert min(free.landmark_errors_mm.after_mm) > 2.9, "without weight they are only measured"
    assert free.summary()["landmarks"]["tre_before_mean_mm"] == pytest.approx(3)


def test_one_pair_will_do_where_it_is_not_the_start():
    image, _ = knees.make_pair(GRID, GRID, lambda y: y)
    one = LandmarkPairs(POINTS[:1], POINTS[:1] + 2.0)
    quick = dataclasses.replace(CONFIG, vsvf=dataclasses.replace(CONFIG.vsvf, iterations=2))
    assert register(image, image, quick, landmarks=one).landmark_errors_mm.after_mm[0] < np.sqrt(12)


def test_predictions_are_judged_by_images_and_pairs():
    image, _ = knees.make_pair(GRID, GRID, lambda y: y)
    values = torch.from_numpy(image.array)[None, None]
    pair = ImagePair(values, GRID, values, GRID)
    term, _ = landmark_term(LandmarkPairs(POINTS, POINTS + OFF), CONFIG.landmarks, GRID, GRID, values)
    shifted = np.eye(4)
    shifted[:3, 3] = (0, 1, 0)
    for affine in (np.eye(4), shifted):
        without, with_pairs = (_Judgement(pair, CONFIG.vsvf.similarity, given)(affine) for given in (None, term))
        offset = torch.as_tensor(affine[:3, 3]).float().view(1, 3, 1, 1, 1)
        assert with_pairs - without == pytest.approx(float(term(lambda p, o=offset: p + o)), rel=1e-4)
