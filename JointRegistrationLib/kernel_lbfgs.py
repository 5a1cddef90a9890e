"""L-BFGS in the kernel's own metric: minimising an energy of a velocity v = K m by its momentum m.

The steepest descent of an energy E(v) in m alone is K dE/dv, and moves v by K K dE/dv: smoothed twice, so that fine
detail comes late. Measured by <a, b> = a . K b, the metric that the regularity <m, K m> has anyway, the steepest
descent is dE/dv itself, and v moves by K dE/dv. L-BFGS needs no more than inner products, so it runs in that metric
as in any other; as a field and its image under K are kept side by side, an evaluation takes one smoothing.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from .core.progress import Reporter

_REMEMBERED = 5
_MAX_TRIALS = 8
#: A step is taken if it gains this share of what the slope promises (Armijo).
_SUFFICIENT = 1e-4


@dataclass(frozen=True)
class Smoothed:
    """A field a and K a, both (1, 3, d, h, w); what is done to one is done to the other."""

    field: Tensor
    smoothed: Tensor

    def dot(self, other: Smoothed) -> float:
        """a . K b."""
        return float((self.field * other.smoothed).sum())

    def plus(self, other: Smoothed, factor: float) -> Smoothed:
        """a + factor b."""
        return Smoothed(self.field.add(other.field, alpha=factor), self.smoothed.add(other.smoothed, alpha=factor))

    def times(self, factor: float) -> Smoothed:
        """factor a."""
        return Smoothed(self.field * factor, self.smoothed * factor)


@dataclass(frozen=True)
class _Point:
    momentum: Smoothed
    energy: float
    gradient: Smoothed


@dataclass(frozen=True)
class _Step:
    """How far one iteration went, and by how much the gradient changed on the way."""

    change: Smoothed
    gradient_change: Smoothed
    curvature: float


@torch.no_grad()
def minimize_in_kernel(
    momentum: Tensor,
    smooth: Callable[[Tensor], Tensor],
    energy: Callable[[Tensor], Tensor],
    *,
    weight: float,
    iterations: int,
    tolerance: float,
    first_step: float,
    reporter: Reporter,
) -> Tensor:
    """The m that minimises E(K m) + ``weight`` * m . K m.

    Args:
        momentum: where to start, (1, 3, d, h, w).
        smooth: K, linear, symmetric and positive.
        energy: E, a differentiable scalar of a velocity (1, 3, d, h, w).
        weight: of the squared norm, a sum over all entries.
        iterations: upper bound; each takes one evaluation, now and then more.
        tolerance: stop when an iteration gains less than this share of the first energy.
        first_step: the fastest velocity of the first trial, before any curvature is known.
        reporter: told of every evaluation; its cancel check is asked there.

    Raises:
        RegistrationCancelled: if asked to stop.
    """
    evaluations = 0

    def evaluate(at: Smoothed) -> _Point:
        nonlocal evaluations
        velocity = at.smoothed.detach().requires_grad_(True)
        with torch.enable_grad():
            loss = energy(velocity)
        (slope,) = torch.autograd.grad(loss, velocity)
        gradient = slope.add(at.field, alpha=2 * weight)
        evaluations += 1
        total = float(loss.detach()) + weight * at.dot(at)
        reporter.update(evaluations / (1.1 * iterations + 1), total)
        return _Point(at, total, Smoothed(gradient, smooth(gradient)))

    if iterations == 0:
        return momentum
    start = Smoothed(momentum, smooth(momentum))
    return _descend(start, evaluate, iterations, tolerance, first_step).momentum.field


def _descend(
    start: Smoothed, evaluate: Callable[[Smoothed], _Point], iterations: int, tolerance: float, first_step: float
) -> _Point:
    point = evaluate(start)
    least_gain = tolerance * abs(point.energy)
    history: deque[_Step] = deque(maxlen=_REMEMBERED)
    for _ in range(iterations):
        following = _searched(point, _direction(point.gradient, history, first_step), evaluate)
        if following is None and history:  # what was learnt of the curvature no longer holds
            history.clear()
            following = _searched(point, _direction(point.gradient, history, first_step), evaluate)
        if following is None:
            break
        _remember(history, point, following)
        gain, point = point.energy - following.energy, following
        if gain < least_gain:
            break
    return point


def _direction(gradient: Smoothed, history: deque[_Step], first_step: float) -> Smoothed:
    """The two-loop recursion; without a history the gradient, so long that the velocity is ``first_step``."""
    if not history:
        fastest = float(gradient.smoothed.norm(dim=1).max())
        return gradient.times(-first_step / max(fastest, 1e-12))
    direction, shares = gradient, []
    for step in reversed(history):
        shares.append(direction.dot(step.change) / step.curvature)
        direction = direction.plus(step.gradient_change, -shares[-1])
    last = history[-1]
    direction = direction.times(last.curvature / last.gradient_change.dot(last.gradient_change))
    for step, share in zip(history, reversed(shares), strict=True):
        direction = direction.plus(step.change, share - direction.dot(step.gradient_change) / step.curvature)
    return direction.times(-1.0)


def _searched(point: _Point, direction: Smoothed, evaluate: Callable[[Smoothed], _Point]) -> _Point | None:
    """Backtracking from a whole step; None if no step gains enough."""
    slope = direction.dot(point.gradient)
    length = 1.0
    for _ in range(_MAX_TRIALS if slope < 0 else 0):
        trial = evaluate(point.momentum.plus(direction, length))
        excess = trial.energy - point.energy - length * slope
        if excess <= (_SUFFICIENT - 1) * length * slope:
            return trial
        vertex = -slope * length**2 / (2 * excess) if math.isfinite(excess) else 0.0  # of the parabola through both
        length = min(max(vertex, 0.1 * length), 0.5 * length)
    return None


def _remember(history: deque[_Step], before: _Point, after: _Point) -> None:
    change = after.momentum.plus(before.momentum, -1.0)
    gradient_change = after.gradient.plus(before.gradient, -1.0)
    curvature = change.dot(gradient_change)
    if curvature > 1e-10 * gradient_change.dot(gradient_change):
        history.append(_Step(change, gradient_change, curvature))
