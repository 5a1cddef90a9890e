"""How a training's optimizer moves."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ..core.errors import ConfigError

SCHEDULES = ("constant", "cosine", "published")


@dataclass(frozen=True)
class OptimizerConfig:
    """Adam. One step is one update of the weights, from ``batch`` x ``accumulate`` pairs.

    ``schedule``: ``constant``, ``cosine`` (to a fiftieth at the end), or ``published`` (halved every
    60 epochs); all warm up linearly over ``warmup_steps``.
    """

    learning_rate: float = 1e-3
    schedule: str = "cosine"
    warmup_steps: int = 50
    steps: int = 4000
    steps_per_epoch: int = 200
    batch: int = 2
    accumulate: int = 1
    clip_norm: float = 1.0

    def __post_init__(self) -> None:
        if self.schedule not in SCHEDULES:
            raise ConfigError(
                f"training.optimizer.schedule: {self.schedule!r} is unknown; choose one of {', '.join(SCHEDULES)}"
            )
        for name in ("batch", "accumulate", "steps", "steps_per_epoch"):
            if getattr(self, name) < 1:
                raise ConfigError(f"training.optimizer.{name}: at least 1 is needed")


def learning_rate(config: OptimizerConfig, step: int) -> float:
    """The rate of update ``step`` (from 0)."""
    warmup = min(1.0, (step + 1) / max(1, config.warmup_steps))
    if config.schedule == "published":
        return config.learning_rate * warmup * 0.5 ** (step // (60 * config.steps_per_epoch))
    if config.schedule == "constant":
        return config.learning_rate * warmup
    half_turn = torch.pi * min(1.0, step / config.steps)
    return config.learning_rate * warmup * (0.02 + 0.98 * 0.5 * (1 + float(torch.cos(torch.tensor(half_turn)))))
