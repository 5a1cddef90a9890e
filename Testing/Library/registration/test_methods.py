"""Methods avsm and avsm-affine: predicted by the networks, judged by the energy, refined."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from JointRegistrationLib.core.config import (
    AffineConfig,
    NetworkConfig,
    PreprocessConfig,
    RegistrationConfig,
    SimilarityConfig,
    VelocityConfig,
    VsvfConfig,
)
from JointRegistrationLib.core.errors import CheckpointError, InputError, RegistrationCancelled
from JointRegistrationLib.core.geometry import FloatArray, Grid, transform_points
from JointRegistrationLib.core.image import Image
from JointRegistrationLib.core.lattices.working_grid import momentum_grid
from JointRegistrationLib.core.progress import ProgressCallback, Reporter
from JointRegistrationLib.core.result import RegistrationResult
from JointRegistrationLib.networks import predict, weights
from JointRegistrationLib.networks import side as side_network
from JointRegistrationLib.ops import maps
from JointRegistrationLib.ops.integrate import exponential
from JointRegistrationLib.ops.similarity.image_pair import Dissimilarity, ImagePair
from JointRegistrationLib.phantom import KneePair, make_pair, working_grid
from JointRegistrationLib.registration.local_map import Estimate, LocalMap, composed, no_deformation
from JointRegistrationLib.registration.methods import networks as prediction
from JointRegistrationLib.registration.methods.affine import affine_opt
from JointRegistrationLib.registration.methods.dispatch import estimate
from JointRegistrationLib.registration.methods.momentum import optimize_momentum
from JointRegistrationLib.registration.register import prepare_pair, register
from Testing.Support import knees
from Testing.Support.grids import remarks, smooth_random

GRID = working_grid().resized((48, 48, 40))  # 2.9 mm
AVSM = RegistrationConfig(method="avsm", network=NetworkConfig(side="right", refine=0))
AFFINE = RegistrationConfig(method="avsm-affine", network=NetworkConfig(side="right"))
REFINED = RegistrationConfig(method="avsm", network=NetworkConfig(side="right", refine=8))
STRUCTURES = {1: "femur", 2: "femoral cartilage", 3: "tibia", 4: "tibial cartilage"}
MIRROR = np.diag([-1.0, 1.0, 1.0, 1.0])


@pytest.fixture(scope="module")
def phantom() -> KneePair:
    """One knee and the same under an affine and a deformation: points move by 12 mm on average."""
    return make_pair(3, GRID)


@pytest.fixture(scope="module")
def images(phantom: KneePair) -> tuple[Image, Image]:
    return phantom.fixed.image, phantom.moving.image


@pytest.fixture(scope="module")
def result(images: tuple[Image, Image]) -> RegistrationResult:
    return register(*images, AVSM)


@pytest.fixture(scope="module")
def affine_result(images: tuple[Image, Image]) -> RegistrationResult:
    return register(*images, AFFINE)


@pytest.fixture(scope="module")
def refined_progress() -> list[tuple[str, float, float | None]]:
    return []


@pytest.fixture(scope="module")
def refined(images: tuple[Image, Image], refined_progress: list[tuple[str, float, float | None]]) -> RegistrationResult:
    return register(*images, REFINED, lambda *seen: refined_progress.append(seen))


@pytest.fixture(scope="module")
def blobs() -> tuple[Image, Image]:
    """Images that are no knees, a shift apart."""
    fixed_grid = knees.centered_grid((32, 32, 32), (2.0, 2.0, 2.2))
    moving_grid = knees.centered_grid((32, 32, 32), (2.2, 1.9, 2.0))
    return knees.make_pair(fixed_grid, moving_grid, lambda y: y + np.array([4.0, 2.0, 0.0]))


def turned(image: Image, matrix: FloatArray) -> Image:
    """The same voxels elsewhere in space."""
    return Image(image.array, Grid.from_ijk_to_ras(image.grid.size_ijk, matrix @ image.grid.ijk_to_ras), image.name)


def dice(phantom: KneePair, result: RegistrationResult | None) -> dict[str, float]:
    """Of each structure, after the registration, or where the images lie."""
    fixed, moving = phantom.fixed.labels, phantom.moving.labels
    map_ras = maps.identity(fixed.grid)
    if result is not None:
        map_ras = map_ras + torch.from_numpy(result.displacement_field_mm).movedim(-1, 0)[None]
    warped = maps.warp_labels(torch.from_numpy(moving.array)[None, None], moving.grid, map_ras)[0, 0].numpy()
    return {
        name: 2
        * float(((fixed.array == n) & (warped == n)).sum())
        / float((fixed.array == n).sum() + (warped == n).sum())
        for n, name in STRUCTURES.items()
    }


def solve(pair: ImagePair, config: RegistrationConfig, start: FloatArray | None = None) -> Estimate:
    return estimate(pair, config, start, Reporter(), lambda _stage: None)


def dissimilarity(pair: ImagePair, affine_ras: FloatArray, local: LocalMap, similarity: SimilarityConfig) -> float:
    """Of the images under A o psi, psi evaluated at every voxel."""
    points = maps.identity(pair.fixed_grid)
    psi = points + maps.sample(local.forward_mm, local.grid, points, outside=None)
    return float(Dissimilarity(pair, similarity)(maps.apply_matrix(affine_ras, psi)))


# -- what the networks predict ------------------------------------------------------------------------------


def test_prediction_brings_the_structures_of_a_knee_together(phantom: KneePair, result: RegistrationResult) -> None:
    before, after = dice(phantom, None), dice(phantom, result)
    assert result.similarity_before < 0.6
    assert result.similarity_after > 0.85
    assert remarks(result) == ()
    for bone in ("femur", "tibia"):
        assert after[bone] > 0.9 > before[bone]
    for cartilage in ("femoral cartilage", "tibial cartilage"):
        assert after[cartilage] > before[cartilage] + 0.3


def test_prediction_finds_most_of_the_known_map(phantom: KneePair, result: RegistrationResult) -> None:
    knee = phantom.fixed.labels.array > 0
    true = phantom.displacement_field_mm[knee]
    error = np.linalg.norm(result.displacement_field_mm[knee] - true, axis=-1)
    assert error.mean() < 0.3 * np.linalg.norm(true, axis=-1).mean()


@pytest.mark.parametrize("name", ["result", "refined"])
def test_maps_have_no_folds_and_an_inverse(name: str, request: pytest.FixtureRequest) -> None:
    found: RegistrationResult = request.getfixturevalue(name)
    assert found.folds.count == 0
    assert found.jacobian_determinant.min() > 0
    assert found.inverse_error_mean_mm < 0.1 * min(GRID.spacing_mm)


def test_affine_prediction_is_a_linear_map(result: RegistrationResult, affine_result: RegistrationResult) -> None:
    x = knees.lattice_ras(GRID)
    moved = transform_points(affine_result.affine_ras, x)
    np.testing.assert_allclose(x + affine_result.displacement_field_mm, moved, atol=1e-3)
    np.testing.assert_array_equal(affine_result.affine_ras, result.affine_ras)
    assert affine_result.similarity_before < affine_result.similarity_after < result.similarity_after
    assert remarks(affine_result) == ()


def test_a_working_grid_coarser_than_the_images_still_gives_native_fields(images: tuple[Image, Image]) -> None:
    coarse = dataclasses.replace(REFINED, preprocess=PreprocessConfig(max_working_voxels=20_000))
    found = register(*images, coarse)
    assert found.displacement_field_mm.shape == (*GRID.shape, 3)
    assert found.folds.count == 0
    assert found.similarity_after > 0.85


def test_a_left_knee_fares_exactly_as_its_mirror_image(
    phantom: KneePair, images: tuple[Image, Image], result: RegistrationResult
) -> None:
    fixed, moving = (turned(image, MIRROR) for image in images)
    left = register(fixed, moving, RegistrationConfig(method="avsm", network=NetworkConfig(side="left", refine=0)))
    mirrored_back = left.displacement_field_mm * np.array([-1, 1, 1], np.float32)
    np.testing.assert_allclose(mirrored_back, result.displacement_field_mm, atol=0.02)
    np.testing.assert_allclose(MIRROR @ left.affine_ras @ MIRROR, result.affine_ras, atol=1e-3)
    assert left.similarity_after == pytest.approx(result.similarity_after, abs=1e-3)
    assert left.folds.count == 0


# -- judged by the energy -----------------------------------------------------------------------------------


@pytest.mark.parametrize("config", [AVSM, AFFINE], ids=["avsm", "avsm-affine"])
def test_images_that_are_no_knees_are_handed_over_to_optimisation(
    config: RegistrationConfig, blobs: tuple[Image, Image]
) -> None:
    found = register(*blobs, config)
    expected = affine_opt(prepare_pair(*blobs, config.preprocess, torch.device("cpu")), config.affine)
    np.testing.assert_array_equal(found.affine_ras, expected)
    assert found.similarity_before < found.similarity_after
    assert found.similarity_after > 0.99
    assert len(remarks(found)) == 1
    assert "the affine transform was found by optimisation" in remarks(found)[0]


def test_an_affine_transform_is_judged_together_with_its_deformation(
    images: tuple[Image, Image], result: RegistrationResult, spoil: Callable[..., None]
) -> None:
    """Alone this one takes the images further apart; with the deformation, it is the prediction."""
    shift = np.eye(4)
    shift[:3, 3] = (25.0, 0.0, 0.0)
    back = torch.tensor([-25.0, 0.0, 0.0]).view(1, 3, 1, 1, 1)
    spoil(
        affine_ras=lambda found: found.affine_ras @ shift,
        psi_mm=lambda found: found.psi_mm + back,
        inverse_psi_mm=lambda found: found.inverse_psi_mm - back,
    )
    found = register(*images, AVSM)
    assert remarks(found) == ()
    np.testing.assert_allclose(found.displacement_field_mm, result.displacement_field_mm, atol=1e-3)
    assert remarks(register(*images, AFFINE)) != ()


@pytest.fixture
def spoil(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Replace parts of the networks' prediction."""

    def replace(**make: Callable[[predict.Prediction], object]) -> None:
        original = predict.predict

        def spoilt(*args: object, **kwargs: object) -> predict.Prediction:
            found = original(*args, **kwargs)  # type: ignore[arg-type]
            return dataclasses.replace(found, **{name: of(found) for name, of in make.items()})

        monkeypatch.setattr(prediction, "predict", spoilt)

    return replace


