"""Running methods on pairs, and scoring what they make of the label maps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..core.config import RegistrationConfig
from ..core.errors import JointRegistrationError, RegistrationCancelled
from ..core.figures.metrics import LabelMetrics, label_metrics
from ..core.image import Image
from ..core.lattices.onto_grid import on_grid_of
from ..core.progress import CancelCheck, ProgressCallback
from ..files import read_image, read_labels
from ..ops.devices import choose_device, peak_memory_mb
from ..ops.maps import from_displacement, identity, warp_labels
from ..registration import register
from ..registration.local_map import no_deformation
from .methods import Method
from .pairs import EvaluationPair
from .table import ResultTable

#: Labels of the knee whose mean is reported (bone lesions are bone, but are labels of their own).
UNIONS = {"cartilage": (2, 4), "bones": (1, 3, 5)}

Run = tuple[EvaluationPair, Method]


@dataclass(frozen=True)
class _Images:
    moving: Image
    fixed: Image
    moving_labels: Image
    fixed_labels: Image


def pending(pairs: Sequence[EvaluationPair], methods: Sequence[Method], table: ResultTable) -> list[Run]:
    """Return what is not in the table yet, pair by pair."""
    return [(p, m) for p in pairs for m in methods if (p.group, p.name, m.name) not in table]


def evaluate(
    runs: Sequence[Run],
    table: ResultTable,
    progress: Callable[[int, Run, float], None],
    cancelled: CancelCheck | None = None,
) -> Iterator[dict[str, str]]:
    """Run each method on its pair and save its row; peak memory is that of the whole process so far.

    Args:
        runs: what to do, see :func:`pending`.
        table: gets a row as soon as it is known.
        progress: called with the number of the run, the run, and the fraction done of it.
        cancelled: asked often; True ends all.

    Yields:
        The rows, as they are saved.

    Raises:
        InputError: an image or label map cannot be used, or a registration failed; the pair is named.
        RegistrationCancelled, ResourceError: as :func:`.registration.register.register`.
    """
    loaded: tuple[EvaluationPair, _Images] | None = None
    for number, run in enumerate(runs):
        pair, method = run

        def report(_stage: str, fraction: float, _loss: float | None, number: int = number, run: Run = run) -> None:
            progress(number, run, fraction)

        progress(number, run, 0.0)
        try:
            if loaded is None or loaded[0] != pair:
                loaded = pair, _read(pair)
            figures = _figures(loaded[1], method, report, cancelled)
        except RegistrationCancelled:
            raise
        except JointRegistrationError as error:
            raise type(error)(f"{pair.name}, {method.name}: {error}") from error
        yield table.append({"group": pair.group, "pair": pair.name, "method": method.name, **figures})


def score_labels(fixed_labels: Image, moving_labels: Image, map_ras: Tensor) -> dict[str, float]:
    """Overlap and surface distances of the moving labels, through a map, with the fixed labels, by column.

    Args:
        fixed_labels: on the fixed grid.
        moving_labels: on any grid.
        map_ras: (1, 3, D, H, W) RAS mm on the fixed grid, pointing into the moving image.
    """
    warped = warp_labels(torch.from_numpy(moving_labels.array)[None, None], moving_labels.grid, map_ras)
    found = label_metrics(fixed_labels, Image(warped[0, 0].numpy(), fixed_labels.grid, moving_labels.name))
    scores: dict[str, float] = {}
    for measure in ("dice", "hd95_mm", "assd_mm"):
        scores |= {f"{measure}_{label}": float(getattr(value, measure)) for label, value in found.items()}
        scores |= {f"{measure}_{union}": _mean(found, labels, measure) for union, labels in UNIONS.items()}
    return scores


def _mean(found: dict[int, LabelMetrics], labels: tuple[int, ...], measure: str) -> float:
    """Mean over those labels that occur; nan if none does, or one has no value (a label that vanished)."""
    values = [float(getattr(found[label], measure)) for label in labels if label in found]
    return float(np.mean(values)) if values else float("nan")


def _read(pair: EvaluationPair) -> _Images:
    moving, fixed = read_image(pair.moving), read_image(pair.fixed)
    labels = (on_grid_of(read_labels(pair.moving_labels), moving), on_grid_of(read_labels(pair.fixed_labels), fixed))
    return _Images(moving, fixed, *labels)


def _figures(
    images: _Images, method: Method, progress: ProgressCallback, cancelled: CancelCheck | None
) -> dict[str, object]:
    if method.registers:
        figures, map_ras = _registered(images, method.config, progress, cancelled)
    else:
        figures, map_ras = _unregistered(images, method.config)
    notes = " ".join((str(figures.get("notes", "")), *images.fixed_labels.remarks, *images.moving_labels.remarks))
    return {**score_labels(images.fixed_labels, images.moving_labels, map_ras), **figures, "notes": notes.strip()}


def _registered(
    images: _Images, config: RegistrationConfig, progress: ProgressCallback, cancelled: CancelCheck | None
) -> tuple[dict[str, object], Tensor]:
    result = register.register(images.fixed, images.moving, config, progress=progress, cancelled=cancelled)
    field = torch.from_numpy(result.displacement_field_mm).movedim(-1, 0)[None]
    figures: dict[str, object] = {
        "folds": result.folds.count,
        "folds_percent": result.folds.percent,
        "inverse_error_mean_mm": result.inverse_error_mean_mm,
        "ncc": result.similarity_after,
        "seconds": result.timings_s["total"],
        "peak_memory_mb": peak_memory_mb(),
        "notes": " ".join(result.notes),
    }
    return figures, from_displacement(field, result.fixed_grid)


def _unregistered(images: _Images, config: RegistrationConfig) -> tuple[dict[str, object], Tensor]:
    """As the headers have it; similarity on the same working grid as everywhere."""
    pair = register.prepare_pair(images.fixed, images.moving, config.preprocess, choose_device("cpu"))
    before, _ = register.similarities(pair, np.eye(4), no_deformation(pair))
    nothing: dict[str, object] = {"folds": 0, "folds_percent": 0.0, "inverse_error_mean_mm": 0.0, "seconds": 0.0}
    return {**nothing, "ncc": before, "peak_memory_mb": peak_memory_mb()}, identity(images.fixed.grid)
