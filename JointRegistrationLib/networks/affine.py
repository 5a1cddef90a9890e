"""The multi-step affine network (spec, section 2).

Frame. The networks' affine parameters live in the frame [-1, 1]^3: y = 2 u - 1, with u the grid's
unit coordinates, components i, j, k. :func:`affine_ras` turns them into millimetres.
Images enter with values in [0, 1].
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..core.errors import ConfigError
from ..core.geometry import FloatArray, Grid
from ..ops import maps
from ..ops.separable.filters import without_autocast
from .blocks import LEAK, Conv, Up, fold

#: Factor on the heat maps' logits: peaks form in a tenth of the updates.
HEAT_GAIN = 10.0
#: Spatial size of the features at which the published dense layer was built (80 x 192 x 192 input).
PUBLISHED_FEATURE_SIZE = (3, 6, 6)


class PublishedAffineNet(nn.Module):
    """The published layers, 147,920 parameters; one step of the recurrence.

    The dense layer takes 3 x 6 x 6 features: what 80 x 192 x 192 voxels give. Other sizes are
    averaged or repeated to it, so that the network runs on any grid. ``identity_start`` zeroes the
    last layer and biases it to the identity (published: default initialisation, near the zero matrix).
    """

    def __init__(self, identity_start: bool = True) -> None:
        super().__init__()
        self.shared = Conv(1, 16)
        self.trunk = nn.Sequential(
            nn.MaxPool3d(2, ceil_mode=True),
            Conv(32, 32),
            Conv(32, 32, stride=2),
            Conv(32, 32),
            nn.MaxPool3d(2, ceil_mode=True),
            Conv(32, 32),
            Conv(32, 16, stride=2),
            Conv(16, 16),
            Conv(16, 4, stride=2),
        )
        self.hidden = nn.Linear(4 * math.prod(PUBLISHED_FEATURE_SIZE), 32)
        self.output = nn.Linear(32, 12)
        if identity_start:
            nn.init.zeros_(self.output.weight)
            with torch.no_grad():
                self.output.bias.copy_(torch.tensor([1.0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0]))

    def forward(self, moving: Tensor, fixed: Tensor) -> Tensor:
        """Increment (N, 4, 4) in the frame [-1, 1] from images (N, 1, D, H, W) in [0, 1]."""
        features = torch.cat([self.shared(2 * moving - 1), self.shared(2 * fixed - 1)], dim=1)
        pooled = F.adaptive_avg_pool3d(self.trunk(features), PUBLISHED_FEATURE_SIZE)
        with without_autocast(moving.device.type):
            parameters = self.output(F.relu(self.hidden(pooled.flatten(1).float())))
        return homogeneous(parameters[:, :9].reshape(-1, 3, 3), parameters[:, 9:])


@dataclass(frozen=True)
class HeatMaps:
    """Landmarks of N images.

    Args:
        log_probabilities: (N, K, M) of each landmark lying at each position.
        positions: (M, 3), frame, components i, j, k.
        points: (N, K, 3), the landmarks, frame.
        confidence: (N, K), logarithm of each landmark's weight in the fit, up to a constant.
    """

    log_probabilities: Tensor
    positions: Tensor
    points: Tensor
    confidence: Tensor


class LandmarkAffineNet(nn.Module):
    """Finds the same points in both images and fits the affine between them; one step.

    One feature network (shared weights) gives a heat map per landmark; its centre of mass is the
    landmark, and a weighted least-squares fit, drawn slightly to the identity, is the increment.
    Heat maps start from a broad prior around a lattice of anchors and a last layer of zeros, so that
    an untrained network, and a trained one on two equal images, returns exactly the identity. No
    layer knows the grid's size.

    Args:
        channels: at 1/2, 1/4 and 1/8 of the input's resolution.
        anchor_extent: the anchors span [-extent, extent] of the frame: a body-centred lattice of 35.
        prior_sigma: width of the prior around an anchor, in the frame.
        ridge: pull of the linear part to the identity in the fit.
        norm: see :func:`~.blocks.normalization`.
    """

    anchors: Tensor

    def __init__(
        self,
        channels: tuple[int, int, int] = (24, 48, 64),
        *,
        anchor_extent: float = 0.6,
        prior_sigma: float = 0.7,
        ridge: float = 1e-3,
        norm: str = "group",
    ) -> None:
        super().__init__()
        a, b, c = channels
        self.at_half = nn.Sequential(Conv(8, a, leak=LEAK, norm=norm), Conv(a, a, leak=LEAK, norm=norm))
        self.at_quarter = nn.Sequential(Conv(a, b, stride=2, leak=LEAK, norm=norm), Conv(b, b, leak=LEAK, norm=norm))
        self.at_eighth = nn.Sequential(
            Conv(b, c, stride=2, leak=LEAK, norm=norm),
            Conv(c, c, leak=LEAK, norm=norm, residual=True),
            Conv(c, c, leak=LEAK, norm=norm, residual=True),
        )
        self.up_quarter = Up(c, b, leak=None, upsampling="trilinear")
        self.quarter_out = Conv(b, b, leak=LEAK, norm=norm)
        self.up_half = Up(b, a, leak=None, upsampling="trilinear")
        self.half_out = Conv(a, a, leak=LEAK, norm=norm)
        lattices = [torch.linspace(-extent, extent, n) for extent, n in ((anchor_extent, 3), (anchor_extent / 2, 2))]
        self.register_buffer("anchors", torch.cat([torch.cartesian_prod(a, a, a) for a in lattices]))  # (K, 3), i j k
        self.prior_sigma = prior_sigma
        self.ridge = ridge
        self.heat = nn.Conv3d(a, len(self.anchors), 1)
        self.confidence = nn.Linear(c, len(self.anchors))
        for layer in (self.heat, self.confidence):
            nn.init.zeros_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)

    def heat_maps(self, image: Tensor) -> HeatMaps:
        """Find the landmarks of images (N, 1, D, H, W) in [0, 1]."""
        half = self.at_half(fold(2 * image - 1))
        quarter = self.at_quarter(half)
        eighth = self.at_eighth(quarter)
        x = self.quarter_out(quarter + self.up_quarter(eighth, quarter))
        x = self.half_out(half + self.up_half(x, half))
        # Positions under mixed precision too in float32: bfloat16 would move a landmark by a quarter of a millimetre.
        with without_autocast(image.device.type):
            return self._landmarks(x, eighth)

    def _landmarks(self, x: Tensor, eighth: Tensor) -> HeatMaps:
        x, eighth = x.float(), eighth.float()
        positions = _frame_positions(x.shape[2:], x)  # (M, 3)
        prior = torch.cdist(self.anchors, positions).square() / (2 * self.prior_sigma**2)
        logits = HEAT_GAIN * self.heat(x).flatten(2).float() - prior
        log_probabilities = torch.log_softmax(logits, dim=2)
        # Near the border the prior alone does not average to its anchor; only the change from it counts.
        change = log_probabilities.exp() @ positions - torch.softmax(-prior, dim=1) @ positions
        confidence = self.confidence(eighth.mean(dim=(2, 3, 4))).float()
        return HeatMaps(log_probabilities, positions, self.anchors + change, confidence)

    def forward(self, moving: Tensor, fixed: Tensor) -> Tensor:
        """Increment (N, 4, 4) in the frame [-1, 1] from images (N, 1, D, H, W) in [0, 1]."""
        return self.fit(self.heat_maps(torch.cat([moving, fixed])))

    def fit(self, found: HeatMaps) -> Tensor:
        """Increment (N, 4, 4) from the landmarks of N moving images followed by N fixed ones."""
        moving_points, fixed_points = found.points.chunk(2)
        moving_confidence, fixed_confidence = found.confidence.chunk(2)
        weights = torch.softmax(moving_confidence + fixed_confidence, dim=1)
        with without_autocast(weights.device.type):
            return fit_affine(fixed_points, moving_points, weights, self.ridge)


def fit_affine(start: Tensor, end: Tensor, weights: Tensor, ridge: float) -> Tensor:
    """Affine (N, 4, 4) that sends ``start`` to ``end``, (N, K, 3), in the weighted least-squares sense.

    Minimises ``sum_k w_k |A p_k + b - q_k|^2 + ridge |A - I|^2``, weights (N, K) summing to 1.
    """
    ones = torch.ones_like(start[..., :1])
    p = torch.cat([start, ones], dim=-1)
    weighted = p * weights[..., None]
    pull = torch.diag(start.new_tensor([ridge, ridge, ridge, 0.0]))
    delta = torch.linalg.solve(weighted.mT @ p + pull, weighted.mT @ (end - start)).mT  # (N, 3, 4)
    eye = torch.eye(3, dtype=start.dtype, device=start.device)
    return homogeneous(eye + delta[..., :3], delta[..., 3])


def _frame_positions(shape: torch.Size, like: Tensor) -> Tensor:
    """Frame coordinates (M, 3), components i, j, k, of a lattice of ``shape`` (D, H, W), corner to corner."""
    k, j, i = (torch.linspace(-1, 1, n, device=like.device, dtype=torch.float32) for n in shape)
    grid = torch.meshgrid(k, j, i, indexing="ij")
    return torch.stack([axis.flatten() for axis in reversed(grid)], dim=1)


def homogeneous(linear: Tensor, translation: Tensor) -> Tensor:
    """(N, 4, 4) from (N, 3, 3) and (N, 3)."""
    top = torch.cat([linear, translation[..., None]], dim=-1)
    bottom = top.new_tensor([0.0, 0.0, 0.0, 1.0]).expand(len(top), 1, 4)
    return torch.cat([top, bottom], dim=1)


def frame_to_ras(grid: Grid) -> FloatArray:
    """4x4 matrix from the networks' frame [-1, 1]^3 of ``grid`` to RAS mm."""
    half = np.diag([0.5, 0.5, 0.5, 1.0])
    half[:3, 3] = 0.5
    return np.asarray(grid.unit_to_ras @ half, dtype=np.float64)