def test_a_deformation_that_does_harm_is_left_out(
    images: tuple[Image, Image], affine_result: RegistrationResult, spoil: Callable[..., None]
) -> None:
    spoil(psi_mm=lambda found: torch.full_like(found.psi_mm, 8.0))
    found = register(*images, AVSM)
    np.testing.assert_array_equal(found.displacement_field_mm, affine_result.displacement_field_mm)
    assert remarks(found) == ("The network's deformation did not make the images more alike, so it was left out.",)


@pytest.mark.parametrize("value", [np.nan, 300.0])
def test_an_affine_transform_that_leads_nowhere_is_handed_over(
    value: float, images: tuple[Image, Image], spoil: Callable[..., None]
) -> None:
    spoil(affine_ras=lambda _found: np.array([[1, 0, 0, value], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]))
    found = register(*images, AFFINE)
    assert "found by optimisation" in remarks(found)[0]
    assert found.similarity_after > 0.85


def test_the_networks_begin_from_a_given_start_too(images: tuple[Image, Image]) -> None:
    """A moving image whose header has it back to front, which no network has seen."""
    matrix = np.array([[-1.0, 0, 0, 5], [0, -1.0, 0, -3], [0, 0, 1.0, 4], [0, 0, 0, 1]])
    fixed, moving = images[0], turned(images[1], matrix)
    without = register(fixed, moving, AFFINE)
    given = register(fixed, moving, AFFINE, initial_affine_ras=matrix)
    assert without.similarity_after < 0.5
    assert given.similarity_after > 0.85
    assert remarks(given) == ()
    assert np.diag(given.affine_ras)[:2].max() < -0.8


