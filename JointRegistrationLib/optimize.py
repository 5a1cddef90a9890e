"""Minimising an energy of tensors: L-BFGS or Adam from PyTorch, with progress, cancel and early stop."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import torch
from torch import Tensor

from .core.progress import Reporter

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
