"""Images of knees from label maps alone: soft tissue is invented, contrast and scanner are random.

No OAI image may be had, so networks learn from images made here. What surrounds the labelled
structures (limb outline, fat, muscle, tendons, menisci, fluid, vessels) is a function of the
distances to the bones and of the subject's seed: it moves with the anatomy, and is the same at both
visits of one subject. Intensities start from those of a DESS scan (fat-suppressed, bright fluid) and
spread widely; a share of the images gets arbitrary contrast.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

#: Mean relative intensity of each tissue in a water-excitation DESS image, fluid about 1.
DESS_INTENSITY: dict[str, float] = {
    "air": 0.01,
    "fat": 0.16,
    "muscle": 0.34,
    "marrow": 0.13,
    "cortex": 0.04,
    "cartilage": 0.50,
    "fluid": 0.95,
    "meniscus": 0.15,
    "tendon": 0.07,
    "vessel": 0.60,
    "skin": 0.22,
}

TISSUES = tuple(DESS_INTENSITY)


@dataclass(frozen=True)
class Anatomy:
    """Tissue fractions of one knee, (11, D, H, W) in the order of ``TISSUES``, with its lattice."""

    fractions: Tensor
    spacing_kji_mm: tuple[float, float, float]


def smooth_noise(
    shape: tuple[int, ...],
    spacing_kji_mm: tuple[float, float, float],
    scale_mm: tuple[float, float, float],
    generator: torch.Generator,
) -> Tensor:
    """Gaussian field (1, 1, D, H, W) of unit variance that varies over about ``scale_mm`` (k, j, i)."""
    coarse = [max(2, math.ceil(n * s / c) + 1) for n, s, c in zip(shape, spacing_kji_mm, scale_mm, strict=True)]
    field = F.interpolate(
        torch.randn(1, 1, *coarse, generator=generator), size=tuple(shape), mode="trilinear", align_corners=True
    )
    return (field - field.mean()) / field.std().clamp_min(1e-6)


def blur(field: Tensor, spacing_kji_mm: tuple[float, float, float], sigma_mm: float) -> Tensor:
    """Separable Gaussian of (1, 1, D, H, W), the border continued."""
    for axis, spacing in zip((2, 3, 4), spacing_kji_mm, strict=True):
        sigma = sigma_mm / spacing
        radius = max(1, math.ceil(2.5 * sigma))
        x = torch.arange(-radius, radius + 1, dtype=field.dtype)
        kernel = torch.exp(-0.5 * (x / sigma) ** 2)
        kernel = kernel / kernel.sum()
        padding = [0] * 6
        padding[2 * (4 - axis)] = padding[2 * (4 - axis) + 1] = radius
        view = [1, 1, 1, 1, 1]
        view[axis] = len(kernel)
        field = F.conv3d(F.pad(field, padding, mode="replicate"), kernel.view(view))
    return field


def build_anatomy(
    distances_mm: Tensor, fractions: Tensor, spacing_kji_mm: tuple[float, float, float], seed: int
) -> Anatomy:
    """Fill everything around the labelled structures.

    Args:
        distances_mm: (6, D, H, W) signed distances, unclamped, in the order of ``labels.STRUCTURES``.
        fractions: (6, D, H, W) their volume fractions.
        spacing_kji_mm: the lattice.
        seed: of the subject.
    """
    g = torch.Generator().manual_seed(seed)
    rng = np.random.default_rng(seed)
    shape = tuple(distances_mm.shape[1:])

    def noise(*scale_mm: float) -> Tensor:
        return smooth_noise(shape, spacing_kji_mm, (scale_mm[0], scale_mm[1], scale_mm[2]), g)[0, 0]

    femur, femoral, tibia, tibial, patella, _ = distances_mm
    bone = torch.minimum(torch.minimum(femur, tibia), patella)
    structure = distances_mm.amin(dim=0)
    voxel = float(np.mean(spacing_kji_mm))

    def soft(distance: Tensor) -> Tensor:
        return torch.sigmoid(-distance * (3.0 / voxel))

    depth = _limb_depth(bone, spacing_kji_mm, rng, noise(60, 60, 60))  # mm under the skin
    fat_mm = rng.uniform(4, 11) + rng.uniform(1, 3) * noise(40, 40, 40)
    gap = noise(9, 45, 9)  # long thin partitions between muscle bellies
    muscle = soft(fat_mm - depth) * soft(3.5 + 2 * noise(30, 30, 30) - bone) * soft((0.12 - gap.abs()) * 12)
    muscle = muscle * (1 - _joint_fat(femur, tibia, patella, spacing_kji_mm))
    tissue = {name: torch.zeros(shape) for name in TISSUES}
    tissue["muscle"] = muscle
    tissue["fat"] = 1 - muscle
    _overlay(tissue, "vessel", _vessels(bone, spacing_kji_mm, rng))
    _overlay(tissue, "tendon", _tendons(femur, tibia, patella, spacing_kji_mm, rng))
    _overlay(tissue, "fluid", soft(structure - rng.uniform(0.4, 1.6)) * soft(_joint_gap(distances_mm) - 5))
    wedge = femoral.clamp_min(0) + tibial.clamp_min(0)
    _overlay(tissue, "meniscus", soft(wedge - rng.uniform(5, 8)) * soft(1.2 - wedge))
    _overlay(tissue, "skin", soft(depth - 1.8))
    _overlay(tissue, "air", soft(depth))
    in_bone = fractions[[0, 2, 4]].sum(dim=0).clamp(0, 1)
    in_cartilage = fractions[[1, 3, 5]].sum(dim=0).clamp(0, 1)
    rim = soft(-bone - rng.uniform(0.8, 1.8))
    tissue = {name: fraction * (1 - in_bone - in_cartilage).clamp(0, 1) for name, fraction in tissue.items()}
    tissue["cortex"] = tissue["cortex"] + in_bone * rim
    tissue["marrow"] = in_bone * (1 - rim)
    tissue["cartilage"] = in_cartilage
    stacked = torch.stack([tissue[name] for name in TISSUES])
    return Anatomy(stacked / stacked.sum(dim=0, keepdim=True).clamp_min(1e-6), spacing_kji_mm)


def _overlay(tissue: dict[str, Tensor], name: str, fraction: Tensor) -> None:
    for other, present in tissue.items():
        tissue[other] = present * (1 - fraction)
    tissue[name] = tissue[name] + fraction


def _coordinates_mm(shape: torch.Size | tuple[int, ...], spacing_kji_mm: tuple[float, float, float]) -> list[Tensor]:
    axes = [torch.arange(n, dtype=torch.float32) * s for n, s in zip(shape, spacing_kji_mm, strict=True)]
    return list(torch.meshgrid(*axes, indexing="ij"))


def _limb_depth(
    bone: Tensor, spacing_kji_mm: tuple[float, float, float], rng: np.random.Generator, ripple: Tensor
) -> Tensor:
    """Millimetres below the skin (negative in air): thick behind the bones, thin in front."""
    right, up, front = _coordinates_mm(bone.shape, spacing_kji_mm)
    inside = (bone < 0).float()
    weight = inside.sum(dim=(0, 2)).clamp_min(1)
    middle = blur(((inside * front).sum(dim=(0, 2)) / weight).view(1, 1, 1, -1, 1), spacing_kji_mm, 15)
    centre = (inside * right).sum() / inside.sum().clamp_min(1)
    angle = torch.atan2(right - centre, front - middle[0, 0])
    thick = rng.uniform(10, 18) + rng.uniform(10, 16) * (1 - torch.cos(angle)) / 2 * 2
    thick = thick + rng.uniform(-3, 3) * torch.sin(angle) + rng.uniform(-0.12, 0.12) * (up - up.mean()) + 2 * ripple
    rounded = blur(bone.clamp(-15, 60)[None, None], spacing_kji_mm, 9)[0, 0]
    return thick - rounded


def _joint_gap(distances_mm: Tensor) -> Tensor:
    """Small between two bones that face each other: the second smallest distance to a bone."""
    return torch.stack([distances_mm[0], distances_mm[2], distances_mm[4]]).kthvalue(2, dim=0).values


def _joint_fat(femur: Tensor, tibia: Tensor, patella: Tensor, spacing_kji_mm: tuple[float, float, float]) -> Tensor:
    """Hoffa's pad and the notch: near two bones there is fat, not muscle."""
    near = torch.stack([femur, tibia, patella]).kthvalue(2, dim=0).values
    return torch.sigmoid((24 - near) / 3)