def test_a_poor_start_is_not_used_and_the_result_says_so(
    images: tuple[Image, Image], affine_result: RegistrationResult
) -> None:
    start = np.eye(4)
    start[:3, 3] = (0.0, 40.0, 30.0)
    found = register(*images, AFFINE, initial_affine_ras=start)
    np.testing.assert_allclose(found.affine_ras, affine_result.affine_ras, atol=1e-6)
    assert len(remarks(found)) == 1
    assert "without the starting transform" in remarks(found)[0]


def test_masks_count_in_the_judgement(images: tuple[Image, Image], spoil: Callable[..., None]) -> None:
    """A deformation that spoils only what the mask leaves out is kept."""
    lower = np.zeros(GRID.shape, dtype=np.uint8)
    lower[:, -(GRID.shape[1] // 3) :] = 1  # rows run downwards
    upper_mm = 12.0 * torch.sigmoid((maps.identity(GRID)[:, 2:] - 10) / 3)

    def spoilt(found: predict.Prediction) -> torch.Tensor:
        wave = maps.resample_displacement(upper_mm.expand(-1, 3, -1, -1, -1), GRID, found.grid)
        return found.psi_mm + wave

    spoil(psi_mm=spoilt)
    assert "left out" in remarks(register(*images, AVSM))[0]
    kept = register(*images, AVSM, fixed_mask=Image(lower, GRID, "mask"))
    assert not any("left out" in note for note in kept.notes)


# -- left or right ------------------------------------------------------------------------------------------


def test_a_side_that_nobody_knows_is_tried_both_ways(
    images: tuple[Image, Image], affine_result: RegistrationResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(side_network, "detect_side", lambda *_: side_network.SideGuess("left", 0.0))
    found = register(*images, RegistrationConfig(method="avsm-affine"))
    np.testing.assert_array_equal(found.affine_ras, affine_result.affine_ras)
    assert len(remarks(found)) == 1
    assert "as right knees the images became more alike" in remarks(found)[0]


def test_the_side_is_found_and_a_left_knee_on_a_right_one_refused(
    images: tuple[Image, Image], result: RegistrationResult
) -> None:
    auto = RegistrationConfig(network=NetworkConfig(refine=0))
    left = tuple(turned(image, MIRROR) for image in images)
    found = register(*left, auto)
    assert remarks(found) == ()
    assert found.similarity_after == pytest.approx(result.similarity_after, abs=1e-3)
    for config in (auto, RegistrationConfig(method="vsvf-opt")):
        with pytest.raises(InputError, match="shows a right knee and the moving image a left one"):
            register(images[0], left[1], config)


# -- refined ------------------------------------------------------------------------------------------------


def test_refinement_lowers_the_dissimilarity_of_the_prediction(
    images: tuple[Image, Image], result: RegistrationResult, refined: RegistrationResult
) -> None:
    pair = prepare_pair(*images, AVSM.preprocess, torch.device("cpu"))
    before, after = (
        float(
            Dissimilarity(pair, SimilarityConfig("lncc"))(
                maps.identity(GRID) + torch.from_numpy(one.displacement_field_mm).movedim(-1, 0)[None]
            )
        )
        for one in (result, refined)
    )
    np.testing.assert_array_equal(refined.affine_ras, result.affine_ras)
    assert after < 0.8 * before


def test_refinement_brings_the_images_and_structures_closer(
    phantom: KneePair, result: RegistrationResult, refined: RegistrationResult
) -> None:
    assert refined.similarity_after > result.similarity_after + 0.02
    assert sum(dice(phantom, refined).values()) > sum(dice(phantom, result).values())
    assert set(refined.timings_s) == {"preparing", "network", "refining", "finishing", "total"}
    assert set(result.timings_s) == {"preparing", "network", "finishing", "total"}


def test_refinement_also_follows_a_hand_over(blobs: tuple[Image, Image]) -> None:
    pair = prepare_pair(*blobs, AVSM.preprocess, torch.device("cpu"))
    handed_over, found = solve(pair, AVSM), solve(pair, REFINED)
    assert "affine transform and deformation were found by optimisation" in remarks(found)[0]
    similarity = SimilarityConfig("lncc")
    assert found.local.forward_mm.abs().max() > 0
    before = dissimilarity(pair, handed_over.affine_ras, handed_over.local, similarity)
    assert before < 1e-3  # the affine left next to nothing to find
    assert dissimilarity(pair, found.affine_ras, found.local, similarity) < before + 1e-4


# -- progress, cancel, weights ------------------------------------------------------------------------------


def test_progress_rises_through_network_and_refinement(
    refined: RegistrationResult, refined_progress: list[tuple[str, float, float | None]]
) -> None:
    fractions = [fraction for _, fraction, _ in refined_progress]
    assert fractions == sorted(fractions)
    assert (fractions[0], fractions[-1]) == (0.0, 1.0)
    stages = dict.fromkeys(stage for stage, _, _ in refined_progress)
    assert list(stages) == ["preparing", "network", "refining", "finishing"]
    assert any(loss is not None for stage, _, loss in refined_progress if stage == "refining")


@pytest.mark.parametrize("stage", ["network", "refining"])
def test_cancel_is_obeyed(stage: str, images: tuple[Image, Image]) -> None:
    seen: list[str] = []
    progress: ProgressCallback = lambda name, *_: seen.append(name)  # noqa: E731
    with pytest.raises(RegistrationCancelled, match=f"during {stage}"):
        register(*images, REFINED, progress, lambda: stage in seen)
    assert seen[-1] == stage


def test_refining_the_affine_too_changes_it_and_lowers_the_dissimilarity(
    images: tuple[Image, Image], result: RegistrationResult, refined: RegistrationResult
) -> None:
    network = dataclasses.replace(REFINED.network, refine_affine=True)
    found = register(*images, dataclasses.replace(REFINED, network=network))
    assert np.abs(found.affine_ras - result.affine_ras).max() > 0.01
    assert found.folds.count == 0
    assert found.similarity_after > refined.similarity_after - 0.01


@pytest.mark.parametrize(("method", "instead"), [("avsm", "vsvf-opt"), ("avsm-affine", "affine-opt")])
def test_without_weights_the_optimisers_do_the_work_and_the_result_says_so(
    method: str, instead: str, blobs: tuple[Image, Image], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "DEFAULT_WEIGHTS", tmp_path / "none.safetensors")
    brief = RegistrationConfig(
        affine=AffineConfig(levels=(4,), iterations=3), vsvf=VsvfConfig(levels=(4,), iterations=2)
    )
    found = register(*blobs, dataclasses.replace(brief, method=method))
    expected = register(*blobs, dataclasses.replace(brief, method=instead))
    np.testing.assert_array_equal(found.displacement_field_mm, expected.displacement_field_mm)
    assert set(found.timings_s) == set(expected.timings_s)
    assert len(remarks(found)) == 1
    assert f"{instead} was run instead of {method}" in remarks(found)[0]
    assert "none.safetensors" in remarks(found)[0]


@pytest.mark.parametrize("method", ["avsm", "avsm-affine"])
def test_without_weights_and_fallback_the_error_says_so(
    method: str, blobs: tuple[Image, Image], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "DEFAULT_WEIGHTS", tmp_path / "none.safetensors")
    with pytest.raises(CheckpointError, match=r"none\.safetensors: there is no such weights file"):
        register(*blobs, RegistrationConfig(method=method, network=NetworkConfig(fallback=False)))


# -- one deformation after another --------------------------------------------------------------------------

BEFORE_GRID = knees.centered_grid((22, 20, 24), (2.0, 2.2, 1.8), [[0, -1, 0], [1, 0, 0], [0, 0, 1]])
AFTER_GRID = knees.centered_grid((24, 24, 22), (1.8, 1.8, 2.0))


def flow(grid: Grid, seed: int) -> LocalMap:
    """Both directions of a smooth random flow of up to about 4 mm that rests at the border."""
    points = maps.identity(grid, dtype=torch.float64)
    velocity = 1.5 * smooth_random((1, 3, *grid.shape), seed, passes=20)
    velocity = velocity * torch.exp(-((points.norm(dim=1, keepdim=True) / 14) ** 4))
    forward, backward = (exponential(sign * velocity, grid, method="rk4", steps=20) for sign in (1, -1))
    return LocalMap(forward, backward, grid)


def test_composed_maps_are_the_composition_of_points_and_its_inverse() -> None:
    before, after = flow(BEFORE_GRID, 1), flow(AFTER_GRID, 2)
    both = composed(before, after)
    assert both.grid is AFTER_GRID
    inner = maps.from_displacement(after.forward_mm, AFTER_GRID)
    outer = maps.from_displacement(before.forward_mm, BEFORE_GRID)
    expected = maps.compose(outer, BEFORE_GRID, inner)
    there = maps.from_displacement(both.forward_mm, AFTER_GRID)
    torch.testing.assert_close(there, expected, atol=1e-9, rtol=0)
    assert both.forward_mm.norm(dim=1).max() > 2.0

    identity = maps.identity(AFTER_GRID, dtype=torch.float64)
    back_and_forth = (
        maps.compose_displacement(both.inverse_mm, AFTER_GRID, there),
        maps.compose_displacement(both.forward_mm, AFTER_GRID, maps.from_displacement(both.inverse_mm, AFTER_GRID)),
    )
    for round_trip in back_and_forth:
        error = (round_trip - identity).norm(dim=1)
        assert error.mean() < 0.02
        assert error.max() < 0.3


def test_composed_with_no_deformation_is_the_other_one(blobs: tuple[Image, Image]) -> None:
    after = flow(AFTER_GRID, 2)
    pair = ImagePair(torch.zeros(1, 1, *AFTER_GRID.shape, dtype=torch.float64), AFTER_GRID, torch.empty(0), AFTER_GRID)
    both = composed(no_deformation(pair), after)
    torch.testing.assert_close(both.forward_mm, after.forward_mm)
    torch.testing.assert_close(both.inverse_mm, after.inverse_mm)


def test_optimisation_goes_on_from_the_deformation_before_it() -> None:
    """moving(y) = fixed(T^-1 y): with T given as the deformation before, little is left to find."""
    grid = knees.centered_grid((24, 24, 24), (2.4, 2.4, 2.4))
    true = LocalMap(*(3 * torch.sin(maps.identity(grid).roll(1, 1) / 16) * sign for sign in (1.0, -1.0)), grid)
    inverse = maps.inverse(true.forward_mm, grid, grid, iterations=50)
    back = inverse.map_ras[0].movedim(0, -1).numpy()
    fixed, moving = knees.make_pair(grid, grid, lambda _lattice: back)
    pair = prepare_pair(fixed, moving, AVSM.preprocess, torch.device("cpu"))
    velocity = VelocityConfig(sigmas_mm=(5.0, 10.0), weights=(0.5, 0.5))
    config = VsvfConfig(SimilarityConfig("ncc"), velocity, regularity=1.0, levels=(1,), iterations=3)

    def first_loss_and_momentum(before: LocalMap | None) -> tuple[float, float]:
        losses: list[float] = []
        reporter = Reporter(progress=lambda _stage, _fraction, loss: losses.append(loss or 0.0))
        momentum, found_grid = optimize_momentum(pair, np.eye(4), config, reporter, before=before)
        assert found_grid.is_close(momentum_grid(grid))
        return losses[0], float(momentum.norm())

    loss, momentum = first_loss_and_momentum(true)
    loss_without, momentum_without = first_loss_and_momentum(None)
    # sampled by splines there, linearly here, which blurs
    assert loss <= dissimilarity(pair, np.eye(4), true, config.similarity)
    assert loss < 0.1 * loss_without
    assert momentum < 0.3 * momentum_without
