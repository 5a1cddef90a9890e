"""One training run in one folder, of any network: resumable exactly, safe to kill.

A run's folder holds ``config.json``, ``log.csv``, ``validation.csv``, ``best.safetensors``,
``last.safetensors`` and ``state/``. Randomness of step n depends on (seed, n) only, so a resumed run
makes the same updates as an uninterrupted one: on CPU bit for bit.
"""

from __future__ import annotations

import contextlib
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ..core.errors import CheckpointError
from ..core.serialization import to_json
from ..files.output import atomic_file
from ..networks import checkpoint
from ..ops.devices import choose_device
from .config import RunConfig
from .distributed import Ranks, any_of, mean_of, stop_signals
from .objectives import TrainingTime
from .optimizer import learning_rate
from .record.parts import load_initial_weights, trained_parameters
from .record.provenance import append_row, asdict_json, current_commit, same_config, trim_rows

_TABLES = ("log.csv", "validation.csv")

Report = Callable[[str], None]
OnUpdate = Callable[[int, dict[str, float]], None]
C = TypeVar("C", bound=RunConfig)


@dataclass
class TrainingState:
    """What a resumed run must know besides weights and optimizer."""

    step: int = 0
    best_score: float = -1.0
    seconds: float = 0.0
    unlogged: list[dict[str, float]] = field(default_factory=list)


