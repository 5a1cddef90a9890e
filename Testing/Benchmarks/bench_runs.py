"""One run of one method on one pair, as ``bench.py`` measures it: ours in this process, a peer in its own."""

from __future__ import annotations

import dataclasses
import gc
import time
from pathlib import Path

import bench_cases as cases
import numpy as np
import peers as peer_programs
import torch

from JointRegistrationLib.core.figures.metrics import dice
from JointRegistrationLib.core.geometry import Grid
from JointRegistrationLib.core.image import Image
from JointRegistrationLib.evaluation.methods import Method
from JointRegistrationLib.evaluation.pairs import EvaluationPair
from JointRegistrationLib.files import read_image, read_labels, write_image, write_labels
from JointRegistrationLib.ops.maps import from_displacement, warp_labels
from JointRegistrationLib.phantom import default_grid, make_pair
from JointRegistrationLib.registration.native_grids import jacobian
from JointRegistrationLib.registration.register import register

#: Labels of femoral and tibial cartilage, whose mean Dice is reported.
CARTILAGE = (2, 4)
FIRST_SEED = 7


@dataclasses.dataclass(frozen=True)
class Images:
    """A pair in memory."""

    fixed: Image
    moving: Image
    fixed_labels: Image
    moving_labels: Image


@dataclasses.dataclass(frozen=True)
class Measured:
    """One run of one method on one pair.

    ``dice`` in percent; nan, like ``folds``, where only the time was taken, because scores do not change.
    ``cut_off``: it was stopped after ``seconds``; nothing else is known of it.
    """

    method: str
    pair: str
    ours: bool
    seconds: float
    cpu_seconds: float
    peak_memory_mb: float
    dice: float = float("nan")
    folds: float = float("nan")
    version: str = ""
    cut_off: bool = False


def phantom_pairs(folder: Path, count: int, size_ijk: tuple[int, int, int]) -> list[EvaluationPair]:
    """Phantom knees under known random maps, written as files for the peers."""
    pairs = []
    for seed in range(FIRST_SEED, FIRST_SEED + count):
        made = make_pair(seed, default_grid().resized(size_ijk))
        names = {}
        for role, knee in (("fixed", made.fixed), ("moving", made.moving)):
            names[role] = folder / f"phantom{seed}-{role}.nii.gz"
            names[f"{role}_labels"] = folder / f"phantom{seed}-{role}-labels.nii.gz"
            write_image(knee.image, names[role])
            write_labels(knee.labels, names[f"{role}_labels"])
        pairs.append(EvaluationPair("phantom", **names))
    return pairs


def load(pair: EvaluationPair) -> Images:
    """Images and label maps of a pair."""
    return Images(
        read_image(pair.fixed), read_image(pair.moving), read_labels(pair.fixed_labels), read_labels(pair.moving_labels)
    )


def cartilage_dice(images: Images, displacement_mm: np.ndarray, grid: Grid) -> float:
    """Mean Dice of the cartilages, in percent, of the moving labels through a field (k, j, i, 3) on ``grid``."""
    map_ras = from_displacement(torch.from_numpy(displacement_mm).movedim(-1, 0)[None], grid)
    warped = warp_labels(torch.from_numpy(images.moving_labels.array)[None, None], images.moving_labels.grid, map_ras)
    found = dice(images.fixed_labels.array, warped[0, 0].numpy(), CARTILAGE)
    return 100 * float(np.mean([found[label] for label in CARTILAGE]))


def run_ours(method: Method, images: Images, pair: str, device: str, score: bool) -> Measured:
    """Register in this process, which is warm."""
    config = dataclasses.replace(method.config, device=device)
    gc.collect()
    cases.reset_peak(device)
    begin, cpu = time.perf_counter(), time.process_time()
    result = register(images.fixed, images.moving, config)
    seconds, cpu_seconds = time.perf_counter() - begin, time.process_time() - cpu
    found = Measured(method.name, pair, True, seconds, cpu_seconds, cases.peak_mb(device))
    if not score:
        return found
    overlap = cartilage_dice(images, result.displacement_field_mm, result.fixed_grid)
    return dataclasses.replace(found, dice=overlap, folds=float(result.folds.count))


def shortened(method: Method) -> Method:
    """The method with one iteration of each optimisation: enough to warm up."""
    config = method.config
    return dataclasses.replace(
        method,
        config=dataclasses.replace(
            config,
            affine=dataclasses.replace(config.affine, iterations=1),
            vsvf=dataclasses.replace(config.vsvf, iterations=1),
            network=dataclasses.replace(config.network, refine=min(config.network.refine, 1)),
        ),
    )


def run_peer(
    peer: str, pair: EvaluationPair, images: Images, threads: int, python: Path, limit_s: float, score: bool
) -> list[Measured]:
    """Register in a process of its own: the affine stage and the whole, which may be stopped at its time limit."""
    cut_off = []
    try:
        result = peer_programs.register_pair(peer, pair.fixed, pair.moving, threads, python, limit_s)
        stages = result.stages()
    except peer_programs.PeerTimeout as slow:
        stages, whole, nan = slow.done, peer_programs.PEERS[peer].methods[-1], float("nan")
        cut_off = [Measured(whole, pair.name, False, limit_s, nan, nan, cut_off=True)]
    return [_of_stage(stage, pair.name, images, score) for stage in stages] + cut_off


def _of_stage(stage: peer_programs.PeerResult, pair: str, images: Images, score: bool) -> Measured:
    found = Measured(
        stage.method, pair, False, stage.seconds, stage.cpu_seconds, stage.peak_memory_mb, version=stage.version
    )
    if not score:
        return found
    field, grid = stage.displacement_field_mm, images.fixed.grid
    folds = float(jacobian(grid, field)[1].count)
    return dataclasses.replace(found, dice=cartilage_dice(images, field, grid), folds=folds)


def unregistered(pairs: list[EvaluationPair]) -> float:
    """Mean cartilage Dice where the headers put the images."""
    found = []
    for images in map(load, pairs):
        grid = images.fixed.grid
        found.append(cartilage_dice(images, np.zeros((*grid.shape, 3), np.float32), grid))
    return float(np.mean(found))
