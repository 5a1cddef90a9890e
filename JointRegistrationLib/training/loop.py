"""The training loop: resumable exactly, safe to kill, one folder a run.

A run's folder holds ``config.json``, ``log.csv``, ``validation.csv``, ``best.safetensors``,
``last.safetensors`` and ``state/``. Randomness of step n depends on (seed, n) only, so a resumed run
makes the same updates as an uninterrupted one: on CPU bit for bit.
"""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor

from .. import checkpoint
from ..config import from_json, to_json
from ..devices import choose_device
from ..errors import CheckpointError, ConfigError
from ..networks.model import AVSM
from ..networks.weights import ARCHITECTURE
from .augment import generator
from .batches import draw_batch
from .config import OptimizerConfig, TrainingConfig
from .objectives import Moment, objective
from .pool import Pool, load_pool
from .validation import validate

#: Beginnings of the names of the parameters that a stage trains.
PARTS = {"affine": ("affine.",), "vsvf": ("momentum.",), "joint": ("affine.", "momentum.")}
Report = Callable[[str], None]


def learning_rate(config: OptimizerConfig, step: int) -> float:
    """The rate of update ``step`` (from 0)."""
    warmup = min(1.0, (step + 1) / max(1, config.warmup_steps))
    if config.schedule == "published":
        return config.learning_rate * warmup * 0.5 ** (step // (60 * config.steps_per_epoch))
    if config.schedule == "constant":
        return config.learning_rate * warmup
    half_turn = torch.pi * min(1.0, step / config.steps)
    return config.learning_rate * warmup * (0.02 + 0.98 * 0.5 * (1 + float(torch.cos(torch.tensor(half_turn)))))


@dataclass
class Progress:
    """What a resumed run must know besides weights and optimizer."""

    step: int = 0
    best_score: float = -1.0
    seconds: float = 0.0
    unlogged: list[dict[str, float]] = field(default_factory=list)


class Trainer:
    """One training run in one folder.

    Args:
        config: what to train.
        folder: where the run lives.
        train, validation: pools on the training grid; None loads those of the configuration.
        report: receives a line now and then.
    """

    def __init__(
        self,
        config: TrainingConfig,
        folder: Path,
        train: Pool | None = None,
        validation: Pool | None = None,
        report: Report = lambda line: None,
    ) -> None:
        self.config, self.folder, self.report = config, folder, report
        root = Path(config.data.pool)
        self.train_pool = train or load_pool(root / "train", config.data.shrink, config.data.last_images)
        self.validation_pool = validation or load_pool(root / "validation", config.data.shrink, config.data.last_images)
        self.device = choose_device(config.device)
        self.train_pool, self.validation_pool = (p.to(self.device) for p in (self.train_pool, self.validation_pool))
        torch.manual_seed(config.seed)
        self.model = AVSM(config.model).to(self.device)
        self.progress = Progress()
        self.trained = trained_parameters(self.model, config.stage)
        self.optimizer = torch.optim.Adam(list(self.trained.values()), lr=config.optimizer.learning_rate)

    # -- start, resume, save --------------------------------------------------------------------------

    def start(self) -> None:
        """Begin a new run: initial weights, configuration on disk."""
        for path in self.config.initial_weights:
            load_initial_weights(self.model, Path(path))
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "config.json").write_text(to_json(self.config))

    def resume(self) -> None:
        """Go on from the folder's last state.

        Raises:
            CheckpointError: if there is none, it is damaged, or it belongs to another configuration.
        """
        tensors, values = checkpoint.load_state(self.folder / "state")
        if values["config"] != asdict_json(self.config):
            raise CheckpointError(
                f"{self.folder}: the saved state belongs to another configuration; "
                "resume with its config.json or start a run in another folder"
            )
        model = {name.removeprefix("model."): v for name, v in tensors.items() if name.startswith("model.")}
        checkpoint.fit_tensors(self.model, model, self.folder)
        self._restore_optimizer(tensors)
        torch.set_rng_state(tensors["rng"])
        self.progress = Progress(**values["progress"])
        self._trim_logs()

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
        """Write the state and ``last.safetensors``, each whole or not at all."""
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
        with _stop_signals() as stopped:
            while self.progress.step < last and not stopped():
                self.progress.unlogged.append(self.update())
                self.progress.seconds = base + time.monotonic() - started
                if self.progress.step % self.config.log_every == 0:
                    self._log(self.progress.unlogged)
                    self.progress.unlogged = []
                if self.progress.step % self.config.validate_every == 0:
                    self.check()
                if time.monotonic() - saved > self.config.save_every_seconds:
                    self.save()
                    saved = time.monotonic()
            self.save()
            return not stopped()

    def update(self) -> dict[str, float]:
        """One update of the weights; returns the terms."""
        config, step = self.config, self.progress.step
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(config.optimizer, step)
        g = generator(config.seed, step)
        moment = Moment(step, step / config.optimizer.steps_per_epoch)
        totals: dict[str, float] = {}
        self.optimizer.zero_grad()
        for _ in range(config.optimizer.accumulate):
            terms = self._terms(g, moment)
            loss = torch.stack(list(terms.values())).sum() / config.optimizer.accumulate
            loss.backward()  # type: ignore[no-untyped-call]
            for name, value in terms.items():
                totals[name] = totals.get(name, 0.0) + float(value.detach()) / config.optimizer.accumulate
        if config.optimizer.clip_norm:
            torch.nn.utils.clip_grad_norm_(self.trained.values(), config.optimizer.clip_norm)
        self.optimizer.step()
        self.progress.step += 1
        return totals

    def _terms(self, g: torch.Generator, moment: Moment) -> dict[str, Tensor]:
        data = self.config.data
        align = data.residual if self.config.stage == "vsvf" and data.prealigned else None
        batch = draw_batch(
            self.train_pool,
            data.augment,
            self.config.optimizer.batch,
            g,
            same_subject=data.same_subject,
            align=align,
            distances=max(self.config.losses.distances, self.config.losses.overlap) > 0,
        )
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.config.mixed_precision):
            return objective(self.model, batch, self.train_pool.grid, self.config, moment)

    def check(self) -> dict[str, float]:
        """Validate, log, keep the best weights."""
        config = self.config
        figures = validate(self.model, self.validation_pool, config, config.affine_steps, config.vsvf_steps)
        _append(self.folder / "validation.csv", {"step": self.progress.step, **figures})
        self.report(f"step {self.progress.step}: " + ", ".join(f"{k} {v:.4f}" for k, v in figures.items()))
        if figures["score"] > self.progress.best_score:
            self.progress.best_score = figures["score"]
            checkpoint.save_weights(self.folder / "best.safetensors", self.model, self.header(figures))
        return figures

    def _log(self, rows: list[dict[str, float]]) -> None:
        means = {name: sum(row[name] for row in rows) / len(rows) for name in rows[-1]}
        rate = self.optimizer.param_groups[0]["lr"]
        row = {"step": self.progress.step, "seconds": self.progress.seconds, "rate": rate, **means}
        _append(self.folder / "log.csv", row)
        self.report(" ".join(f"{name} {value:.5g}" for name, value in row.items()))

    def _trim_logs(self) -> None:
        """Drop logged rows of steps that were lost with the process and will be made again."""
        for name in ("log.csv", "validation.csv"):
            path = self.folder / name
            if path.exists():
                head, *rows = path.read_text().splitlines(keepends=True)
                kept = [row for row in rows if int(row.split(",")[0]) <= self.progress.step]
                path.write_text("".join([head, *kept]))


