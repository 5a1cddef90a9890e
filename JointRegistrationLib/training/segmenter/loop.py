"""The training of the segmenter: one image drawn for every update and sample, Dice and cross entropy."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from ...networks.segmenter import ARCHITECTURE, CLASSES, Box, Segmenter
from ..data.augment import generator
from ..distributed import Ranks
from ..objectives import TrainingTime
from ..record.parts import SEGMENTER_PARTS
from ..run import OnUpdate, Report, Run
from .config import SegmentLossConfig, SegmentTrainingConfig
from .knee_codes import Knee, load_knees
from .synthesis import Sample, draw_sample
from .validation import validate_segmenter


class _Objective(nn.Module):
    """The loss on one sample as a module."""

    def __init__(self, model: Segmenter, config: SegmentTrainingConfig) -> None:
        super().__init__()
        self.model, self.config = model, config

    def forward(self, sample: Sample, box: Box | None) -> dict[str, Tensor]:
        if self.config.part == "trunk":
            return segmentation_losses(self.model.coarse(sample.image), sample.target, self.config.losses)
        coarse, fine = self.model(sample.image, box)
        target = sample.target if box is None else sample.target[(..., *box)]
        terms = segmentation_losses(fine, target, self.config.losses)
        if self.config.part == "all":
            half = nn.functional.avg_pool3d(sample.target, 2)
            below = segmentation_losses(coarse, half, self.config.losses)
            terms.update({f"coarse_{name}": value for name, value in below.items()})
        return terms


class SegmentTrainer(Run[SegmentTrainingConfig]):
    """One training of the segmenter in one folder.

    Args:
        config, folder, report, ranks, on_update: see :class:`~.run.Run`.
        train, validation: knees; None loads those of the configuration.
    """

    architecture, parts = ARCHITECTURE, SEGMENTER_PARTS["all"]
    model: Segmenter

    def __init__(
        self,
        config: SegmentTrainingConfig,
        folder: Path,
        train: tuple[Knee, ...] | None = None,
        validation: tuple[Knee, ...] | None = None,
        report: Report = lambda line: None,
        ranks: Ranks | None = None,
        on_update: OnUpdate = lambda step, terms: None,
    ) -> None:
        super().__init__(config, folder, report, ranks, on_update)
        pool = Path(config.data.pool)
        self.train_knees = train or load_knees(pool / "train")
        self.validation_knees = validation or load_knees(pool / "validation")
        self.model = Segmenter(config.model).to(self.device)
        self.data = f"renderings of {len(self.train_knees)} label maps"
        self._train(_Objective(self.model, config), SEGMENTER_PARTS[config.part])
        if config.part == "fine" and config.initial_weights:
            self.trained_parts = self.parts  # its trunk comes from another run

    def terms(self, part: int, moment: TrainingTime) -> dict[str, Tensor]:
        """The loss, averaged over a batch of images each drawn by itself."""
        batch = self.config.optimizer.batch
        totals: dict[str, Tensor] = {}
        for n in range(batch):
            g = generator(self.config.seed, moment.step, part * batch + n)
            terms: dict[str, Tensor] = self.objective(*self._draw(g))
            for name, value in terms.items():
                totals[name] = totals.get(name, torch.zeros((), device=self.device)) + value / batch
        return totals

    def _draw(self, g: torch.Generator) -> tuple[Sample, Box | None]:
        knee = self.train_knees[int(torch.randint(len(self.train_knees), (1,), generator=g))]
        data = self.config.data
        drawn = draw_sample(knee, data.synthesis, data.shrink, g)
        sample = Sample(drawn.image.to(self.device), drawn.target.to(self.device))
        return sample, None if self.config.part == "trunk" else random_box(sample.target, data.patch, g)

    def measure(self) -> dict[str, float]:
        """See :func:`~.validation.validate_segmenter`."""
        return validate_segmenter(self.model, self.validation_knees, self.config, self.device)


def segmentation_losses(logits: Tensor, target: Tensor, config: SegmentLossConfig) -> dict[str, Tensor]:
    """Terms of the loss.

    Args:
        logits, target: (N, classes, D, H, W); target holds the shares of each class in the voxels.
        config: weights.
    """
    log_shares = logits.log_softmax(dim=1)
    weight = logits.new_tensor([config.cartilage if "cartilage" in name else 1.0 for name in CLASSES])
    entropy = -(log_shares * target * weight.view(1, -1, 1, 1, 1)).sum(dim=1).mean()
    shares, truth = log_shares.exp()[:, 1:], target[:, 1:]
    axes = (0, 2, 3, 4)
    common = (shares * truth).sum(axes)
    size = shares.square().sum(axes) + truth.square().sum(axes)
    there = truth.sum(axes) > 0
    dice = (2 * common + 1) / (size + 1)
    missing = 1 - dice[there].mean() if bool(there.any()) else 1 - dice.mean()
    return {"cross_entropy": config.cross_entropy * entropy, "dice": config.dice * missing}


def random_box(target: Tensor, patch: tuple[int, ...], g: torch.Generator) -> Box:
    """A part of ``patch`` voxels about some voxel of cartilage, in steps of 4; anywhere if there is none."""
    size = target.shape[2:]
    cartilage = target[0, 4:].sum(dim=0).flatten()
    places = (cartilage > 0.5).nonzero()[:, 0]
    count = len(places) or cartilage.numel()
    pick = int(torch.randint(count, (1,), generator=g))
    flat = int(places[pick]) if len(places) else pick
    centre = (flat // (size[1] * size[2]), flat // size[2] % size[1], flat % size[2])
    slices = []
    for n, wanted, middle in zip(size, patch, centre, strict=True):
        length = min(wanted, n)
        jitter = int((torch.rand(1, generator=g) - 0.5) * length / 2)
        start = min(max(0, middle + jitter - length // 2), n - length) // 4 * 4
        slices.append(slice(start, start + length))
    return slices[0], slices[1], slices[2]
