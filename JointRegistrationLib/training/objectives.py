"""What training minimises: the terms of :class:`~.config.LossConfig` for a batch of pairs."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..core.geometry import Grid
from ..networks.affine import HeatMaps, LandmarkAffineNet, affine_frame, affine_ras, frame_to_ras, warp_affine
from ..networks.model import AVSM, AVSMOutput, affine_blocks, shrunk
from ..ops import maps, regularity
from ..ops.similarity import measures
from .config import LossConfig, TrainingConfig
from .data.alignment import CLIP_MM
from .data.batches import Batch

#: Share of each structure (``labels.STRUCTURES``) in the label losses: cartilage is thin and the aim.
STRUCTURE_WEIGHTS = (1.0, 2.0, 1.0, 2.0, 0.5, 1.0)

Terms = dict[str, Tensor]


@dataclass(frozen=True)
class TrainingTime:
    """Where a training is: finished steps, and epochs as a fraction."""

    step: int
    epoch: float


def objective(model: AVSM, batch: Batch, grid: Grid, config: TrainingConfig, time: TrainingTime) -> Terms:
    """Weighted terms of the loss; their sum is minimised."""
    symmetric = _symmetric(config.losses) and time.epoch >= config.losses.symmetric_from_epoch
    directions = [batch, batch.swapped()] if symmetric else [batch]
    if config.stage == "affine":
        return _affine_terms(model, directions, grid, config, time)
    return _map_terms(model, directions, grid, config, time)


def _mixed(config: TrainingConfig, batch: Batch) -> torch.autocast:
    """The networks' own precision. Only they run inside: coordinates, warps and losses keep float32."""
    return torch.autocast(batch.fixed.device.type, dtype=torch.bfloat16, enabled=config.mixed_precision)


def _symmetric(config: LossConfig) -> bool:
    return max(config.affine_symmetry, config.map_symmetry, config.gradient_symmetry) > 0


# -- affine -----------------------------------------------------------------------------------------


def _affine_terms(
    model: AVSM, directions: list[Batch], grid: Grid, config: TrainingConfig, time: TrainingTime
) -> Terms:
    weights = config.losses
    steps = config.affine_steps if time.step >= config.multi_step_from_step else 1
    if max(weights.landmarks, weights.heat_maps) > 0 and isinstance(model.affine, LandmarkAffineNet):
        return _landmark_terms(model.affine, model, directions, grid, config, steps, time)
    with _mixed(config, directions[0]):
        predictions = [model.predict_affine(b.moving, b.fixed, grid, steps) for b in directions]
    frames = [affine_frame(p[-1], grid) for p in predictions]
    terms: Terms = {}
    for batch, predicted, frame in zip(directions, predictions, frames, strict=True):
        share = 1 / len(directions)
        if weights.points:
            error = torch.stack([point_error_mm(p, batch.affine_ras, grid) for p in predicted]).mean()
            _add(terms, "points", share * weights.points * error)
        _image_terms(terms, weights, batch, maps.apply_matrix(predicted[-1], _points(grid, batch)), grid, time, share)
        if weights.affine_regularity:
            factor = regularity.affine_regularity_weight(
                time.epoch, scale=weights.affine_regularity_scale, hold=weights.affine_regularity_hold
            )
            _add(
                terms,
                "affine_regularity",
                share * weights.affine_regularity * factor * regularity.affine_regularity(frame),
            )
    if len(frames) == 2 and weights.affine_symmetry:
        _add(terms, "affine_symmetry", weights.affine_symmetry * regularity.affine_symmetry(frames[0], frames[1]))
    return terms


def point_error_mm(predicted_ras: Tensor, wanted_ras: Tensor, grid: Grid) -> Tensor:
    """Mean distance between where two affines (N, 4, 4) send a lattice of points of the joint: scalar, mm.

    A distance below about 1 mm counts by its square, so that the gradient fades at the end.
    """
    axis = torch.linspace(-0.6, 0.6, 4)
    frame = torch.cartesian_prod(axis, axis, axis).T.to(predicted_ras)  # (3, 64)
    to_ras = maps.matrix_tensor(frame_to_ras(grid), predicted_ras)
    points = to_ras[:3, :3] @ frame + to_ras[:3, 3:]
    difference = predicted_ras - wanted_ras
    moved = difference[:, :3, :3] @ points + difference[:, :3, 3:]
    return (moved.square().sum(dim=1) + 1).sqrt().mean() - 1


