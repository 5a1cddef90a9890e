"""Losses against naive loops, NumPy, the specification's figures and finite differences."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from JointRegistrationLib.core.config import SIMILARITIES, SimilarityConfig
from JointRegistrationLib.core.errors import ConfigError, GeometryError
from JointRegistrationLib.core.geometry import Grid
from JointRegistrationLib.ops import maps, regularity
from JointRegistrationLib.ops.separable import smoothing
from JointRegistrationLib.ops.separable.filters import window_matrix
from JointRegistrationLib.ops.similarity import measures
from Testing.Support.grids import GRIDS, smooth_random

SIMILARITY_FUNCTIONS = {
    "ncc": measures.ncc,
    "lncc": lambda x, y, weight=None: measures.lncc(x, y, 5, weight),
    "mk_lncc": measures.mk_lncc,
    "likelihood": lambda x, y, weight=None: measures.local_likelihood(x, y, 5, weight),
}

#: log((1 + 0.02) / 0.02) / 16
LIKELIHOOD_OF_EQUALS = 0.245739


def images(shape=(9, 11, 10), seed=0, num=1) -> tuple[torch.Tensor, torch.Tensor]:
    x = smooth_random((num, 1, *shape), seed)
    y = 0.6 * x + 0.8 * smooth_random((num, 1, *shape), seed + 1)
    return x, y


def naive_kappa(x, y, weight, size, *, dilation=1, squared):
    """The definition of kappa_s, window by window and voxel by voxel."""
    stride = max((size + 1) // 4, 1)
    starts = [range(0, n - dilation * (size - 1), stride) for n in x.shape]
    values = []
    for corner in itertools.product(*starts):
        window = tuple(slice(c, c + dilation * (size - 1) + 1, dilation) for c in corner)
        p, q, w = x[window], y[window], weight[window]
        if w.sum() < 0.1 * size**3:
            continue
        p, q = p - np.average(p, weights=w), q - np.average(q, weights=w)
        c, a, b = (w * p * q).sum(), (w * p * p).sum(), (w * q * q).sum()
        values.append(c**2 / (a * b + 1e-5) if squared else c / np.sqrt(a * b))
    return np.mean(values)


@pytest.mark.parametrize("name", SIMILARITY_FUNCTIONS)
def test_a_change_of_contrast_and_brightness_leaves_the_similarity_at_one(name):
    x, _ = images((20, 20, 20))
    most = LIKELIHOOD_OF_EQUALS if name == "likelihood" else 1
    assert SIMILARITY_FUNCTIONS[name](x, 3.7 * x + 12) == pytest.approx(most, abs=1e-6)
    assert SIMILARITY_FUNCTIONS[name](x.float(), 0.02 * x.float() + 0.5) == pytest.approx(most, abs=1e-4)


def test_inverted_contrast_is_minus_one_for_signed_and_one_for_squared_similarity():
    x, _ = images()
    assert measures.ncc(x, -x) == pytest.approx(-1)
    assert measures.lncc(x, -x, 5) == pytest.approx(-1)
    assert measures.mk_lncc(x, -x) == pytest.approx(1, abs=1e-6)
    assert measures.local_likelihood(x, -x, 5) == pytest.approx(LIKELIHOOD_OF_EQUALS, abs=1e-6)


def test_the_likelihood_pulls_harder_the_better_the_images_agree():
    """By a change of rho: 2 rho / (1 - rho^2 + 0.02) / 16, for lncc 1 whatever rho is."""
    rho = torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(measures.likelihood(rho, torch.ones(3)).sum(), rho)
    expected = [2 * r / (1.02 - r * r) / 16 for r in (0.1, 0.5, 0.9)]
    assert slope.tolist() == pytest.approx(expected)
    assert expected[2] > 6 * expected[1]


def test_ncc_equals_numpy_correlation_averaged_over_the_batch():
    x, y = images(num=2)
    expected = np.mean([np.corrcoef(x[n].numpy().ravel(), y[n].numpy().ravel())[0, 1] for n in range(2)])
    assert measures.ncc(x, y) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("size", [2, 3, 5, 7])
@pytest.mark.parametrize("weighted", [False, True])
def test_lncc_equals_the_naive_loop(size, weighted):
    x, y = images()
    weight = torch.rand(x.shape, generator=torch.Generator().manual_seed(3), dtype=x.dtype)
    used = weight if weighted else torch.ones_like(x)
    expected = naive_kappa(x[0, 0].numpy(), y[0, 0].numpy(), used[0, 0].numpy(), size, squared=False)
    assert measures.lncc(x, y, size, weight if weighted else None) == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("weighted", [False, True])
def test_mk_lncc_equals_the_naive_loop_on_a_small_image(weighted):
    x, y = images((10, 13, 11))
    weight = torch.rand(x.shape, generator=torch.Generator().manual_seed(3), dtype=x.dtype)
    used = weight if weighted else torch.ones_like(x)
    expected = naive_kappa(x[0, 0].numpy(), y[0, 0].numpy(), used[0, 0].numpy(), 5, squared=True)
    assert measures.mk_lncc(x, y, weight if weighted else None) == pytest.approx(expected, abs=1e-10)


def test_mk_lncc_equals_the_naive_loop_with_dilated_scales():
    x, y = images((64, 66, 68))
    a, b = x[0, 0].numpy(), y[0, 0].numpy()
    ones = np.ones(a.shape)
    fine, coarse = (naive_kappa(a, b, ones, size, dilation=2, squared=True) for size in (16, 32))
    expected = 0.3 * fine + 0.7 * coarse
    assert measures.mk_lncc(x, y) == pytest.approx(expected, abs=1e-10)
    assert measures.mk_lncc(x.float(), y.float()) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("smallest", "scales"),
    [
        (160, [(10, 0.1, 2), (20, 0.3, 2), (40, 0.6, 2)]),
        (128, [(8, 0.1, 2), (16, 0.3, 2), (32, 0.6, 2)]),
        (80, [(20, 0.3, 2), (40, 0.7, 2)]),
        (64, [(16, 0.3, 2), (32, 0.7, 2)]),
        (63, [(31, 1.0, 1)]),
        (2, [(2, 1.0, 1)]),
    ],
)
def test_mk_lncc_scales_follow_the_smallest_dimension(smallest, scales):
    assert measures.mk_lncc_scales(smallest) == scales


def test_published_image_size_has_the_published_number_of_windows():
    assert [len(window_matrix(n, 20, 5, 2)) for n in (80, 192, 192)] == [9, 31, 31]
    assert [len(window_matrix(n, 40, 10, 2)) for n in (80, 192, 192)] == [1, 12, 12]


def test_golden_values():
    """Computed once in double precision and confirmed by the naive loops above; torch 2.13."""
    i = torch.arange(1000, dtype=torch.float64)
    x = torch.sin(0.37 * i).reshape(1, 1, 10, 10, 10)
    y = torch.cos(0.31 * i + 0.2).reshape(1, 1, 10, 10, 10) + 0.5 * x
    values = [float(f(x, y)) for f in SIMILARITY_FUNCTIONS.values()]
    assert values == pytest.approx(
        [0.471626738955508, 0.626821251657010, 0.433883242142656, 0.038777928614014], abs=1e-9
    )


@pytest.mark.parametrize("name", SIMILARITY_FUNCTIONS)
def test_voxels_of_zero_weight_have_no_influence(name):
    x, y = images((12, 12, 12))
    weight = torch.ones_like(x)
    weight[..., 6:] = 0
    altered = y.clone()
    altered[..., 6:] = 100 * torch.rand(y[..., 6:].shape, dtype=y.dtype)
    function = SIMILARITY_FUNCTIONS[name]
    assert function(x, altered, weight) == pytest.approx(float(function(x, y, weight)), abs=1e-9)


@pytest.mark.parametrize("name", SIMILARITY_FUNCTIONS)
def test_a_weight_of_one_everywhere_equals_no_weight(name):
    x, y = images(num=2)
    function = SIMILARITY_FUNCTIONS[name]
    assert function(x, y, torch.ones_like(x[:1])) == pytest.approx(float(function(x, y)), abs=1e-12)


@pytest.mark.parametrize("name", SIMILARITY_FUNCTIONS)
@pytest.mark.parametrize("case", ["constant x", "constant y", "constant both", "zero weight"])
def test_nothing_to_compare_gives_zero_with_a_finite_gradient(name, case):
    x, y = (image.float() for image in images())
    weight = torch.zeros_like(x) if case == "zero weight" else None
    x = torch.full_like(x, 0.3) if case in ("constant x", "constant both") else x
    y = torch.full_like(y, 0.7) if case in ("constant y", "constant both") else y
    x.requires_grad_()
    kappa = SIMILARITY_FUNCTIONS[name](x, y, weight)
    kappa.backward()
    assert float(kappa.detach()) == pytest.approx(0, abs=1e-3)
    assert torch.isfinite(x.grad).all()
    assert x.grad.abs().max() < 1e-2


def test_windows_partly_outside_the_weight_are_kept_above_a_tenth_and_dropped_below():
    x, _ = images((4, 4, 4))
    y = torch.flip(x, dims=[4])
    weight = torch.zeros_like(x)
    weight.view(-1)[:6] = 1  # of 64: below a tenth
    assert measures.lncc(x, y, 4, weight) == 0
    weight.view(-1)[:7] = 1
    assert measures.lncc(x, y, 4, weight) != 0


@pytest.mark.parametrize("name", SIMILARITY_FUNCTIONS)
@pytest.mark.parametrize("weighted", [False, True])
def test_similarity_gradients_agree_with_finite_differences(name, weighted):
    x, y = images((6, 5, 7))
    weight = 0.2 + torch.rand(x.shape, generator=torch.Generator().manual_seed(3), dtype=x.dtype) if weighted else None
    assert torch.autograd.gradcheck(
        lambda a, b: SIMILARITY_FUNCTIONS[name](a, b, weight), (x.requires_grad_(), y.requires_grad_())
    )


@pytest.mark.parametrize("name", SIMILARITY_FUNCTIONS)
def test_half_precision_images_are_compared_in_single_precision(name):
    x, y = (image.to(torch.bfloat16) for image in images((24, 24, 24)))
    kappa = SIMILARITY_FUNCTIONS[name](x, y)
    assert kappa.dtype == torch.float32
    assert kappa == pytest.approx(float(SIMILARITY_FUNCTIONS[name](x.double(), y.double())), abs=1e-4)


def test_autocast_does_not_lower_the_precision_of_window_sums():
    x, y = (image.float() for image in images((24, 24, 24)))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = measures.mk_lncc(x, y)
    assert inside == pytest.approx(float(measures.mk_lncc(x, y)), abs=1e-6)


def test_a_window_longer_than_an_axis_spans_it():
    x, y = images((4, 12, 12))
    kappa = measures.lncc(x, y, 9)
    weight = np.ones((4, 9, 9))
    first = naive_kappa(x[0, 0, :, :4, :4].numpy(), y[0, 0, :, :4, :4].numpy(), weight[:, :4, :4], 4, squared=False)
    assert measures.lncc(x[..., :4, :4], y[..., :4, :4], 9) == pytest.approx(first)
    assert -1 <= kappa <= 1


@pytest.mark.parametrize("name", SIMILARITIES)
def test_the_selector_gives_one_minus_the_named_similarity(name):
    x, y = images()
    config = SimilarityConfig(name, 5)
    expected = 1 - SIMILARITY_FUNCTIONS[name.replace("-", "_")](x, y)
    assert measures.similarity_loss(config.name, config.window_voxels, noise=0.0)(x, y, None) == pytest.approx(
        float(expected)
    )


def test_similarity_errors_say_what_was_found():
    x, y = images()
    with pytest.raises(GeometryError, match=r"\(1, 1, 9, 11, 10\) and \(1, 1, 9, 11, 9\)"):
        measures.ncc(x, y[..., :-1])
    with pytest.raises(GeometryError, match="two images"):
        measures.mk_lncc(x[0], y[0])
    with pytest.raises(GeometryError, match="weight must have"):
        measures.lncc(x, y, 5, torch.ones(1, 1, 2, 2, 2))
    with pytest.raises(ConfigError, match="at least 2 voxels"):
        measures.lncc(x, y, 1)
    with pytest.raises(ConfigError, match="choose one of likelihood, lncc, ncc, mk-lncc"):
        measures.similarity_loss("ssd")


# -- regularity and symmetry ------------------------------------------------------------------------


def test_momentum_energy_is_the_published_one_on_a_cubic_field_of_view():
    grid = GRIDS["isotropic"]
    m, v = smooth_random((2, 3, *grid.shape), 0), smooth_random((2, 3, *grid.shape), 1)
    extent = grid.extent_mm[0]
    spacing_product = np.prod([1 / (n - 1) for n in grid.shape])
    published = spacing_product * ((m / extent) * (v / extent)).sum() / 2
    lattice_factor = np.prod([n / (n - 1) for n in grid.shape])
    assert regularity.momentum_energy(m, v, grid) == pytest.approx(float(published) / lattice_factor)


def test_momentum_energy_of_a_field_does_not_depend_on_the_grid_s_orientation():
    turned, straight = GRIDS["oblique_left_handed"], GRIDS["ras"]
    m = smooth_random((1, 3, *straight.shape), 0)
    rotation = torch.as_tensor(np.asarray(turned.direction_ras))
    there = torch.einsum("rc,ncdhw->nrdhw", rotation, m)
    assert regularity.momentum_energy(there, there, turned) == pytest.approx(
        float(regularity.momentum_energy(m, m, straight))
    )


def test_momentum_energy_of_k_m_is_positive_and_differentiable(oblique_grid):
    m = smooth_random((1, 3, *oblique_grid.shape), 2, passes=0).requires_grad_()
    energy = regularity.momentum_energy(m, smoothing.smooth(m, oblique_grid, (3.0, 6.0), (0.5, 0.5)), oblique_grid)
    energy.backward()
    assert energy > 0
    assert float((m.grad * m).detach().sum()) == pytest.approx(2 * float(energy.detach()))  # quadratic
    with pytest.raises(GeometryError, match="velocity"):
        regularity.momentum_energy(m, m[..., :-1], oblique_grid)


def test_affine_regularity_is_the_squared_distance_from_identity():
    affine = torch.eye(4, dtype=torch.float64).repeat(2, 1, 1)
    assert regularity.affine_regularity(affine) == 0
    affine[0, 0, 1], affine[0, 2, 3], affine[1, 1, 1] = 3.0, 4.0, 2.0
    assert regularity.affine_regularity(affine) == pytest.approx((9 + 16 + 1) / 2)
    assert regularity.affine_regularity(affine[:, :3]) == regularity.affine_regularity(affine)
    with pytest.raises(GeometryError, match=r"\(N, 3, 4\)"):
        regularity.affine_regularity(affine[0])


@pytest.mark.parametrize(("epoch", "weight"), [(10, 7.5), (15, 3.6), (20, 0.97), (30, 0.038), (40, 0.0014)])
def test_affine_regularity_weight_has_the_specification_s_values(epoch, weight):
    assert regularity.affine_regularity_weight(epoch) == pytest.approx(weight, rel=0.03)


def test_affine_regularity_weight_is_held_then_falls_to_its_floor():
    weights = [regularity.affine_regularity_weight(epoch) for epoch in range(0, 5000, 5)]
    assert weights[:2] == [10, 10]
    assert all(a >= b for a, b in itertools.pairwise(weights))
    assert weights[-1] == 1e-3
    assert regularity.affine_regularity_weight(0, scale=0.1, hold=1) == 0.1
    with pytest.raises(ConfigError, match="decay"):
        regularity.affine_regularity_weight(3, decay=0)


def test_affine_symmetry_vanishes_exactly_for_inverse_maps():
    generator = torch.Generator().manual_seed(0)
    st = torch.eye(4, dtype=torch.float64) + 0.2 * torch.randn(3, 4, 4, generator=generator, dtype=torch.float64)
    st[:, 3] = torch.tensor([0.0, 0.0, 0.0, 1.0])
    ts = torch.linalg.inv(st)
    assert regularity.affine_symmetry(st, ts) == pytest.approx(0, abs=1e-20)
    product = st @ st
    expected = (product[:, :3, :3] - torch.eye(3)).square().sum() + product[:, :3, 3].square().sum()
    assert regularity.affine_symmetry(st, st) == pytest.approx(float(expected) / 3)
    assert torch.autograd.gradcheck(regularity.affine_symmetry, (st.requires_grad_(), ts.requires_grad_()))


def test_map_symmetry_is_the_mean_squared_round_trip_in_units_of_the_field_of_view():
    fixed, moving = GRIDS["ras"], GRIDS["oblique"].padded((20, 20, 20))
    like = torch.zeros(1, dtype=torch.float64)
    shift, back = np.eye(4), np.eye(4)
    shift[:3, 3], back[:3, 3] = (1, 2, -1), (-1, -2, 4)
    forward = maps.affine_map(shift, fixed, like)
    value = regularity.map_symmetry(forward, fixed, maps.affine_map(back, moving, like), moving)
    assert value == pytest.approx(3.0 / fixed.extent_mm.max() ** 2)  # 3 mm in one of three channels
    inverse = maps.affine_map(np.linalg.inv(shift), moving, like)
    assert regularity.map_symmetry(forward, fixed, inverse, moving) == pytest.approx(0, abs=1e-20)
    with pytest.raises(GeometryError, match="from fixed to moving"):
        regularity.map_symmetry(forward, moving, inverse, moving)


def test_map_symmetry_gradient_agrees_with_finite_differences():
    grid = Grid((4, 4, 4), (1.0, 2.0, 1.5))
    point = maps.identity(grid, dtype=torch.float64)
    there = (point + 0.21 + 0.1 * smooth_random(point.shape, 1)).requires_grad_()
    back = (point - 0.2 + 0.1 * smooth_random(point.shape, 2)).requires_grad_()
    assert torch.autograd.gradcheck(lambda a, b: regularity.map_symmetry(a, grid, b, grid), (there, back), atol=1e-6)


def test_gradients_of_the_noisy_lncc_and_the_regularisers_agree_with_finite_differences():
    x, y = (image.requires_grad_() for image in images((6, 5, 7)))
    assert torch.autograd.gradcheck(lambda a, b: measures.lncc(a, b, 5, noise=0.1), (x, y))
    grid = Grid((4, 5, 3), (1.0, 2.0, 1.5))
    momentum, velocity = (smooth_random((1, 3, *grid.shape), n).requires_grad_() for n in (1, 2))
    assert torch.autograd.gradcheck(lambda m, v: regularity.momentum_energy(m, v, grid), (momentum, velocity))
    noise = torch.randn(2, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    affine = (torch.eye(4, dtype=torch.float64) + 0.2 * noise).requires_grad_()
    assert torch.autograd.gradcheck(regularity.affine_regularity, (affine,))


def test_with_noise_windows_without_structure_in_the_second_image_hardly_count():
    generator = torch.Generator().manual_seed(0)
    y, other = torch.rand(2, 1, 1, 12, 12, 24, generator=generator, dtype=torch.float64)
    y[..., 12:] *= 0.001  # nothing but noise there
    x = torch.cat([y[..., :12], other[..., 12:]], dim=-1)  # alike where there is structure
    plain, guarded = measures.lncc(x, y, 5), measures.lncc(x, y, 5, noise=0.03)
    assert 1 - guarded < 0.4 * (1 - plain)  # what is left are the windows across the border
    assert measures.lncc(y, y, 5, noise=0.03) == pytest.approx(1.0)


def test_noise_does_not_reward_contrast():
    y = torch.rand(1, 1, 12, 12, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for similarity in (measures.lncc, measures.local_likelihood):
        assert similarity(3 * y, y, 5, noise=0.1) == pytest.approx(float(similarity(y, y, 5, noise=0.1)))


@pytest.mark.parametrize("weighted", [False, True])
def test_correlation_of_pieces_is_that_of_the_whole(weighted):
    x, y = (0.5 + 0.1 * values.float() for values in images((12, 9, 10)))
    weight = torch.rand(x.shape, generator=torch.Generator().manual_seed(3)) if weighted else torch.ones_like(x)
    found = measures.Correlation()
    for piece in (slice(0, 5), slice(5, 6), slice(6, 12)):
        found.add(x[:, :, piece], y[:, :, piece], weight[:, :, piece])
    assert found.value == pytest.approx(float(measures.ncc(x, y, weight)), abs=1e-5)


def test_correlation_of_nothing_or_of_a_constant_is_zero():
    nothing, constant = measures.Correlation(), measures.Correlation()
    x, _ = images()
    assert nothing.value == 0
    constant.add(x.float(), torch.full_like(x, 0.7).float(), torch.ones_like(x).float())
    assert constant.value == 0
