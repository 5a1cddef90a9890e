"""Everything around the bones: limb outline, muscles, tendons, vessels, menisci, ligaments, fluid.

Coordinates and paths are ours, drawn after measurements on knees: mm of the mean knee, x lateral,
y anterior, z superior (see :mod:`.skeleton`), knee unbent; a smooth bend carries them into flexion.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from .implicit import Tube, TubeBundle, capsule, ellipsoid, smooth_union, smoothstep
from .shape import KneeShape
from .skeleton import FLEXION_AXIS_YZ, Distances, turn

_MUSCLES = (
    Tube("vastus medialis", "muscle", (
        (140, -27, 22, 30, 26), (90, -27, 25, 27, 23), (62, -31, 24, 22, 20), (40, -34, 23, 14, 14),
        (22, -34, 21, 4, 5))),
    Tube("vastus lateralis", "muscle", (
        (140, 28, 26, 28, 24), (90, 27, 25, 23, 21), (62, 30, 25, 14, 14), (42, 31, 26, 4, 5))),
    Tube("vastus intermedius", "muscle", (
        (140, 0, 40, 24, 14), (95, 0, 38, 20, 9), (76, 0, 37, 13, 5), (62, 0, 37, 6, 2))),
    Tube("biceps femoris", "muscle", (
        (140, 24, -32, 24, 20), (85, 28, -32, 18, 18), (45, 34, -29, 10, 13), (12, 38, -27, 6, 8), (-8, 37, -25, 2, 3))),
    Tube("semimembranosus", "muscle", (
        (140, -18, -38, 25, 22), (85, -20, -40, 20, 19), (48, -24, -41, 14, 14), (22, -29, -36, 7, 8),
        (0, -31, -29, 3, 4))),
    Tube("semitendinosus", "muscle", ((140, 0, -54, 15, 9), (85, -8, -56, 10, 6), (50, -18, -55, 4, 4))),
    Tube("sartorius", "muscle", (
        (140, -52, -12, 8, 18), (60, -50, -18, 5, 13), (20, -47, -19, 4, 11), (-20, -42, -8, 2.5, 8),
        (-45, -33, 8, 1.5, 5))),
    Tube("medial gastrocnemius", "muscle", (
        (36, -20, -25, 4, 3), (20, -20, -35, 11, 8), (0, -21, -41, 16, 12), (-30, -22, -45, 20, 17),
        (-70, -22, -47, 24, 19), (-130, -20, -44, 20, 15))),
    Tube("lateral gastrocnemius", "muscle", (
        (32, 20, -24, 4, 3), (16, 20, -34, 11, 8), (0, 19, -39, 14, 11), (-30, 18, -45, 18, 16),
        (-70, 17, -47, 20, 17), (-130, 14, -44, 18, 14))),
    Tube("popliteus and soleus", "muscle", (
        (-3, 12, -22, 8, 3), (-20, 6, -22, 18, 6), (-45, 3, -22, 24, 10), (-80, 2, -23, 30, 16),
        (-130, 2, -23, 30, 18))),
    Tube("tibialis anterior", "muscle", (
        (-12, 31, 12, 3, 4), (-28, 30, 9, 10, 13), (-60, 27, 6, 15, 18), (-130, 24, 4, 15, 18))),
    Tube("peronei", "muscle", ((-20, 41, -10, 2, 4), (-42, 40, -9, 7, 10), (-80, 38, -10, 9, 13), (-130, 36, -10, 9, 13))),
)

_VESSELS = (
    Tube("popliteal artery", "vessel", ((140, -12, -18, 3.5, 3.5), (60, -5, -25, 3.4, 3.4), (30, -1, -28, 3.2, 3.2),
                                        (0, 3, -31, 3, 3), (-30, 4, -33, 2.8, 2.8), (-130, 4, -34, 2.5, 2.5))),
    Tube("popliteal vein", "vessel", ((140, -8, -24, 4.5, 4.5), (60, 0, -31, 4.4, 4.4), (30, 4, -34, 4.4, 4.4),
                                      (0, 7, -37, 4.2, 4.2), (-30, 6, -38, 3.6, 3.6), (-130, 5, -38, 3, 3))),
    Tube("great saphenous vein", "vessel", ((140, -52, -32, 1.9, 1.9), (20, -50, -34, 1.7, 1.7), (-130, -46, -6, 1.7, 1.7))),
    Tube("small saphenous vein", "vessel", ((60, 3, -55, 1.5, 1.5), (0, 3, -62, 1.4, 1.4), (-130, 3, -66, 1.4, 1.4))),
)

_NERVES = (
    Tube("tibial nerve", "nerve", ((140, 4, -38, 5, 4), (40, 8, -43, 4, 3), (0, 9, -44, 3, 2.5), (-30, 7, -42, 2.5, 2.5))),
    Tube("peroneal nerve", "nerve", ((140, 12, -40, 4, 3), (40, 26, -42, 3, 2), (0, 42, -32, 2, 2))),
)

_TENDONS = (
    Tube("quadriceps tendon", "tendon", ((140, 0, 56, 13, 3), (90, 0, 52, 13, 3.4), (62, 1, 53, 13, 3.8), (48, 1, 55, 14, 4))),
    Tube("patellar tendon", "tendon", ((26, 1, 56, 13, 2.6), (12, 1, 52, 13, 2.4), (-8, 2, 43.5, 12.5, 2.4),
                                       (-26, 3, 35, 11.5, 2.6), (-40, 3, 29, 9, 2.4))),
    Tube("iliotibial band", "tendon", ((140, 53, 2, 1.1, 17), (50, 46, 8, 1.2, 13), (10, 41, 13, 1.4, 9), (-14, 36, 17, 1.4, 5))),
    Tube("medial collateral ligament", "tendon", ((22, -39.5, -2, 1.6, 5), (0, -37.5, -2, 1.3, 7), (-42, -27, 0, 1.3, 7))),
    Tube("lateral collateral ligament", "tendon", ((20, 37.5, -8, 1.7, 2.6), (-8, 39.5, -19, 1.7, 2.4))),
    Tube("semitendinosus tendon", "tendon", ((56, -16, -55, 2.4, 2.4), (10, -32, -42, 2, 2.2), (-45, -31, 2, 1.4, 2))),
    Tube("biceps tendon", "tendon", ((30, 40, -31, 1.6, 3), (-8, 38, -24, 2, 3))),
)

#: Rows (z, front y, back y, half width) of the limb without its subcutaneous fat.
_LIMB = (
    (160, 55, -66, 58), (100, 55, -60, 54), (65, 54, -55, 50), (38, 56.5, -53, 48), (18, 53, -52, 46.5),
    (-2, 45.5, -54, 45.5), (-22, 36.5, -58, 46), (-42, 30.5, -62, 46.5), (-75, 27, -66, 47), (-140, 24, -66, 44),
)

_FAT_GIRDLE = ((160, 1.8), (80, 1.5), (35, 0.9), (0, 0.9), (-40, 1.0), (-140, 1.1))

#: Compartments of the tibial plateau: centre x, y; outer half widths; inner centre x, y; inner half widths.
_MENISCI = (
    (-20.0, -2.0, 19.5, 25.0, -17.5, -1.0, 9.0, 14.5),
    (20.5, -3.5, 18.5, 20.0, 18.5, -3.0, 8.5, 10.5),
)

Layer = tuple[str, Tensor]


class SoftTissue:
    """Layers of soft tissue, from the outside in: later layers cover earlier ones."""

    def __init__(self, shape: KneeShape, device: torch.device | str = "cpu") -> None:
        self._shape = shape
        self._half_flexion = float(np.radians(shape.flexion_deg)) / 2
        self._muscles = TubeBundle(_MUSCLES, device, girth=shape.muscle_ratio)
        self._strands = TubeBundle((*_VESSELS, *_NERVES, *_TENDONS), device)
        self._limb = _Outline(shape, device)

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
        limb, skin_mm, fat_mm = self._limb(rest)
        inner = limb + fat_mm
        layers: list[Layer] = [("skin", limb), ("fat", limb + skin_mm)]
        layers.append(("muscle", self._muscle(rest, inner)))
        layers.append(("hoffa", _hoffa(rest)))
        strands = self._strands(rest)
        first, second = len(_VESSELS), len(_VESSELS) + len(_NERVES)
        layers.append(("nerve", strands[first:second].amin(0)))
        layers.append(("vessel", strands[:first].amin(0)))
        layers.append(("fluid", self._fluid(rest, bones)))
        layers.append(("tendon", torch.maximum(strands[second:].amin(0), limb + skin_mm + 0.5)))
        layers.append(("meniscus", self._meniscus(tibia_points, bones)))
        layers.append(("ligament", _cruciates(rest)))
        return layers

    def _muscle(self, rest: Tensor, inner: Tensor) -> Tensor:
        """Union of the muscles, parted by thin septa where two of them meet."""
        nearest = self._muscles(rest).topk(2, dim=0, largest=False).values
        septum = 0.45 - (nearest[1] - nearest[0]) / 2
        return torch.maximum(torch.maximum(nearest[0], septum), inner)

    def _fluid(self, rest: Tensor, bones: Distances) -> Tensor:
        """Film between the cartilages, and recesses that swell with the effusion."""
        effusion = self._shape.effusion_mm
        femur, tibia, patella = (bones[f"{n}_cartilage"] for n in ("femur", "tibia", "patella"))
        film = torch.minimum(torch.maximum(femur, tibia), torch.maximum(femur, patella)) - 0.45
        recesses = smooth_union(
            [
                ellipsoid(rest, (0, 36, 58), (15, 5 + effusion, 16)),  # suprapatellar
                ellipsoid(rest, (33, 25, 26), (8, 12, 15)),  # lateral gutter
                ellipsoid(rest, (-34, 22, 24), (7, 10, 12)),  # medial gutter
                ellipsoid(rest, (-24, -20, 8), (9, 9, 6)),  # behind the condyles
                ellipsoid(rest, (22, -22, 8), (9, 8, 6)),
                ellipsoid(rest, (2, -10, 10), (7, 9, 5)),  # notch
            ],
            1.0,
        )
        near = torch.minimum(femur, patella) - 0.9 * effusion
        return torch.minimum(film, torch.maximum(recesses, near))

    def _meniscus(self, tibia_points: Tensor, bones: Distances) -> Tensor:
        """Wedges that fill the gap between femoral and tibial cartilage around each compartment."""
        x, y, _ = tibia_points
        above = bones["tibia_cartilage"]
        rings = []
        for cx, cy, rx, ry, ix, iy, jx, jy in _MENISCI:
            sign = -1.0 if cx < 0 else 1.0
            outer = _ellipse(x - cx, y - cy, rx, ry)
            shrink = self._shape.meniscus_ratio
            inner = _ellipse(x - ix, y - iy, rx - (rx - jx) * shrink, ry - (ry - jy) * shrink)
            open_side = 5.0 - sign * x  # the C opens towards the eminence
            rings.append(torch.maximum(torch.maximum(outer, -inner), open_side))
        ring = torch.minimum(rings[0], rings[1])
        gap = torch.maximum(-bones["femur_cartilage"] + 0.25, -above + 0.25)
        return torch.maximum(torch.maximum(ring, gap), above - 7.0)


class _Outline:
    """The limb's surface: an egg-shaped section from a table along z."""

    _STEP_MM = 0.5
    _LOW_MM = -140.0

    def __init__(self, shape: KneeShape, device: torch.device | str) -> None:
        z = np.arange(self._LOW_MM, 160.0, self._STEP_MM)
        profile = np.asarray(_LIMB)[::-1]
        girdle = np.asarray(_FAT_GIRDLE)[::-1]
        fat = shape.fat_mm * np.interp(z, girdle[:, 0], girdle[:, 1])
        front, back, half = (np.interp(z, profile[:, 0], profile[:, c]) for c in (1, 2, 3))
        girth = 0.5 * (1 + shape.muscle_ratio)
        middle, depth = (front + back) / 2, (front - back) / 2
        rows = [front - depth * girth, depth * girth + 0.8 * fat, half * girth + fat, fat]
        rows[0] = middle
        kernel = np.exp(-0.5 * (np.arange(-60, 61) * self._STEP_MM / 8.0) ** 2)
        kernel /= kernel.sum()
        smooth = [np.convolve(np.pad(row, 60, mode="edge"), kernel, mode="valid") for row in rows]
        self._table = torch.as_tensor(np.stack(smooth).astype(np.float32), device=device)

    def __call__(self, rest: Tensor) -> tuple[Tensor, float, Tensor]:
        """Distance to the skin's surface, thickness of the skin, and of skin and fat together."""
        index = ((rest[2] - self._LOW_MM) / self._STEP_MM).round_().clamp_(0, self._table.shape[1] - 1).long()
        middle, depth, half, fat = self._table[:, index]
        u = ((rest[0] + 1.5) / half).abs() + 1e-4
        v = (rest[1] - middle) / depth
        # A narrower front than back, as the thigh's and the calf's sections have.
        u = u * (1 + 0.10 * v)
        power = 2.3
        radius = (u**power + (v.abs() + 1e-4) ** power) ** (1 / power)
        skin_mm = 1.4
        return (radius - 1) * torch.minimum(depth, half), skin_mm, fat


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


def tissue_names() -> Sequence[str]:
    """Names that :meth:`SoftTissue.layers` may give."""
    return ("skin", "fat", "muscle", "hoffa", "nerve", "vessel", "fluid", "tendon", "meniscus", "ligament")
