"""The training loop: resumable exactly, safe to kill, one folder a run.

A run's folder holds ``config.json``, ``log.csv``, ``validation.csv``, ``best.safetensors``,
``last.safetensors`` and ``state/``. Randomness of step n depends on (seed, n) only, so a resumed run
makes the same updates as an uninterrupted one: on CPU bit for bit.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from .. import checkpoint
from ..config_json import to_json
from ..devices import choose_device
from ..errors import CheckpointError
from ..files.output import atomic_file
from ..geometry import Grid
from ..networks.model import AVSM
from ..networks.weights import ARCHITECTURE
from .augment import generator
from .batches import Batch, draw_batch
from .config import TrainingConfig
from .distributed import Ranks, any_of, mean_of
from .examples import write_examples
from .logs import append_row, trim_rows
from .objectives import Moment, objective
from .parts import PARTS, load_initial_weights, trained_parameters
from .pool import Pool
from .provenance import asdict_json, current_commit, same_config
from .run_pools import configured_pool, usable_part
from .schedule import learning_rate
from .stopping import stop_signals
from .validation import validate

_TABLES = ("log.csv", "validation.csv")

Report = Callable[[str], None]
OnUpdate = Callable[[int, dict[str, float]], None]


@dataclass
class Progress:
    """What a resumed run must know besides weights and optimizer."""

    step: int = 0
    best_score: float = -1.0
    seconds: float = 0.0
    unlogged: list[dict[str, float]] = field(default_factory=list)


class _Objective(nn.Module):
    """The loss as a module, which is what DistributedDataParallel can watch."""

    def __init__(self, model: AVSM, config: TrainingConfig) -> None:
        super().__init__()
        self.model, self.config = model, config

    def forward(self, batch: Batch, grid: Grid, moment: Moment) -> dict[str, Tensor]:
        return objective(self.model, batch, grid, self.config, moment)


class Trainer:
    """One training run in one folder.

    Args:
        config: what to train.
        folder: where the run lives.
        train, validation: pools on the training grid; None loads those of the configuration.
        report: receives a line now and then.
        ranks: which process this is, if several train together (``distributed``).
        on_update: receives the number of updates made and the terms of the last one.

    Raises:
        ConfigError: if the losses need label maps and the pool has none.
    """

    def __init__(
        self,
        config: TrainingConfig,
        folder: Path,
        train: Pool | None = None,
        validation: Pool | None = None,
        report: Report = lambda line: None,
        ranks: Ranks | None = None,
        on_update: OnUpdate = lambda step, terms: None,
    ) -> None:
        self.config, self.folder, self.report, self.on_update = config, folder, report, on_update
        self.ranks = ranks or Ranks()
        self.device = choose_device(config.device)
        self.train_pool = usable_part(train or configured_pool(config, "train"), config).to(self.device)
        self.validation_pool = usable_part(validation or configured_pool(config, "validation"), config).to(self.device)
        torch.manual_seed(config.seed)
        self.model = AVSM(config.model).to(self.device)
        self.progress = Progress()
        self.trained = trained_parameters(self.model, config.stage)
        self.objective: nn.Module = _Objective(self.model, config)
        if self.ranks.world > 1:
            self.objective = DistributedDataParallel(self.objective, find_unused_parameters=True)
        self.optimizer = torch.optim.Adam(list(self.trained.values()), lr=config.optimizer.learning_rate)

    # -- start, resume, save --------------------------------------------------------------------------

    def start(self) -> None:
        """Begin a new run: initial weights, configuration on disk."""
        for path in self.config.initial_weights:
            load_initial_weights(self.model, Path(path))
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
        self.progress = Progress(**values["progress"])
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

    def header(self, figures: dict[str, Any]) -> checkpoint.Header:
        """The header of this run's weights."""
        return checkpoint.Header(
            ARCHITECTURE,
            asdict_json(self.config.model),
            f"{self.config.data.pool}: {len(self.train_pool.scans)} scans",
            current_commit(),
            {"step": self.progress.step, "run": self.config.name, "trained": list(PARTS[self.config.stage]), **figures},
        )

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
        moment = Moment(step, step / config.optimizer.steps_per_epoch)
        totals: dict[str, float] = {}
        self.optimizer.zero_grad()
        for n in range(config.optimizer.accumulate):
            with self._synchronised(n + 1 == config.optimizer.accumulate):
                terms = self._terms(self.ranks.rank + n * self.ranks.world, moment)
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

    def _terms(self, part: int, moment: Moment) -> dict[str, Tensor]:
        """The loss on part number ``part`` of an update: process r of W takes r, r + W, r + 2 W, ..."""
        data = self.config.data
        align = data.residual if self.config.stage == "vsvf" and data.prealigned else None
        batch = draw_batch(
            self.train_pool,
            data.augment,
            self.config.optimizer.batch,
            generator(self.config.seed, moment.step, part),
            same_subject=data.same_subject,
            align=align,
            distances=max(self.config.losses.distances, self.config.losses.overlap) > 0,
        )
        terms: dict[str, Tensor] = self.objective(batch, self.train_pool.grid, moment)
        return terms

    def check(self) -> dict[str, float]:
        """Validate, log, draw examples, keep the best weights; the first process does, the others get nothing."""
        if not self.ranks.first:
            return {}
        config = self.config
        figures = validate(self.model, self.validation_pool, config, config.affine_steps, config.vsvf_steps)
        append_row(self.folder / "validation.csv", {"step": self.progress.step, **figures})
        examples = self.folder / "examples" / f"step-{self.progress.step:07d}.png"
        write_examples(examples, self.model, self.validation_pool, config)
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
