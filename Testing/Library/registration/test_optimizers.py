"""L-BFGS in the kernel's metric: where it ends, how fast, and how it stops."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from JointRegistrationLib.core.errors import RegistrationCancelled
from JointRegistrationLib.core.geometry import Grid
from JointRegistrationLib.core.progress import Reporter
from JointRegistrationLib.ops.separable.smoothing import smooth
from JointRegistrationLib.registration.methods.optimizers import Smoothed, minimize, minimize_in_kernel
from Testing.Support.grids import smooth_random

GRID = Grid((12, 11, 10), (1.5, 1.5, 2.0))
SHAPE = (1, 3, *GRID.shape)
WEIGHT = 0.05
TARGET = smooth_random(SHAPE, 0, passes=1)


def kernel(field: Tensor) -> Tensor:
    return smooth(field, GRID, (2.0, 6.0), (0.5, 0.5))


def misfit(velocity: Tensor) -> Tensor:
    return (velocity - TARGET).square().sum()


def found(energy=misfit, *, iterations: int = 100, tolerance: float = 0.0, reporter: Reporter | None = None) -> Tensor:
    return minimize_in_kernel(
        torch.zeros(SHAPE, dtype=torch.float64),
        kernel,
        energy,
        weight=WEIGHT,
        iterations=iterations,
        tolerance=tolerance,
        first_step=0.1,
        reporter=reporter or Reporter(),
    )


def total(momentum: Tensor) -> float:
    velocity = kernel(momentum)
    return float(misfit(velocity) + WEIGHT * (momentum * velocity).sum())


def test_it_ends_where_the_regularity_s_pull_equals_the_misfit_s() -> None:
    momentum = found()
    torch.testing.assert_close(kernel(momentum) - TARGET, -WEIGHT * momentum, atol=1e-5, rtol=0)


def test_it_needs_fewer_evaluations_than_lbfgs_on_the_momentum_alone() -> None:
    plain = torch.zeros(SHAPE, dtype=torch.float64, requires_grad=True)

    def energy() -> Tensor:
        velocity = kernel(plain)
        return misfit(velocity) + WEIGHT * (plain * velocity).sum()

    minimize(plain, energy, optimizer="lbfgs", iterations=40, tolerance=0.0, reporter=Reporter())
    assert total(found(iterations=10)) < total(plain.detach())


def test_no_iteration_raises_the_energy() -> None:
    energies = [total(found(iterations=n)) for n in range(8)]
    assert energies == sorted(energies, reverse=True)
    assert len(set(energies)) == 8


def test_it_stops_when_an_iteration_gains_too_little() -> None:
    losses: list[float | None] = []
    found(tolerance=1e-3, reporter=Reporter(progress=lambda _stage, _fraction, loss: losses.append(loss)))
    assert 3 < len(losses) < 40


def test_a_step_into_what_is_not_finite_is_taken_back() -> None:
    def walled(velocity: Tensor) -> Tensor:
        return misfit(velocity) if velocity.abs().max() < 0.2 else velocity.sum() * torch.nan

    momentum = found(walled, iterations=5)
    assert torch.isfinite(momentum).all()
    assert 0 < kernel(momentum).abs().max() < 0.2
    assert total(momentum) < total(torch.zeros_like(momentum))


def test_no_iterations_leave_the_start() -> None:
    assert found(iterations=0).abs().max() == 0


def test_a_minimum_stays() -> None:
    assert found(lambda velocity: velocity.square().sum(), iterations=3).abs().max() == 0


def test_progress_is_told_of_every_evaluation_and_a_cancel_obeyed() -> None:
    fractions: list[float] = []
    found(iterations=6, reporter=Reporter(progress=lambda _stage, fraction, _loss: fractions.append(fraction)))
    assert len(fractions) >= 7
    assert fractions == sorted(fractions)
    with pytest.raises(RegistrationCancelled):
        found(reporter=Reporter(cancelled=lambda: True))


def test_what_is_kept_beside_a_field_is_its_image_under_the_kernel() -> None:
    a, b = (Smoothed(field, kernel(field)) for field in (smooth_random(SHAPE, 1), smooth_random(SHAPE, 2)))
    combined = a.plus(b, -0.3).times(2.0)
    torch.testing.assert_close(combined.smoothed, kernel(combined.field))
    assert a.dot(b) == pytest.approx(b.dot(a))
