"""affine-opt: the linear part by multi-resolution optimisation (spec, section 6, "Baseline settings").

The transform is x -> c_m + t + L0 expm(M) (x - c_f) about the two centres, with M restricted to the
chosen model (skew: rigid; skew and scale: similarity; free: affine). The unknowns are M times a
typical radius, and t, so that all of them are millimetres and one step size suits them all.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ...core.config import AffineConfig, SimilarityConfig
from ...core.errors import InputError
from ...core.geometry import FloatArray, Grid, affine_matrix
from ...core.progress import Reporter
from ...ops.maps import affine_map, apply_matrix, from_displacement, inside, resample_displacement
from ...ops.similarity.image_pair import Dissimilarity, ImagePair
from ...ops.similarity.relation import better_relation, related
from .optimizers import minimize

#: Share of the fixed field of view (or mask) that must stay inside the moving one to compare at all.
MIN_COMMON = 0.02
#: Of the squared strain in the energy: 10 % along each axis cost 0.01.
_STRAIN_WEIGHT = 0.3


def affine_opt(
    pair: ImagePair,
    config: AffineConfig,
    *,
    initial_ras: FloatArray | None = None,
    reporter: Reporter | None = None,
) -> FloatArray:
    """Affine transform (4x4, RAS, fixed points to moving points) that makes the images most alike.

    Args:
        pair: normalised images.
        config: model, similarity, levels, iterations.
        initial_ras: starting transform; None to choose by ``config.initialization``, where
            ``"auto"`` takes the best of identity, centre and moments after the coarsest level.
        reporter: receives progress; its cancel check is asked at every evaluation.

    Raises:
        RegistrationCancelled: if asked to stop.
        InputError: if no start leaves the images overlapping.
    """
    reporter = reporter or Reporter()
    starts = [initial_ras] if initial_ras is not None else initial_transforms(pair, config.initialization)
    num_runs = len(starts) + len(config.levels) - 1
    parts = [reporter.part(n / num_runs, (n + 1) / num_runs) for n in range(num_runs)]
    level = pair.shrunk(config.levels[0])
    runs = [_optimize(level, config, start, part) for start, part in zip(starts, parts, strict=False)]
    loss, best = min(runs, key=lambda run: run[0])
    if not np.isfinite(loss):
        raise InputError(
            "the images do not overlap under any starting transform; give landmarks or an initial transform"
        )
    for factor, part in zip(config.levels[1:], parts[len(starts) :], strict=True):
        level = pair.shrunk(factor)
        _, best = _optimize(level, config, best, part)
    # A blurred level can move images that were aligned before; the finest level decides.
    return min([best, *starts], key=lambda matrix: _loss(level, config, matrix))


def affine_around(
    pair: ImagePair,
    config: AffineConfig,
    similarity: SimilarityConfig,
    affine_ras: FloatArray,
    psi: tuple[Tensor, Grid],
    *,
    level: int,
    iterations: int,
    reporter: Reporter,
) -> FloatArray:
    """The affine A (4x4, RAS) that makes the images most alike under A o psi, psi kept as it is.

    Args:
        pair: normalised images.
        config: which model, and the tolerance.
        similarity: of the energy, that of the deformable part.
        affine_ras: start.
        psi: displacement (1, 3, d, h, w), RAS mm, and its lattice.
        level: shrink factor to work at.
        iterations: upper bound.
        reporter: receives progress.
    """
    shrunk = pair.shrunk(level)
    points = from_displacement(resample_displacement(*psi, shrunk.fixed_grid), shrunk.fixed_grid)
    unknowns = _Unknowns(affine_ras, shrunk, config.model)
    dissimilarity = Dissimilarity(shrunk, similarity)
    minimize(
        unknowns.values,
        lambda: dissimilarity(apply_matrix(unknowns.matrix(), points)),
        optimizer="lbfgs",
        iterations=iterations,
        tolerance=config.tolerance,
        reporter=reporter,
    )
    return np.asarray(unknowns.matrix().detach().cpu().double().numpy(), dtype=np.float64)


def initial_transforms(pair: ImagePair, initialization: str) -> list[FloatArray]:
    """Starting transforms by name: identity, centre on centre, moments, or all three for ``"auto"``."""
    identity = np.eye(4)
    center = affine_matrix(translation=pair.moving_grid.center_ras - pair.fixed_grid.center_ras)
    if initialization == "identity":
        return [identity]
    if initialization == "center":
        return [center]
    fixed_mass = center_of_mass(pair.fixed, pair.fixed_grid.ijk_to_ras)
    moments = affine_matrix(translation=center_of_mass(pair.moving, pair.moving_grid.ijk_to_ras) - fixed_mass)
    if initialization == "moments":
        return [moments]
    distinct = [identity]
    for candidate in (center, moments):
        if all(np.abs(candidate - other).max() > 1.0 for other in distinct):
            distinct.append(candidate)
    return distinct


def center_of_mass(values: Tensor, ijk_to_ras: FloatArray) -> FloatArray:
    """Intensity-weighted mean position of (1, 1, D, H, W) values, RAS mm."""
    total = values.double().sum()
    ijk = [
        (
            values.double().sum(dim=[d for d in range(5) if d != axis]) * torch.arange(values.shape[axis]).to(values)
        ).sum()
        / total
        for axis in (4, 3, 2)
    ]
    point = ijk_to_ras @ np.array([*(float(v) for v in ijk), 1.0])
    return np.asarray(point[:3], dtype=np.float64)


def model_basis(model: str) -> Tensor:
    """Basis of the Lie algebra of a model, (n, 3, 3): rigid 3, similarity 4, affine 9 matrices."""
    skew = torch.zeros(3, 3, 3)
    for n, (r, c) in enumerate(((2, 1), (0, 2), (1, 0))):
        skew[n, r, c], skew[n, c, r] = 1.0, -1.0
    if model == "rigid":
        return skew
    if model == "similarity":
        return torch.cat([skew, torch.eye(3)[None]])
    return torch.eye(9).reshape(9, 3, 3)


class _Unknowns:
    """The optimised numbers, in mm, and the 4x4 matrix that they stand for."""

    def __init__(self, start: FloatArray, pair: ImagePair, model: str) -> None:
        like = pair.fixed
        self.radius = float(np.linalg.norm(pair.fixed_grid.extent_mm)) / 4
        self.basis = model_basis(model).to(like)
        self.linear = torch.as_tensor(start[:3, :3]).to(like)
        center = pair.fixed_grid.center_ras
        self.center = torch.as_tensor(center).to(like)
        self.target = torch.as_tensor(start[:3, :3] @ center + start[:3, 3]).to(like)
        self.values = torch.zeros(len(self.basis) + 3, device=like.device, dtype=like.dtype, requires_grad=True)

    def matrix(self) -> Tensor:
        tangent = torch.einsum("n,nrc->rc", self.values[3:] / self.radius, self.basis)
        linear = self.linear @ torch.linalg.matrix_exp(tangent)
        offset = self.target + self.values[:3] - linear @ self.center
        return torch.cat([torch.cat([linear, offset[:, None]], dim=1), linear.new_tensor([[0.0, 0.0, 0.0, 1.0]])])


def _optimize(pair: ImagePair, config: AffineConfig, start: FloatArray, reporter: Reporter) -> tuple[float, FloatArray]:
    """One level from one start: (loss, matrix); an infinite loss where the images do not overlap."""
    unknowns = _Unknowns(start, pair, config.model)
    if _common(pair, unknowns.matrix()) < MIN_COMMON:
        return float("inf"), start
    dissimilarity = _dissimilarity(pair, config, start)
    minimize(
        unknowns.values,
        lambda: _energy(dissimilarity, unknowns.matrix()),
        optimizer="lbfgs",
        iterations=config.iterations,
        tolerance=config.tolerance,
        reporter=reporter,
    )
    found = np.asarray(unknowns.matrix().detach().cpu().double().numpy(), dtype=np.float64)
    return _loss(pair, config, found), found


def _dissimilarity(pair: ImagePair, config: AffineConfig, matrix: FloatArray) -> Dissimilarity:
    """Of the images as they are, or of what their grey values have in common about as they lie under ``matrix``."""
    found = better_relation(pair, affine_map(matrix, pair.fixed_grid, pair.fixed)) if config.relate else None
    return Dissimilarity(pair if found is None else related(pair, found[0]), config.similarity)


def _energy(dissimilarity: Dissimilarity, matrix: Tensor) -> Tensor:
    """Dissimilarity under a matrix, and what it costs that it is not rigid, by Green's strain (L^T L - 1) / 2.

    Knees differ by some percent in size. Without this cost images of other contrast, whose local likelihood does not
    care for the sign of a correlation, were made to match by shrinking one of them to half its size.
    """
    pair, linear = dissimilarity.pair, matrix[:3, :3]
    strain = 0.5 * (linear.T @ linear - torch.eye(3).to(linear))
    return dissimilarity(affine_map(matrix, pair.fixed_grid, pair.fixed)) + _STRAIN_WEIGHT * strain.square().sum()


def _loss(pair: ImagePair, config: AffineConfig, matrix: FloatArray) -> float:
    """Dissimilarity under a matrix; infinite where next to nothing of the images is common."""
    with torch.no_grad():
        on_device = torch.as_tensor(matrix).to(pair.fixed)
        if _common(pair, on_device) < MIN_COMMON:
            return float("inf")
        loss = float(_energy(_dissimilarity(pair, config, matrix), on_device))
    return loss if np.isfinite(loss) else float("inf")


def _common(pair: ImagePair, matrix: Tensor) -> float:
    """Share of the fixed grid (or mask) that the matrix sends into the moving field of view."""
    with torch.no_grad():
        common = inside(pair.moving_grid, affine_map(matrix, pair.fixed_grid, pair.fixed)).to(pair.fixed.dtype)
        if pair.fixed_mask is None:
            return float(common.mean())
        return float((common * pair.fixed_mask).sum() / pair.fixed_mask.sum().clamp(min=1e-6))
