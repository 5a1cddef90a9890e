"""Minimising an energy of tensors: L-BFGS or Adam from PyTorch, with progress, cancel and early stop."""

from __future__ import annotations

import inspect
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ...core.progress import Reporter

_ADAM_STEP_MM = 0.5
_HISTORY = 5  # as in the authors' settings (spec, section 7)


class _Lbfgs(torch.optim.LBFGS):
    """PyTorch's, without its compiler: the decorator of this method imports that, 1.1 s, only to keep it away."""

    add_param_group = inspect.unwrap(torch.optim.Optimizer.add_param_group)


def minimize(
    unknown: Tensor,
    energy: Callable[[], Tensor],
    *,
    optimizer: str,
    iterations: int,
    tolerance: float,
    reporter: Reporter,
    first_step: Callable[[Tensor], float] | None = None,
) -> None:
    """Change ``unknown`` in place so that ``energy()`` becomes small.

    Args:
        unknown: leaf tensor with ``requires_grad``, in mm.
        energy: differentiable scalar of ``unknown``.
        optimizer: ``"lbfgs"`` (strong Wolfe line search) or ``"adam"``.
        iterations: upper bound.
        tolerance: stop when an iteration gains less than this share of the first energy.
        reporter: told of every evaluation; its cancel check is asked there.
        first_step: from the first gradient, the factor to multiply it with for L-BFGS's first trial
            step; None to leave that to PyTorch.

    Raises:
        RegistrationCancelled: if asked to stop.
    """
    if iterations == 0:
        return
    evaluations = 0
    optim: torch.optim.Optimizer = (
        _Lbfgs([unknown], history_size=_HISTORY, tolerance_grad=0, line_search_fn="strong_wolfe")
        if optimizer == "lbfgs"
        else torch.optim.Adam([unknown], lr=_ADAM_STEP_MM)
    )

    def closure() -> float:
        nonlocal evaluations
        unknown.grad = None
        loss = energy()
        loss.backward()  # type: ignore[no-untyped-call]
        evaluations += 1
        reporter.update(evaluations / (1.25 * iterations + 2), float(loss.detach()))
        return float(loss.detach())

    if optimizer == "lbfgs":
        _lbfgs(optim, unknown, closure, iterations, tolerance, first_step)
    else:
        _adam(optim, closure, iterations, tolerance)


def _lbfgs(
    optim: torch.optim.Optimizer,
    unknown: Tensor,
    closure: Callable[[], float],
    iterations: int,
    tolerance: float,
    first_step: Callable[[Tensor], float] | None,
) -> None:
    """One iteration with the chosen first step, then the others with step 1, right once curvature is known.

    PyTorch divides the first step by the gradient's 1-norm where that is above 1; a gradient spread
    over a million entries would start with a step of next to nothing.
    """
    group = optim.param_groups[0]
    loss = abs(closure())
    if first_step is not None and unknown.grad is not None:
        group["lr"] = first_step(unknown.grad) * max(1.0, float(unknown.grad.abs().sum()))
    group.update(max_iter=1, max_eval=30, tolerance_change=0.0)  # before curvature is known, no slope is too small
    optim.step(closure)
    if iterations > 1:
        group.update(lr=1.0, max_iter=iterations - 1, max_eval=2 * iterations, tolerance_change=tolerance * loss)
        optim.step(closure)


def _adam(optim: torch.optim.Optimizer, closure: Callable[[], float], iterations: int, tolerance: float) -> None:
    """Adam gains unevenly: stop only after five iterations in a row without a gain."""
    first = best = float("inf")
    since_gain = 0
    for _ in range(iterations):
        loss = optim.step(closure)
        first = loss if first == float("inf") else first
        since_gain = 0 if loss < best - tolerance * abs(first) else since_gain + 1
        best = min(best, loss)
        if since_gain >= 5:
            return


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