def _landmark_terms(
    network: LandmarkAffineNet,
    model: AVSM,
    directions: list[Batch],
    grid: Grid,
    config: TrainingConfig,
    steps: int,
    time: TrainingTime,
) -> Terms:
    """Every step's landmarks, affine and what that warps, each step from the image as the one before leaves it.

    A step is taught to be right by itself: no gradient goes back through the resampling.
    """
    terms: Terms = {}
    weights = config.losses
    blocks = affine_blocks(grid, model.config.affine_spacing_mm)
    share = 1 / (len(directions) * steps)
    for original in directions:
        batch = original
        for step in range(steps):
            with _mixed(config, batch):
                found = network.heat_maps(shrunk(torch.cat([batch.moving, batch.fixed]), blocks))
            increment = affine_ras(network.fit(found), grid)
            left = torch.linalg.inv(original.moving_to_template) @ batch.moving_to_template  # the affine so far
            predicted = left @ increment  # the fit acts on the fixed side, see multi_step_affine
            wanted = wanted_landmarks(network.anchors, batch, grid)
            _add(terms, "points", share * weights.points * point_error_mm(predicted, original.affine_ras, grid))
            _add(terms, "landmarks", share * weights.landmarks * landmark_error_mm(found.points, wanted, grid))
            _add(terms, "heat_maps", share * weights.heat_maps * heat_map_loss(found, wanted, grid))
            map_ras = maps.apply_matrix(predicted, _points(grid, original))
            _image_terms(terms, weights, original, map_ras, grid, time, share)
            if step + 1 < steps:
                batch = _after(original, predicted.detach(), grid)
    return terms


def _after(batch: Batch, affine: Tensor, grid: Grid) -> Batch:
    """The pairs once their moving images have been resampled through ``affine`` (N, 4, 4), RAS."""
    return replace(
        batch, moving=warp_affine(batch.moving, affine, grid), moving_to_template=batch.moving_to_template @ affine
    )


def wanted_landmarks(anchors: Tensor, batch: Batch, grid: Grid) -> Tensor:
    """Place the template's anchors (K, 3) in the images of N pairs, moving first: (2 N, K, 3), frame."""
    from_template = torch.linalg.inv(torch.cat([batch.moving_to_template, batch.fixed_to_template]))
    frames = affine_frame(from_template, grid)
    return anchors @ frames[:, :3, :3].mT + frames[:, None, :3, 3]


def landmark_error_mm(found: Tensor, wanted: Tensor, grid: Grid) -> Tensor:
    """Mean distance between landmarks (N, K, 3), frame; below about 1 mm its square: scalar, mm."""
    to_mm = maps.matrix_tensor(frame_to_ras(grid)[:3, :3], found)
    return (((found - wanted) @ to_mm.mT).square().sum(dim=2) + 1).sqrt().mean() - 1


def heat_map_loss(found: HeatMaps, wanted: Tensor, grid: Grid, sigma_mm: float = 6.0) -> Tensor:
    """Cross entropy to a Gaussian at each wanted landmark (N, K, 3), less its least value: scalar, nats.

    Landmarks outside the field of view do not count. It localises long before the mean position,
    which a broad heat map also gets right, has anything to say.
    """
    to_mm = maps.matrix_tensor(frame_to_ras(grid)[:3, :3], wanted)
    distance = torch.cdist(wanted @ to_mm.mT, (found.positions @ to_mm.mT)[None])
    target = torch.log_softmax(-distance.square() / (2 * sigma_mm**2), dim=2)
    divergence = (target.exp() * (target - found.log_probabilities)).sum(dim=2)
    visible = (wanted.abs() <= 1).all(dim=2).float()
    return (divergence * visible).sum() / visible.sum().clamp_min(1)


# -- maps -------------------------------------------------------------------------------------------


