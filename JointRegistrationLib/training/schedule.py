"""The learning rate over a run."""

from __future__ import annotations

import torch

from .optimizer import OptimizerConfig


def learning_rate(config: OptimizerConfig, step: int) -> float:
    """The rate of update ``step`` (from 0)."""
    warmup = min(1.0, (step + 1) / max(1, config.warmup_steps))
    if config.schedule == "published":
        return config.learning_rate * warmup * 0.5 ** (step // (60 * config.steps_per_epoch))
    if config.schedule == "constant":
        return config.learning_rate * warmup
    half_turn = torch.pi * min(1.0, step / config.steps)
    return config.learning_rate * warmup * (0.02 + 0.98 * 0.5 * (1 + float(torch.cos(torch.tensor(half_turn)))))
