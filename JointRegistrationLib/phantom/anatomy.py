"""One knee, known at every point of space: labels, tissues and their fractions."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .shapes.implicit import smoothstep
from .shapes.knee_shape import KneeShape
from .shapes.mean_bones import MEAN_WIDTH_MM
from .shapes.skeleton import Distances, Skeleton
from .tissues.contrast import TISSUE_INDEX, TISSUES
from .tissues.random_fields import WaveField
from .tissues.soft_tissue import Layer, SoftTissue

#: The public label map, numbered as in the segmentations of the Osteoarthritis Initiative.
LABEL_NAMES = {
    1: "femur",
    2: "femoral cartilage",
    3: "tibia",
    4: "tibial cartilage",
    5: "patella",
    6: "patellar cartilage",
}

_BONES = ("femur", "tibia", "patella")


@dataclass(frozen=True)
class AnatomySample:
    """What lies at M points: fractions (tissues, M), labels and tissue numbers (M,), texture points (3, M)."""

    fractions: Tensor
    labels: Tensor
    tissues: Tensor
    texture_points: Tensor


class KneeAnatomy:
    """The anatomy of a :class:`.KneeShape` as a function of RAS position; the joint's middle is at the origin."""

    def __init__(self, shape: KneeShape, device: torch.device | str = "cpu") -> None:
        self._shape = shape
        self._mm = shape.width_mm / MEAN_WIDTH_MM
        ratios = (1.0 if shape.side == "right" else -1.0, shape.depth_ratio, shape.length_ratio)
        self._to_frame = torch.tensor([1 / (r * self._mm) for r in ratios], device=device)[:, None]
        self._skeleton = Skeleton(shape, device)
        self._soft = SoftTissue(shape, device)
        self._warp = WaveField(shape.seed, shape.irregularity_mm, (28.0, 120.0), 16, device)

    def sample(self, points_ras: Tensor, voxel_mm: float) -> AnatomySample:
        """Evaluate at points (3, M), RAS mm, blending tissues over about one voxel."""
        frame = self.frame(points_ras)
        bones = self._skeleton.distances(frame)
        layers = self._soft.layers(frame, bones, self._skeleton.tibia_frame(frame))
        layers += skeleton_layers(bones, frame)
        fractions, tissues = paint(layers, voxel_mm / self._mm)
        return AnatomySample(fractions, labels(bones), tissues, self._soft.unbend(frame))

    def frame(self, points_ras: Tensor) -> Tensor:
        """RAS points (3, M) in the frame of the mean knee, this knee's irregularity undone."""
        frame = points_ras * self._to_frame
        frame = torch.stack([self._balanced(frame[0]), frame[1], frame[2]])
        return frame + self._warp(frame) if self._shape.irregularity_mm > 0 else frame

    def _balanced(self, x: Tensor) -> Tensor:
        """Widen the lateral half and narrow the medial one, smoothly."""
        asymmetry = self._shape.condyle_asymmetry
        return x * (1 - asymmetry * torch.tanh(x / 15.0)) if asymmetry else x


def skeleton_layers(bones: Distances, frame: Tensor) -> list[Layer]:
    """Cartilage, cortical bone and marrow, in painting order."""
    cartilage = torch.stack([bones[f"{name}_cartilage"] for name in _BONES]).amin(0)
    bone = torch.stack([bones[name] for name in (*_BONES, "fibula")]).amin(0)
    # Subchondral bone is a thin plate; the shafts' cortex is millimetres thick.
    cortex = 0.45 + 2.6 * smoothstep(frame[2], 38.0, 85.0) + 2.0 * smoothstep(-frame[2], 28.0, 70.0)
    cortex = torch.where(bones["patella"] < 3.0, torch.full_like(cortex, 0.8), cortex)
    return [("cartilage", cartilage), ("cortical bone", bone), ("marrow", bone + cortex)]


def paint(layers: list[Layer], voxel: float) -> tuple[Tensor, Tensor]:
    """Fractions (tissues, M) and the tissue on top (M,); later layers cover earlier ones."""
    first = layers[0][1]
    fractions = first.new_zeros(len(TISSUES), first.shape[0])
    fractions[0] = 1.0
    top = torch.zeros_like(first, dtype=torch.uint8)
    for name, distance in layers:
        cover = (0.5 - distance / voxel).clamp_(0, 1)
        fractions *= 1 - cover
        fractions[TISSUE_INDEX[name]] += cover
        top[distance < 0] = TISSUE_INDEX[name]
    return fractions, top


def labels(bones: Distances) -> Tensor:
    """Label numbers (M,), uint8, see :data:`LABEL_NAMES`."""
    result = torch.zeros_like(bones["femur"], dtype=torch.uint8)
    for number, name in ((2, "femur"), (4, "tibia"), (6, "patella")):
        result[bones[f"{name}_cartilage"] < 0] = number
    for number, name in ((1, "femur"), (3, "tibia"), (5, "patella")):
        result[bones[name] < 0] = number
    return result