def _map_terms(model: AVSM, directions: list[Batch], grid: Grid, config: TrainingConfig, time: TrainingTime) -> Terms:
    weights = config.losses
    with _mixed(config, directions[0]):
        outputs = [_deform(model, batch, grid, config) for batch in directions]
    terms: Terms = {}
    for batch, output in zip(directions, outputs, strict=True):
        share = 1 / (len(directions) * max(1, len(output.steps)))
        for step in output.steps:
            _image_terms(terms, weights, batch, step.map_ras, grid, time, share)
            if weights.momentum:
                energy = regularity.momentum_energy(step.momentum_mm, step.velocity_mm, output.momentum_grid)
                _add(terms, "momentum", share * weights.momentum * energy)
    if len(outputs) == 2 and weights.map_symmetry:
        there, back = outputs[0].map_ras, outputs[1].map_ras
        _add(terms, "map_symmetry", weights.map_symmetry * regularity.map_symmetry(there, grid, back, grid))
    if len(outputs) == 2 and weights.gradient_symmetry:
        error = maps.compose(outputs[1].map_ras, grid, outputs[0].map_ras)
        eye = torch.eye(3, device=error.device)[None, :, :, None, None, None]
        value = (maps.jacobian_matrix(error, grid) - eye).square().sum(dim=(1, 2)).mean()
        _add(terms, "gradient_symmetry", weights.gradient_symmetry * value)
    return terms


def _deform(model: AVSM, batch: Batch, grid: Grid, config: TrainingConfig) -> AVSMOutput:
    if config.stage == "joint":
        return model(batch.moving, batch.fixed, grid, config.affine_steps, config.vsvf_steps)  # type: ignore[no-any-return]
    if config.data.prealigned:
        affines = [torch.eye(4, device=batch.fixed.device).expand(len(batch.fixed), 4, 4)]
    else:
        with torch.no_grad():
            affines = model.predict_affine(batch.moving, batch.fixed, grid, config.affine_steps)
    return model.deform(batch.moving, batch.fixed, grid, affines, config.vsvf_steps)


# -- terms on a map ---------------------------------------------------------------------------------


def _image_terms(
    terms: Terms, weights: LossConfig, batch: Batch, map_ras: Tensor, grid: Grid, time: TrainingTime, share: float
) -> None:
    if weights.distances or weights.overlap:
        warped = maps.sample(batch.moving_distances, grid, map_ras, outside=None)
        if weights.distances:
            _add(terms, "distances", share * weights.distances * distance_loss(warped, batch.fixed_distances))
        if weights.overlap:
            overlap = overlap_loss(warped, batch.fixed_distances, weights.overlap_softness_mm)
            _add(terms, "overlap", share * weights.overlap * overlap)
    if weights.similarity:
        image = maps.warp(batch.moving, grid, map_ras)
        name = "ncc" if time.epoch < weights.local_from_epoch else "mk-lncc"
        _add(terms, "similarity", share * weights.similarity * measures.similarity_loss(name)(batch.fixed, image, None))


def distance_loss(warped: Tensor, fixed: Tensor) -> Tensor:
    """Weighted mean squared difference of clipped distance fields near the fixed surfaces, in units of 5 mm."""
    near = (fixed.abs() < CLIP_MM - 2).any(dim=1, keepdim=True).float()
    share = warped.new_tensor(STRUCTURE_WEIGHTS).view(1, -1, 1, 1, 1)
    squared = ((warped - fixed) / 5).square() * share * near
    return squared.sum() / (near.sum().clamp_min(1) * sum(STRUCTURE_WEIGHTS))


def overlap_loss(warped: Tensor, fixed: Tensor, softness_mm: float) -> Tensor:
    """1 - weighted mean soft Dice of the structures, from their distance fields (N, 6, D, H, W)."""
    a, b = torch.sigmoid(-warped / softness_mm), torch.sigmoid(-fixed / softness_mm)
    common, total = (a * b).sum(dim=(2, 3, 4)), (a.square() + b.square()).sum(dim=(2, 3, 4))
    dice = (2 * common + 1) / (total + 1)
    share = warped.new_tensor(STRUCTURE_WEIGHTS)
    return 1 - (dice * share).sum(dim=1).mean() / share.sum()


def _points(grid: Grid, batch: Batch) -> Tensor:
    return maps.identity(grid, device=batch.fixed.device).expand(len(batch.fixed), -1, -1, -1, -1)


def _add(terms: Terms, name: str, value: Tensor) -> None:
    terms[name] = terms[name] + value if name in terms else value