class Run(ABC, Generic[C]):
    """The part of a training that does not depend on what is trained.

    Args:
        config: what to train.
        folder: where the run lives.
        report: receives a line now and then.
        ranks: which process this is, if several train together (``distributed``).
        on_update: receives the number of updates made and the terms of the last one.
    """

    #: What kind of network it is, and the beginnings of the names of all its parts.
    architecture: str
    parts: tuple[str, ...]
    #: The network whose weights are kept, the module that makes the loss of it, and what it is trained on, in words.
    model: nn.Module
    objective: nn.Module
    data: str

    def __init__(
        self,
        config: C,
        folder: Path,
        report: Report = lambda line: None,
        ranks: Ranks | None = None,
        on_update: OnUpdate = lambda step, terms: None,
    ) -> None:
        self.config, self.folder, self.report, self.on_update = config, folder, report, on_update
        self.ranks = ranks or Ranks()
        self.device = choose_device(config.device)
        self.progress = TrainingState()
        torch.manual_seed(config.seed)

    def _train(self, objective: nn.Module, parts: tuple[str, ...]) -> None:
        """Let the optimizer change ``parts`` of the model, by the loss that ``objective`` makes."""
        self.trained, self.trained_parts = trained_parameters(self.model, parts), parts
        self.objective = objective
        if self.ranks.world > 1:
            self.objective = DistributedDataParallel(objective, find_unused_parameters=True)
        self.optimizer = torch.optim.Adam(list(self.trained.values()), lr=self.config.optimizer.learning_rate)

    # -- what a training is about ---------------------------------------------------------------------

    @abstractmethod
    def terms(self, part: int, moment: TrainingTime) -> dict[str, Tensor]:
        """The loss on part number ``part`` of an update: process r of W takes r, r + W, r + 2 W, ..."""

    @abstractmethod
    def measure(self) -> dict[str, float]:
        """Figures on the validation knees; ``score`` says which weights are the best."""

    def header(self, figures: dict[str, Any]) -> checkpoint.Header:
        """The header of this run's weights."""
        return checkpoint.Header(
            self.architecture,
            asdict_json(self.config.model),
            self.data,
            current_commit(),
            {"step": self.progress.step, "run": self.config.name, "trained": list(self.trained_parts), **figures},
        )

    def draw_examples(self, path: Path) -> None:
        """Show what the network does, in a picture, if there is one."""

    # -- start, resume, save --------------------------------------------------------------------------

    def start(self) -> None:
        """Begin a new run: initial weights, configuration on disk."""
        for path in self.config.initial_weights:
            load_initial_weights(self.model, Path(path), self.architecture, self.parts)
        if self.ranks.first:
            self.folder.mkdir(parents=True, exist_ok=True)
            for name in _TABLES:  # of a run that was killed before it had a state
                (self.folder / name).unlink(missing_ok=True)
            with atomic_file(self.folder / "config.json") as temporary:
                temporary.write_text(to_json(self.config))

    def resume(self) -> None:
        """Go on from the folder's last state.

        Settings that the state's version did not know count as their defaults, which mean what it did.

        Raises:
            CheckpointError: if there is none, it is damaged, or it belongs to another configuration.
        """
        tensors, values = checkpoint.load_state(self.folder / "state")
        if not same_config(values["config"], self.config):
            raise CheckpointError(
                f"{self.folder}: the saved state belongs to another configuration; "
                "resume with its config.json or start a run in another folder"
            )
        model = {name.removeprefix("model."): v for name, v in tensors.items() if name.startswith("model.")}
        checkpoint.fit_tensors(self.model, model, self.folder)
        self._restore_optimizer(tensors)
        torch.set_rng_state(tensors["rng"])
        self.progress = TrainingState(**values["progress"])
        if self.ranks.first:
            for name in _TABLES:
                trim_rows(self.folder / name, self.progress.step)

    def _restore_optimizer(self, tensors: dict[str, Tensor]) -> None:
        for name, parameter in self.trained.items():
            saved = {
                key: tensors[f"adam.{key}.{name}"]
                for key in ("exp_avg", "exp_avg_sq", "step")
                if f"adam.{key}.{name}" in tensors
            }
            if saved:
                self.optimizer.state[parameter] = {
                    key: value if key == "step" else value.to(parameter) for key, value in saved.items()
                }

    def save(self) -> None:
        """Write the state and ``last.safetensors``, each whole or not at all; the first process does."""
        if not self.ranks.first:
            return
        tensors: dict[str, Tensor] = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        for name, parameter in self.trained.items():
            for key, value in self.optimizer.state.get(parameter, {}).items():
                tensors[f"adam.{key}.{name}"] = value
        tensors["rng"] = torch.get_rng_state()
        values = {"config": asdict_json(self.config), "progress": asdict(self.progress)}
        checkpoint.save_state(self.folder / "state", tensors, values)
        checkpoint.save_weights(self.folder / "last.safetensors", self.model, self.header({}))

    # -- the loop -------------------------------------------------------------------------------------

    def run(self, until: int | None = None) -> bool:
        """Train to the configured number of steps, or to step ``until``.

        Returns:
            True when finished, False when stopped by SIGTERM or SIGINT; the state is saved either way.
        """
        last = min(self.config.optimizer.steps, until or self.config.optimizer.steps)
        started = saved = time.monotonic()
        base = self.progress.seconds
        with stop_signals() as asked:
            stopped = any_of(asked(), self.ranks, self.device)
            while self.progress.step < last and not stopped:
                self.progress.unlogged.append(self.update())
                self.on_update(self.progress.step, self.progress.unlogged[-1])
                self.progress.seconds = base + time.monotonic() - started
                if self.progress.step % self.config.log_every == 0:
                    self._log(self.progress.unlogged)
                    self.progress.unlogged = []
                if self.progress.step % self.config.validate_every == 0:
                    self.check()
                if time.monotonic() - saved > self.config.save_every_seconds:
                    self.save()
                    saved = time.monotonic()
                stopped = any_of(asked(), self.ranks, self.device)
            self.save()
            return not stopped

    def update(self) -> dict[str, float]:
        """One update of the weights; returns the terms."""
        config, step = self.config, self.progress.step
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(config.optimizer, step)
        moment = TrainingTime(step, step / config.optimizer.steps_per_epoch)
        totals: dict[str, float] = {}
        self.optimizer.zero_grad()
        for n in range(config.optimizer.accumulate):
            with self._synchronised(n + 1 == config.optimizer.accumulate):
                terms = self.terms(self.ranks.rank + n * self.ranks.world, moment)
                loss = torch.stack(list(terms.values())).sum() / config.optimizer.accumulate
                loss.backward()  # type: ignore[no-untyped-call]
            for name, value in terms.items():
                totals[name] = totals.get(name, 0.0) + float(value.detach()) / config.optimizer.accumulate
        norm = torch.nn.utils.clip_grad_norm_(self.trained.values(), config.optimizer.clip_norm or float("inf"))
        if torch.isfinite(norm):
            self.optimizer.step()
        else:  # One broken number must not cost the weights of a day.
            self.report(f"step {step + 1}: the gradient is not finite; this update was left out")
        self.progress.step += 1
        return mean_of(totals, self.ranks, self.device)

    def _synchronised(self, last: bool) -> contextlib.AbstractContextManager[object]:
        """Processes exchange gradients once an update, with its last part."""
        if isinstance(self.objective, DistributedDataParallel) and not last:
            return self.objective.no_sync()
        return contextlib.nullcontext()

    def check(self) -> dict[str, float]:
        """Validate, log, draw examples, keep the best weights; the first process does, the others get nothing."""
        if not self.ranks.first:
            return {}
        figures = self.measure()
        append_row(self.folder / "validation.csv", {"step": self.progress.step, **figures})
        self.draw_examples(self.folder / "examples" / f"step-{self.progress.step:07d}.png")
        self.report(f"step {self.progress.step}: " + ", ".join(f"{k} {v:.4f}" for k, v in figures.items()))
        if figures["score"] > self.progress.best_score:
            self.progress.best_score = figures["score"]
            checkpoint.save_weights(self.folder / "best.safetensors", self.model, self.header(figures))
        return figures

    def _log(self, rows: list[dict[str, float]]) -> None:
        means = {name: sum(row[name] for row in rows) / len(rows) for name in rows[-1]}
        rate = self.optimizer.param_groups[0]["lr"]
        row = {"step": self.progress.step, "seconds": self.progress.seconds, "rate": rate, **means}
        if not self.ranks.first:
            return
        append_row(self.folder / "log.csv", row)
        self.report(" ".join(f"{name} {value:.5g}" for name, value in row.items()))
