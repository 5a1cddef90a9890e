"""Everything around the bones: limb outline, muscles, tendons, vessels, menisci, ligaments, fluid.

Coordinates are those of :mod:`.soft_tissue_courses`, knee unbent; a smooth bend carries them into flexion.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..shapes.implicit import TubeBundle, capsule, ellipsoid, smooth_union, smoothstep
from ..shapes.knee_shape import KneeShape
from ..shapes.mean_bones import MEAN_WIDTH_MM
from ..shapes.skeleton import FLEXION_AXIS_YZ, Distances, turn
from .soft_tissue_courses import FAT_GIRDLE, LIMB, MENISCI, MUSCLES, NERVES, TENDONS, VESSELS

Layer = tuple[str, Tensor]

_SWELLING_MM = 2.2
_SKIN_MM = 1.4


class SoftTissue:
    """Layers of soft tissue, from the outside in: later layers cover earlier ones."""

    def __init__(self, shape: KneeShape, device: torch.device | str = "cpu") -> None:
        scale = MEAN_WIDTH_MM / shape.width_mm  # thicknesses are given in mm of this knee
        self._effusion, self._fat = shape.effusion_mm * scale, shape.fat_mm * scale
        self._meniscus_ratio = shape.meniscus_ratio
        self._half_flexion = float(np.radians(shape.flexion_deg)) / 2
        self._muscles = TubeBundle(list(MUSCLES.values()), device, girth=shape.muscle_ratio, taper_mm=14.0)
        self._strands = TubeBundle([*VESSELS.values(), *NERVES.values(), *TENDONS.values()], device)
        self._limb = _Outline(self._fat, shape.muscle_ratio, device)

    def unbend(self, points: Tensor) -> Tensor:
        """Points of the flexed knee in the unbent frame: thigh with the femur, calf and patella with the tibia."""
        if self._half_flexion == 0.0:
            return points
        height = points[2] - FLEXION_AXIS_YZ[1] - 0.45 * (points[1] - FLEXION_AXIS_YZ[0])
        blend = 2 * smoothstep(height, -35.0, 35.0) - 1
        return turn(points, -self._half_flexion * blend)

    def layers(self, points: Tensor, bones: Distances, tibia_points: Tensor) -> list[Layer]:
        """Tissue name and signed distance (mm), in painting order.

        Args:
            points: (3, M) in the flexed knee frame.
            bones: distances at the same points, as :meth:`.skeleton.Skeleton.distances` gives.
            tibia_points: (3, M), the same points in the tibia's frame.
        """
        rest = self.unbend(points)
        limb, fat_mm = self._limb(rest)
        # However high or large, the patella stays under the skin.
        limb = smooth_union([limb, bones["patella"] - 0.7 * self._fat - 3.0], 3.0)
        inner, under_skin = limb + fat_mm, limb + _SKIN_MM + 1.0
        layers: list[Layer] = [("skin", limb), ("fat", limb + _SKIN_MM), ("deep fat", inner)]
        layers.append(("muscle", self._muscle(rest, inner)))
        layers.append(("hoffa", _hoffa(rest)))
        strands = self._strands(rest)
        first, second = len(VESSELS), len(VESSELS) + len(NERVES)
        layers.append(("nerve", strands[first:second].amin(0)))
        layers.append(("vessel", torch.maximum(strands[:first].amin(0), under_skin)))
        layers.append(("fluid", self._fluid(rest, bones)))
        layers.append(("tendon", torch.maximum(strands[second:].amin(0), under_skin)))
        layers.append(("meniscus", self._meniscus(tibia_points, bones)))
        layers.append(("ligament", _cruciates(rest)))
        return layers

    def _muscle(self, rest: Tensor, inner: Tensor) -> Tensor:
        """Muscles swollen until they touch, parted by thin septa there."""
        nearest = self._muscles(rest).topk(2, dim=0, largest=False).values
        septum = 0.4 - (nearest[1] - nearest[0]) / 2
        return torch.maximum(torch.maximum(nearest[0] - _SWELLING_MM, septum), inner)

    def _fluid(self, rest: Tensor, bones: Distances) -> Tensor:
        """Film between the cartilages, and recesses that swell with the effusion."""
        effusion = self._effusion
        femur, tibia, patella = (bones[f"{n}_cartilage"] for n in ("femur", "tibia", "patella"))
        film = torch.minimum(torch.maximum(femur, tibia), torch.maximum(femur, patella)) - 0.6
        recesses = smooth_union(
            [
                ellipsoid(rest, (0, 37, 54), (15, 6 + effusion, 15)),  # suprapatellar
                ellipsoid(rest, (33, 25, 26), (9, 13, 17)),  # lateral gutter
                ellipsoid(rest, (-34, 22, 24), (8, 11, 14)),  # medial gutter
                ellipsoid(rest, (-24, -20, 8), (10, 10, 8)),  # behind the condyles
                ellipsoid(rest, (22, -22, 8), (10, 9, 8)),
                ellipsoid(rest, (2, -10, 10), (8, 10, 7)),  # notch
            ],
            1.0,
        )
        # Thickest in the middle of a recess, running out towards its border.
        layer = torch.minimum(femur, patella) + 0.4 - (effusion + 0.4) * smoothstep(-recesses, 0.0, 6.0)
        return torch.minimum(film, layer)

    def _meniscus(self, tibia_points: Tensor, bones: Distances) -> Tensor:
        """Wedges that fill the gap between femoral and tibial cartilage around each compartment."""
        x, y, z = tibia_points
        above = bones["tibia_cartilage"]
        rings = []
        for cx, cy, rx, ry, ix, iy, jx, jy in MENISCI:
            sign = -1.0 if cx < 0 else 1.0
            outer = _ellipse(x - cx, y - cy, rx, ry)
            shrink = self._meniscus_ratio
            inner = _ellipse(x - ix, y - iy, rx - (rx - jx) * shrink, ry - (ry - jy) * shrink)
            open_side = 5.0 - sign * x  # the C opens towards the eminence
            rings.append(torch.maximum(torch.maximum(outer, -inner), open_side))
        ring = torch.minimum(rings[0], rings[1])
        gap = torch.maximum(-bones["femur_cartilage"] + 0.25, -above + 0.25)
        height = torch.maximum(above, bones["femur_cartilage"]) - 5.0
        return torch.maximum(torch.maximum(ring, gap), torch.maximum(height, -3.0 - z))


class _Outline:
    """The limb's surface: an egg-shaped section from a table along z."""

    _STEP_MM = 0.5
    _LOW_MM = -140.0

    def __init__(self, fat_mm: float, muscle_ratio: float, device: torch.device | str) -> None:
        z = np.arange(self._LOW_MM, 160.0, self._STEP_MM)
        profile = np.asarray(LIMB)[::-1]
        girdle = np.asarray(FAT_GIRDLE)[::-1]
        fat = fat_mm * np.interp(z, girdle[:, 0], girdle[:, 1])
        front, back, half = (np.interp(z, profile[:, 0], profile[:, c]) for c in (1, 2, 3))
        girth = 0.5 * (1 + muscle_ratio)
        middle, depth = (front + back) / 2, (front - back) / 2
        rows = [front - depth * girth, depth * girth + 0.8 * fat, half * girth + fat, fat]
        rows[0] = middle
        kernel = np.exp(-0.5 * (np.arange(-60, 61) * self._STEP_MM / 8.0) ** 2)
        kernel /= kernel.sum()
        smooth = [np.convolve(np.pad(row, 60, mode="edge"), kernel, mode="valid") for row in rows]
        self._table = torch.as_tensor(np.stack(smooth).astype(np.float32), device=device)

    def __call__(self, rest: Tensor) -> tuple[Tensor, Tensor]:
        """Distance to the skin's surface, and the thickness of skin and fat together."""
        index = ((rest[2] - self._LOW_MM) / self._STEP_MM).round_().clamp_(0, self._table.shape[1] - 1).long()
        middle, depth, half, fat = self._table[:, index]
        u = ((rest[0] + 1.5) / half).abs() + 1e-4
        v = (rest[1] - middle) / depth
        # A narrower front than back, as the thigh's and the calf's sections have.
        u = u * (1 + 0.10 * v)
        power = 2.3
        radius = (u**power + (v.abs() + 1e-4) ** power) ** (1 / power)
        return (radius - 1) * torch.minimum(depth, half), fat


def _ellipse(x: Tensor, y: Tensor, rx: float, ry: float) -> Tensor:
    value = ((x / rx) ** 2 + (y / ry) ** 2 + 1e-6).sqrt()
    slope = ((x / rx**2) ** 2 + (y / ry**2) ** 2 + 1e-8).sqrt()
    return value * (value - 1) / slope


def _hoffa(rest: Tensor) -> Tensor:
    return ellipsoid(rest, (1, 36, 6), (24, 15, 20))


def _cruciates(rest: Tensor) -> Tensor:
    anterior = capsule(rest, (8.0, -12.0, 22.0), (-2.0, 11.0, 2.0), 3.6)
    posterior = smooth_union(
        [
            capsule(rest, (-6.0, 5.0, 17.0), (-2.0, -12.0, 14.0), 3.8),
            capsule(rest, (-2.0, -12.0, 14.0), (1.0, -22.0, -6.0), 3.8),
        ],
        1.0,
    )
    return torch.minimum(anterior, posterior)