def _tube(
    start: Tensor,
    end: Tensor,
    radius_kji_mm: tuple[float, float, float],
    coordinates: list[Tensor],
    voxel: float,
) -> Tensor:
    """Soft ellipsoidal capsule between two points (k, j, i) in mm."""
    axis = end - start
    offset = [c - float(s) for c, s in zip(coordinates, start, strict=True)]
    along = sum(o * float(a) for o, a in zip(offset, axis, strict=True)) / float((axis**2).sum().clamp_min(1e-3))
    t = torch.as_tensor(along).clamp(0, 1)
    squared = sum(((o - t * float(a)) / r) ** 2 for o, a, r in zip(offset, axis, radius_kji_mm, strict=True))
    return torch.sigmoid((1 - torch.as_tensor(squared).sqrt()) * (3 * min(radius_kji_mm) / voxel))


def _extreme(mask_distance: Tensor, score: Tensor, coordinates: list[Tensor]) -> Tensor:
    """Point (k, j, i) in mm of the structure where ``score`` is largest (mean of its top voxels)."""
    inside = torch.nonzero((mask_distance < 0).flatten())[:, 0]
    if len(inside) == 0:
        return torch.tensor([float(c.mean()) for c in coordinates])
    top = inside[score.flatten()[inside].topk(max(1, len(inside) // 200)).indices]
    return torch.stack([c.flatten()[top].mean() for c in coordinates])


def _tendons(
    femur: Tensor,
    tibia: Tensor,
    patella: Tensor,
    spacing_kji_mm: tuple[float, float, float],
    rng: np.random.Generator,
) -> Tensor:
    """Quadriceps and patellar tendons, the two cruciate ligaments: dark bands with real attachments."""
    coordinates = _coordinates_mm(femur.shape, spacing_kji_mm)
    voxel = float(np.mean(spacing_kji_mm))
    _, up, front = coordinates
    low, high = _extreme(patella, -up, coordinates), _extreme(patella, up, coordinates)
    tubercle = _extreme(tibia, front - 0.7 * (up - up.mean()).abs(), coordinates)
    above = high + torch.tensor([0.0, 60.0, -12.0])
    plateau = _extreme(tibia, up, coordinates)
    notch = plateau + torch.tensor([0.0, 12.0, -6.0])
    width, thick = rng.uniform(8, 12), rng.uniform(2, 3.5)
    pieces = [
        _tube(low, tubercle, (width, thick, thick), coordinates, voxel),
        _tube(high, above, (width, thick, thick), coordinates, voxel),
        _tube(
            plateau + torch.tensor([-2.0, 0.0, 8.0]),
            notch + torch.tensor([5.0, 4.0, -8.0]),
            (3, 3, 3),
            coordinates,
            voxel,
        ),
        _tube(
            plateau + torch.tensor([2.0, -6.0, -18.0]),
            notch + torch.tensor([-4.0, 0.0, 8.0]),
            (4, 4, 4),
            coordinates,
            voxel,
        ),
    ]
    return torch.stack(pieces).amax(dim=0)


def _vessels(bone: Tensor, spacing_kji_mm: tuple[float, float, float], rng: np.random.Generator) -> Tensor:
    """Popliteal artery and vein behind the joint, a few thin veins elsewhere."""
    coordinates = _coordinates_mm(bone.shape, spacing_kji_mm)
    voxel = float(np.mean(spacing_kji_mm))
    inside = (bone < 0).float()
    total = inside.sum().clamp_min(1)
    centre = torch.stack([(inside * c).sum() / total for c in coordinates])
    height = float(coordinates[1].max())
    pieces = []
    for n in range(6):
        behind = rng.uniform(-45, -30) if n < 2 else rng.uniform(-50, 30)
        side = rng.uniform(-8, 8) if n < 2 else rng.choice([-1, 1]) * rng.uniform(35, 55)
        radius = rng.uniform(2.5, 4) if n < 2 else rng.uniform(1, 2)
        start = torch.stack([centre[0] + side, torch.tensor(-5.0), centre[2] + behind + rng.uniform(-6, 6)])
        end = torch.stack([centre[0] + side + rng.uniform(-6, 6), torch.tensor(height + 5), centre[2] + behind])
        pieces.append(_tube(start.float(), end.float(), (radius, radius, radius), coordinates, voxel))
    return torch.stack(pieces).amax(dim=0)


def random_intensities(rng: np.random.Generator, arbitrary: bool) -> dict[str, float]:
    """One scanner's intensities: near those of DESS, or anything at all."""
    if arbitrary:
        values = {name: float(rng.uniform(0.05, 1)) for name in TISSUES}
        values["air"] = float(rng.uniform(0, 0.03))
        return values
    spread = {name: float(np.exp(rng.normal(0, 0.25))) for name in TISSUES}
    return {name: DESS_INTENSITY[name] * spread[name] for name in TISSUES}


def render(anatomy: Anatomy, seed: int, arbitrary_contrast: float = 0.25) -> Tensor:
    """One image (D, H, W) in [0, 1], normalised between its percentiles 0.1 and 99.9.

    Args:
        anatomy: tissue fractions.
        seed: of this image: contrast, texture, coil sensitivity and noise.
        arbitrary_contrast: share of images whose tissues get unrelated intensities.
    """
    rng = np.random.default_rng(seed)
    g = torch.Generator().manual_seed(seed)
    spacing = anatomy.spacing_kji_mm
    shape = tuple(anatomy.fractions.shape[1:])
    values = random_intensities(rng, bool(rng.random() < arbitrary_contrast))
    image = torch.zeros(shape)
    for fraction, name in zip(anatomy.fractions, TISSUES, strict=True):
        relative = 0.05 if name in ("air", "cartilage") else 0.12
        scale = (6.0, 30.0, 6.0) if name == "muscle" else (5.0, 5.0, 5.0)
        fine = smooth_noise(shape, spacing, scale, g)[0, 0]
        wide = smooth_noise(shape, spacing, (35.0, 35.0, 35.0), g)[0, 0]
        image += fraction * values[name] * (1 + relative * (fine + wide)).clamp_min(0.2)
    bias = smooth_noise(shape, spacing, (90.0, 90.0, 90.0), g)[0, 0]
    image = image * torch.exp(float(rng.uniform(0, 0.25)) * bias)
    sigma = float(rng.uniform(0.005, 0.04))
    real, imaginary = (sigma * torch.randn(shape, generator=g) for _ in range(2))
    image = torch.sqrt((image + real) ** 2 + imaginary**2)
    low, high = np.percentile(image.numpy(), (0.1, 99.9))
    return ((image - float(low)) / max(float(high - low), 1e-6)).clamp(0, 1)
