"""The methods: from two prepared images to an affine transform and a deformation around it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from .affine_opt import affine_opt
from .config import RegistrationConfig
from .energy import Dissimilarity, ImagePair
from .geometry import FloatArray
from .lddmm_opt import geodesic_map, lddmm_opt
from .maps import affine_map, apply_matrix, from_displacement, resample_displacement
from .progress import Reporter
from .vsvf_opt import LocalMap, composed, local_map, vsvf_opt

#: Resolution, as a shrink factor, at which predictions are compared.
_JUDGED_AT = 2

_HANDED_OVER = (
    "The networks' prediction did not make the images more alike, so it was left out and the affine transform "
    "was found by optimisation."
)
_LEFT_OUT = "The network's deformation did not make the images more alike, so it was left out."


@dataclass(frozen=True)
class Estimate:
    """The fixed point x goes to the moving point A(psi(x)); ``notes`` are sentences for the user."""

    affine_ras: FloatArray
    local: LocalMap
    notes: tuple[str, ...] = ()


def estimate(
    pair: ImagePair,
    config: RegistrationConfig,
    start: FloatArray | None,
    reporter: Reporter,
    lap: Callable[[str], None],
) -> Estimate:
    """Run the configured method.

    Args:
        pair: normalised images on their working grids.
        config: method and settings.
        start: a starting transform (4x4, RAS, fixed to moving), or None.
        reporter: spans all of the method's stages.
        lap: called with a stage's name when it is over, to take its time.

    Raises:
        RegistrationCancelled, InputError, CheckpointError: as the stages do.
    """
    if config.method in ("avsm", "avsm-affine"):
        return _predicted(pair, config, start, reporter, lap)
    affine_end = 1.0 if config.method == "affine-opt" else 0.25
    affine = affine_opt(pair, config.affine, initial_ras=start, reporter=reporter.part(0, affine_end, "affine"))
    lap("affine")
    local = no_deformation(pair)
    if config.method == "vsvf-opt":
        momentum, grid = vsvf_opt(pair, affine, config.vsvf, reporter=reporter.part(affine_end, 1, "deformable"))
        with torch.no_grad():
            local = local_map(momentum, grid, config.vsvf.velocity)
        lap("deformable")
    elif config.method == "lddmm-opt":
        momentum, grid = lddmm_opt(pair, affine, config.lddmm, reporter=reporter.part(affine_end, 1, "deformable"))
        with torch.no_grad():
            local = geodesic_map(momentum, grid, config.lddmm)
        lap("deformable")
    return Estimate(affine, local)


def no_deformation(pair: ImagePair) -> LocalMap:
    """psi = identity, on the coarsest lattice there is."""
    return LocalMap.identity(pair.fixed_grid.resized((2, 2, 2)), pair.fixed)


def _predicted(
    pair: ImagePair,
    config: RegistrationConfig,
    start: FloatArray | None,
    reporter: Reporter,
    lap: Callable[[str], None],
) -> Estimate:
    """The networks' prediction, judged by the energy, then refined by instance optimisation."""
    refine = config.network.refine if config.method == "avsm" else 0
    network_end = 0.2 if refine else 0.8
    found = _network(pair, config, start, reporter.part(0, network_end, "network"))
    lap("network")
    if not refine:
        return found
    settings = dataclasses.replace(config.vsvf, iterations=refine, levels=config.vsvf.levels[-2:])
    momentum, grid = vsvf_opt(
        pair, found.affine_ras, settings, before=found.local, reporter=reporter.part(network_end, 1, "refining")
    )
    with torch.no_grad():
        local = composed(found.local, local_map(momentum, grid, settings.velocity))
    lap("refining")
    return Estimate(found.affine_ras, local, found.notes)


def _network(pair: ImagePair, config: RegistrationConfig, start: FloatArray | None, reporter: Reporter) -> Estimate:
    """What the networks say, kept only where it makes the images more alike, as a whole and the deformation too."""
    from .networks.predict import predict  # noqa: PLC0415 the optimisers need no networks
    from .networks.weights import load_model  # noqa: PLC0415

    reporter.update(0.0)
    model, _ = load_model(device=pair.fixed.device)
    reporter.update(0.2)
    network = config.network
    prediction = predict(
        model, pair, side=network.side, affine_steps=network.affine_steps, vsvf_steps=network.vsvf_steps
    )
    reporter.update(0.6)
    judge = _Judge(pair, config)
    affine, local = prediction.affine_ras, no_deformation(pair)
    notes: tuple[str, ...] = ()
    loss = judge(affine)
    if config.method == "avsm":
        predicted = LocalMap(prediction.psi_mm, prediction.inverse_psi_mm, prediction.grid)
        deformed = judge(affine, predicted)
        local, notes = (predicted, ()) if deformed < loss else (local, (_LEFT_OUT,))
        loss = min(loss, deformed)
    if loss >= judge(np.eye(4) if start is None else start):
        affine = affine_opt(pair, config.affine, initial_ras=start, reporter=reporter.part(0.6, 1.0))
        return Estimate(affine, no_deformation(pair), (_HANDED_OVER,))
    return Estimate(affine, local, notes)


class _Judge:
    """The dissimilarity of a pair under a transform, at reduced resolution."""

    def __init__(self, pair: ImagePair, config: RegistrationConfig) -> None:
        self._pair = pair.shrunk(_JUDGED_AT)
        self._dissimilarity = Dissimilarity(self._pair, config.vsvf.similarity)

    @torch.no_grad()
    def __call__(self, affine_ras: FloatArray, local: LocalMap | None = None) -> float:
        grid = self._pair.fixed_grid
        if local is None:
            return float(self._dissimilarity(affine_map(affine_ras, grid, self._pair.fixed)))
        u = resample_displacement(local.forward_mm, local.grid, grid)
        return float(self._dissimilarity(apply_matrix(affine_ras, from_displacement(u, grid))))
