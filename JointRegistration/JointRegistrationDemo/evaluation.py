"""The figures of one registration, before and after."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from JointRegistrationLib.core.figures.metrics import LabelMetrics, label_metrics
from JointRegistrationLib.core.geometry import Grid
from JointRegistrationLib.core.image import Image
from JointRegistrationLib.core.result import RegistrationResult
from JointRegistrationLib.ops import maps

from .inputs import CARTILAGES, DemoInputs


@dataclass(frozen=True)
class TruthError:
    """Distance between a map and the known one over some voxels, in mm."""

    mean_mm: float
    percentile95_mm: float


@dataclass(frozen=True)
class Evaluation:
    """Figures that need more than the result itself; empty or None where nothing is known.

    Args:
        before, after: by label, for the identity and for the result.
        truthBefore, truthAfter: error at bone and cartilage against the known truth.
        warpedLabels: the moving labels through the result.
    """

    before: dict[int, LabelMetrics]
    after: dict[int, LabelMetrics]
    truthBefore: TruthError | None = None
    truthAfter: TruthError | None = None
    warpedLabels: Image | None = None

    def cartilageDice(self) -> tuple[float, float]:
        """Mean over the cartilages, before and after."""
        means = [np.mean([scores[label].dice for label in CARTILAGES]) for scores in (self.before, self.after)]
        return float(means[0]), float(means[1])

    def summary(self, names: dict[int, str]) -> dict[str, Any]:
        """As plain JSON values."""
        if self.truthBefore is None or self.truthAfter is None:
            return {}
        return {
            "labels": {
                names[label]: {
                    "before": dataclasses.asdict(self.before[label]),
                    "after": dataclasses.asdict(self.after[label]),
                }
                for label in self.after
            },
            "error_at_bone_and_cartilage": {
                "before": dataclasses.asdict(self.truthBefore),
                "after": dataclasses.asdict(self.truthAfter),
            },
        }


def evaluate(inputs: DemoInputs, result: RegistrationResult) -> Evaluation:
    """Compare labels and map with what is known of the inputs."""
    if inputs.fixedLabels is None or inputs.movingLabels is None or inputs.truthMm is None:
        return Evaluation({}, {})
    grid = result.fixed_grid
    before = _warpedLabels(inputs.movingLabels, np.zeros_like(result.displacement_field_mm), grid)
    after = _warpedLabels(inputs.movingLabels, result.displacement_field_mm, grid)
    tissue = inputs.fixedLabels.array > 0
    return Evaluation(
        before=label_metrics(inputs.fixedLabels, before),
        after=label_metrics(inputs.fixedLabels, after),
        truthBefore=_truthError(-inputs.truthMm, tissue),
        truthAfter=_truthError(result.displacement_field_mm - inputs.truthMm, tissue),
        warpedLabels=after,
    )


def _warpedLabels(labels: Image, displacementMm: npt.NDArray[np.float32], grid: Grid) -> Image:
    """A label map through a displacement field (k, j, i, 3), RAS mm, on ``grid``."""
    mapRas = maps.from_displacement(torch.from_numpy(displacementMm).movedim(-1, 0)[None], grid)
    warped = maps.warp_labels(torch.from_numpy(labels.array)[None, None], labels.grid, mapRas)
    return Image(warped[0, 0].numpy(), grid, f"warped {labels.name}")


def _truthError(differenceMm: npt.NDArray[np.float32], where: npt.NDArray[np.bool_]) -> TruthError:
    distances = np.linalg.norm(differenceMm[where], axis=-1)
    return TruthError(float(distances.mean()), float(np.percentile(distances, 95)))
