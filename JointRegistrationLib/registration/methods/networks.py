"""The networks' way: affine and deformation predicted, judged by the energy, refined by optimisation."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...core.config import NetworkConfig, RegistrationConfig, SimilarityConfig
from ...core.geometry import FloatArray
from ...core.progress import Reporter
from ...networks import cache, weights
from ...networks.model import AVSM
from ...networks.predict import predict
from ...ops.maps import apply_matrix, compose_displacement
from ...ops.similarity.image_pair import Dissimilarity, ImagePair
from ..landmarks import LandmarkTerm
from ..local_map import Estimate, LocalMap, composed, map_through, no_deformation
from .affine import MIN_COMMON, affine_around, affine_opt
from .momentum import deformation
from .optimised import optimised

#: Resolution, as a shrink factor, at which predictions are compared.
_JUDGED_AT = 2

#: The voxels of the coarsest level at which a prediction is refined: about those of the networks' momentum.
_COARSEST_REFINED_MM = 3.5

#: What does a network method's work where its weights are missing.
_INSTEAD = {"avsm": "vsvf-opt", "avsm-affine": "affine-opt"}


@dataclass(frozen=True)
class _Candidate:
    """One prediction; ``local`` None: its deformation did not make the images more alike, or none was asked for."""

    affine_ras: FloatArray
    local: LocalMap | None
    loss: float
    side: str
    from_start: bool


def predicted(
    pair: ImagePair,
    config: RegistrationConfig,
    start: FloatArray | None,
    sides: tuple[str, ...],
    reporter: Reporter,
    lap: Callable[[str], None],
    *,
    landmarks: LandmarkTerm | None = None,
) -> Estimate:
    """Method ``avsm`` or ``avsm-affine``; see :func:`~.dispatch.estimate`.

    Args:
        sides: which knees it may be, in the order of trust; the networks are run for each.

    Raises:
        CheckpointError: if the weights are damaged, or missing and ``network.fallback`` is off.
    """
    deforms = config.method == "avsm"
    if config.network.fallback and not weights.DEFAULT_WEIGHTS.is_file():
        vsvf = config.vsvf if deforms else None
        found = optimised(pair, config.affine, vsvf, start, reporter, lap, landmarks=landmarks)
        return dataclasses.replace(found, notes=(_missing(config.method),))
    refine = config.network.refine if deforms else 0
    network_end = 0.2 if refine else 1.0
    found, is_predicted = _best(pair, config, start, sides, landmarks, reporter.part(0, network_end, "network"))
    lap("network")
    if not refine:
        return found
    found = _refined(pair, config, found, is_predicted, landmarks, reporter.part(network_end, 1, "refining"))
    lap("refining")
    return found


def _missing(method: str) -> str:
    return (
        f"The networks' weights are missing ({weights.DEFAULT_WEIGHTS}), so {_INSTEAD[method]} was run instead of "
        f"{method}; reinstall the package to get them."
    )


def _refined(
    pair: ImagePair,
    config: RegistrationConfig,
    found: Estimate,
    is_predicted: bool,
    landmarks: LandmarkTerm | None,
    reporter: Reporter,
) -> Estimate:
    """Instance optimisation on the fixed side of a prediction; all of vSVF-opt where there is none."""
    settings, affine, begin = config.vsvf, found.affine_ras, 0.0
    if is_predicted:
        settings = dataclasses.replace(config.refinement, levels=_levels(config.vsvf.levels, pair))
        if config.network.refine_affine:
            begin = 0.1
            affine = affine_around(
                pair,
                config.affine,
                settings.similarity,
                affine,
                (found.local.forward_mm, found.local.grid),
                level=settings.levels[0],
                iterations=config.network.refine,
                reporter=reporter.part(0, begin),
            )
    after, notes = deformation(pair, affine, settings, reporter.part(begin, 1), before=found.local, landmarks=landmarks)
    with torch.no_grad():
        local = composed(found.local, after)
    return Estimate(affine, local, (*found.notes, *notes))


def _levels(levels: tuple[int, ...], pair: ImagePair) -> tuple[int, ...]:
    """The two finest levels, and coarser ones as long as they resolve what the networks do."""
    spacing = min(pair.fixed_grid.spacing_mm)
    resolved = tuple(level for level in levels if level * spacing <= _COARSEST_REFINED_MM)
    return max(resolved, levels[-2:], key=len)


def _best(
    pair: ImagePair,
    config: RegistrationConfig,
    start: FloatArray | None,
    sides: tuple[str, ...],
    landmarks: LandmarkTerm | None,
    reporter: Reporter,
) -> tuple[Estimate, bool]:
    """The best prediction, or affine-opt where none makes the images more alike; and whether it deforms."""
    reporter.update(0.0)
    model = cache.avsm(pair.fixed.device)
    reporter.update(0.1)
    deforms = config.method == "avsm"
    judge = _Judgement(pair, config.vsvf.similarity, landmarks)
    candidates = []
    with cache.stoppable(model, reporter):
        for candidate in _candidates(model, pair, config.network, deforms, start, sides, judge):
            candidates.append(candidate)
            reporter.update(0.6)
    best = min(candidates, key=lambda candidate: candidate.loss)
    if not best.loss < judge(np.eye(4) if start is None else start):
        affine = affine_opt(pair, config.affine, initial_ras=start, reporter=reporter.part(0.6, 1.0))
        return Estimate(affine, no_deformation(pair), (_handed_over(deforms and config.network.refine > 0),)), False
    notes = tuple(_notes(best, deforms, sides, start is not None))
    local = no_deformation(pair) if best.local is None else best.local
    return Estimate(best.affine_ras, local, notes), best.local is not None


def _handed_over(deforms: bool) -> str:
    found = "affine transform and deformation were" if deforms else "affine transform was"
    return (
        "The networks' prediction did not make the images more alike, so it was left out and the "
        f"{found} found by optimisation."
    )


def _notes(best: _Candidate, deforms: bool, sides: tuple[str, ...], has_start: bool) -> Iterator[str]:
    if len(sides) > 1:
        yield (
            "Whether these are right or left knees could not be told from the images, so the networks were run for "
            f"both: as {best.side} knees the images became more alike. Set the side if that is wrong."
        )
    if has_start and not best.from_start:
        yield (
            "The networks made the images more alike without the starting transform than from it, so it was not used."
        )
    if deforms and best.local is None:
        yield "The network's deformation did not make the images more alike, so it was left out."


def _candidates(
    model: AVSM,
    pair: ImagePair,
    network: NetworkConfig,
    deforms: bool,
    start: FloatArray | None,
    sides: tuple[str, ...],
    judge: _Judgement,
) -> Iterator[_Candidate]:
    """Predictions for every side, from the fields of view laid onto each other and from the start, if any."""
    for side in sides:
        for begin in (None,) if start is None else (start, None):
            found = predict(
                model,
                pair,
                side=side,
                affine_steps=network.affine_steps,
                vsvf_steps=network.vsvf_steps if deforms else 0,
                start_ras=begin,
            )
            loss = judge(found.affine_ras)
            local = None
            if deforms:
                psi = LocalMap(found.psi_mm, found.inverse_psi_mm, found.grid)
                deformed = judge(found.affine_ras, psi)
                if deformed < loss:
                    loss, local = deformed, psi
            yield _Candidate(found.affine_ras, local, loss, side, begin is not None)


def _through(affine_ras: FloatArray, local: LocalMap | None, points_ras: Tensor) -> Tensor:
    """Where A o psi sends points (1, 3, n, 1, 1), RAS mm."""
    if local is not None:
        points_ras = compose_displacement(local.forward_mm, local.grid, points_ras)
    return apply_matrix(affine_ras, points_ras)


class _Judgement:
    """The dissimilarity of a pair under a transform, at reduced resolution, and what its landmarks add.

    Infinite where next to nothing overlaps.
    """

    def __init__(self, pair: ImagePair, similarity: SimilarityConfig, landmarks: LandmarkTerm | None = None) -> None:
        self._landmarks = landmarks
        self._pair = pair.shrunk(_JUDGED_AT)
        self._dissimilarity = Dissimilarity(self._pair, similarity)
        mask = self._pair.fixed_mask
        self._whole = self._pair.fixed.numel() if mask is None else max(float(mask.sum()), 1e-6)

    @torch.no_grad()
    def __call__(self, affine_ras: FloatArray, local: LocalMap | None = None) -> float:
        grid = self._pair.fixed_grid
        if not np.isfinite(affine_ras).all():
            return math.inf
        map_ras = map_through(affine_ras, local, grid, self._pair.fixed)
        if float(self._pair.weight(map_ras).sum()) < MIN_COMMON * self._whole:
            return math.inf
        loss = float(self._dissimilarity(map_ras))
        if self._landmarks is not None:
            loss += float(self._landmarks(lambda points: _through(affine_ras, local, points)))
        return loss if math.isfinite(loss) else math.inf