def affine_ras(matrix_frame: Tensor, grid: Grid) -> Tensor:
    """Affine matrices (N, 4, 4) of the frame as matrices between RAS points."""
    to_ras = frame_to_ras(grid)
    back = np.linalg.inv(to_ras)
    return maps.matrix_tensor(to_ras, matrix_frame) @ matrix_frame @ maps.matrix_tensor(back, matrix_frame)


def affine_frame(matrix_ras: Tensor, grid: Grid) -> Tensor:
    """Inverse of :func:`affine_ras`."""
    to_ras = frame_to_ras(grid)
    back = np.linalg.inv(to_ras)
    return maps.matrix_tensor(back, matrix_ras) @ matrix_ras @ maps.matrix_tensor(to_ras, matrix_ras)


def warp_affine(image: Tensor, matrix_ras: Tensor, grid: Grid) -> Tensor:
    """``image`` (N, C, D, H, W) on ``grid`` resampled through one RAS matrix each, (N, 4, 4)."""
    points = maps.identity(grid, device=image.device, dtype=image.dtype).expand(len(image), -1, -1, -1, -1)
    return maps.warp(image, grid, maps.apply_matrix(matrix_ras, points))


def multi_step_affine(
    step: Callable[[Tensor, Tensor], Tensor],
    moving: Tensor,
    fixed: Tensor,
    grid: Grid,
    steps: int,
    *,
    fixed_side: bool = False,
) -> list[Tensor]:
    """The published recurrence on parameters: A_t = A~_t A_(t-1), b_t = A~_t b_(t-1) + b~_t.

    Step t compares the *original* moving image, resampled once through the map so far, with the
    fixed one, and its increment acts on the moving side (left factor). A network that measures where
    the points of the fixed image lie in the *warped* one finds the increment on the fixed side, R_t;
    with A~_t = Phi_(t-1) R_t Phi_(t-1)^-1 the same recurrence then gives Phi_t = Phi_(t-1) R_t.

    Args:
        step: one step's network: (moving, fixed) to an increment (N, 4, 4) in the frame.
        moving, fixed: (N, 1, D, H, W) in [0, 1], both on ``grid``.
        grid: their lattice.
        steps: at least 1; training uses 3, testing 7.
        fixed_side: increments are R_t rather than A~_t.

    Returns:
        The composed RAS matrix (N, 4, 4), fixed points to moving points, after every step.
    """
    if steps < 1:
        raise ConfigError(f"affine steps: at least 1 is needed, but {steps} was given")
    frame = torch.eye(4, device=fixed.device, dtype=fixed.dtype).expand(len(fixed), 4, 4)
    matrices: list[Tensor] = []
    warped = moving
    for t in range(steps):
        if t > 0:
            warped = warp_affine(moving, matrices[-1], grid)
        increment = step(warped, fixed).to(frame.dtype)
        with without_autocast(frame.device.type):
            frame = frame @ increment if fixed_side else increment @ frame
            matrices.append(affine_ras(frame, grid))
    return matrices