def trained_parameters(model: AVSM, stage: str) -> dict[str, torch.nn.Parameter]:
    """The parameters that ``stage`` changes, by name; the others are frozen."""
    parts = PARTS[stage]
    chosen = {}
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith(parts))
        if parameter.requires_grad:
            chosen[name] = parameter
    return chosen


def load_initial_weights(model: AVSM, path: Path) -> None:
    """Take the parts of an AVSM weights file that its own run trained.

    A file of stage ``affine`` gives the affine network only, one of ``vsvf`` the momentum network
    only, so that two of them can be joined.
    """
    header, tensors = checkpoint.read_tensors(path)
    if header.architecture != ARCHITECTURE:
        raise CheckpointError(f"{path}: these weights are for {header.architecture!r}, but {ARCHITECTURE!r} is needed")
    part = header.figures.get("trained", ["affine.", "momentum."])
    own = model.state_dict()
    wanted = {name: value for name, value in tensors.items() if name.startswith(tuple(part))}
    checkpoint.fit_tensors(model, {**own, **wanted}, path)


def read_config(path: Path) -> TrainingConfig:
    """A training configuration from a JSON file.

    Raises:
        ConfigError: if it cannot be read or holds a wrong value.
    """
    try:
        text = path.read_text()
    except OSError as error:
        raise ConfigError(f"{path}: the configuration cannot be read ({error})") from error
    return from_json(TrainingConfig, text)


def asdict_json(config: Any) -> dict[str, Any]:
    """A configuration as it comes back from JSON: lists for tuples."""
    values: dict[str, Any] = json.loads(to_json(config))
    return values


def current_commit() -> str:
    """The commit of the code, or ``unknown`` outside a checkout."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def _append(path: Path, row: dict[str, Any]) -> None:
    new = not path.exists()
    with path.open("a", newline="") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(row))
        if new:
            writer.writeheader()
        writer.writerow(row)


@contextmanager
def _stop_signals() -> Iterator[Callable[[], bool]]:
    """While inside, SIGTERM and SIGINT ask for a stop after the current step instead of killing."""
    asked: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        asked.append(number)

    try:
        previous = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    except ValueError:  # not in the main thread: nobody sends us signals
        previous = {}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
