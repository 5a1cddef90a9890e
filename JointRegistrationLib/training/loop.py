"""The training of AVSM: pairs of knees, the losses of its stages, validation by warped labels."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from ..core.geometry import Grid
from ..networks.model import AVSM
from ..networks.weights import ARCHITECTURE
from .config import TrainingConfig
from .data.augment import generator
from .data.batches import Batch, configured_pool, draw_batch, usable_part
from .data.pool import Pool
from .distributed import Ranks
from .objectives import TrainingTime, objective
from .record.examples import write_examples
from .record.parts import PARTS
from .run import OnUpdate, Report, Run
from .validation import validate


class _Objective(nn.Module):
    """The loss as a module, which is what DistributedDataParallel can watch."""

    def __init__(self, model: AVSM, config: TrainingConfig) -> None:
        super().__init__()
        self.model, self.config = model, config

    def forward(self, batch: Batch, grid: Grid, moment: TrainingTime) -> dict[str, Tensor]:
        return objective(self.model, batch, grid, self.config, moment)


class Trainer(Run[TrainingConfig]):
    """One training of AVSM in one folder.

    Args:
        config, folder, report, ranks, on_update: see :class:`~.run.Run`.
        train, validation: pools on the training grid; None loads those of the configuration.

    Raises:
        ConfigError: if the losses need label maps and the pool has none.
    """

    architecture, parts = ARCHITECTURE, PARTS["joint"]
    model: AVSM

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
        super().__init__(config, folder, report, ranks, on_update)
        self.train_pool = usable_part(train or configured_pool(config, "train"), config).to(self.device)
        self.validation_pool = usable_part(validation or configured_pool(config, "validation"), config).to(self.device)
        self.model = AVSM(config.model).to(self.device)
        self.data = f"{config.data.pool}: {len(self.train_pool.scans)} scans"
        self._train(_Objective(self.model, config), PARTS[config.stage])

    def terms(self, part: int, moment: TrainingTime) -> dict[str, Tensor]:
        """The loss on a batch of pairs."""
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

    def measure(self) -> dict[str, float]:
        """See :func:`~.validation.validate`."""
        config = self.config
        return validate(self.model, self.validation_pool, config, config.affine_steps, config.vsvf_steps)

    def draw_examples(self, path: Path) -> None:
        """Two validation pairs, see :mod:`.examples`."""
        write_examples(path, self.model, self.validation_pool, self.config)
