"""Bones and articular cartilage of a knee, posed: distances at any point of the knee frame.

The knee frame is in mm of the mean knee: x lateral, y anterior, z superior, origin between the tibial
cartilages. Flexion turns the femur and the tibia by half the angle each, opposite ways, about the
axis through the posterior condyles; femur and patella are then settled until cartilage meets cartilage.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .implicit import EllipsoidUnion, Polynomial, TubeBundle, smoothstep
from .knee_shape import LESION_SITES, KneeShape
from .mean_bones import COVERAGE, COVERAGE_ORIGIN, COVERED_SLOPE, ELLIPSOIDS, MEAN_WIDTH_MM, UNION_SOFTNESS_MM

#: The flexion axis runs along x through this (y, z).
FLEXION_AXIS_YZ = (-11.0, 23.0)
_PATELLA_CENTER = (1.0, 50.0, 36.0)
_FEMOROTIBIAL_GAP_MM = 0.1
_PATELLOFEMORAL_GAP_MM = 0.7
_COMPARTMENT_DISTANCE_MM = 42.0
_EMINENCE_MM = 11.0

#: Cartilage ends between these distances from the origin of its bone's polynomial. The polynomials were fitted
#: near the joint, where no cartilage lies farther than 53 mm; up the femur's shaft they rise above 0 again.
_COVERAGE_END_MM = (50.0, 56.0)

#: Course of the fibula, as in :mod:`.soft_tissue_courses`.
FIBULA = (
    (-7.0, 36.0, -21.0, 3.5, 4.0),
    (-12.0, 36.0, -20.0, 7.5, 8.0),
    (-20.0, 35.5, -19.0, 8.5, 9.0),
    (-32.0, 35.0, -18.0, 7.0, 7.0),
    (-45.0, 34.0, -17.0, 5.5, 6.0),
    (-130.0, 34.0, -16.0, 5.5, 6.5),
)

Distances = dict[str, Tensor]


class Skeleton:
    """Signed distances (mm of the mean knee) to bones and cartilages of one :class:`.KneeShape`."""

    def __init__(self, shape: KneeShape, device: torch.device | str = "cpu") -> None:
        scale = MEAN_WIDTH_MM / shape.width_mm
        self._shape = shape
        self._thickness_mm = {
            "femur": shape.femoral_cartilage_mm * scale,
            "tibia": shape.tibial_cartilage_mm * scale,
            "patella": shape.patellar_cartilage_mm * scale,
        }
        self._lesion_scale = scale
        self._bones = {name: EllipsoidUnion(rows, UNION_SOFTNESS_MM[name], device) for name, rows in ELLIPSOIDS.items()}
        self._coverage = {name: Polynomial(COVERAGE[name], COVERAGE_ORIGIN[name], 30.0) for name in COVERAGE}
        self._fibula = TubeBundle([FIBULA], device)
        self._half_flexion = math.radians(shape.flexion_deg) / 2
        self._femur_shift_z = 0.0
        self._femur_tilt = 0.0  # about y: both condyles must reach the plateau
        self._patella_shift_y = 0.0
        self._settle(device)

    def femur_frame(self, points: Tensor) -> Tensor:
        """Points of the posed knee in the frame of the unposed femur."""
        x, y, z = turn(points, -self._half_flexion)
        z = z - self._femur_shift_z
        return torch.stack([x - self._femur_tilt * z, y, z + self._femur_tilt * x])

    def tibia_frame(self, points: Tensor) -> Tensor:
        """Points of the posed knee in the frame of the unposed tibia."""
        return turn(points, self._half_flexion)

    def patella_frame(self, points: Tensor) -> Tensor:
        """Points of the posed knee in the frame of the unposed patella: it follows the tibia and tilts."""
        shape = self._shape
        x, y, z = self.tibia_frame(points)
        tilt = -1.2 * self._half_flexion
        cy, cz = _PATELLA_CENTER[1], _PATELLA_CENTER[2]
        y, z = y - self._patella_shift_y - cy, z - shape.patella_height_mm - cz
        y, z = math.cos(tilt) * y - math.sin(tilt) * z, math.sin(tilt) * y + math.cos(tilt) * z
        r = shape.patella_ratio
        return torch.stack([(x - 1.0) / r + 1.0, y / r + cy, z / r + cz])

    def distances(self, points: Tensor) -> Distances:
        """Distance to each bone and each cartilage (bone included) at points (3, M)."""
        tibia = self.tibia_frame(points)
        result = self._bone("femur", self.femur_frame(points))
        result |= self._bone("tibia", tibia)
        patella = self._bone("patella", self.patella_frame(points))
        result |= {name: distance * self._shape.patella_ratio for name, distance in patella.items()}
        result["fibula"] = self._fibula(tibia)[0]
        return result

    def _bone(self, name: str, local: Tensor) -> Distances:
        bone = self._bones[name](local)
        covered = self._covered(name, local)
        thickness = self._thickness_mm[name] * COVERED_SLOPE[name] * self._worn(local)
        if name == "patella":
            thickness = thickness / self._shape.patella_ratio
        # Where nothing covers it, the cartilage's surface dips below the bone's and disappears.
        return {name: bone, f"{name}_cartilage": bone - (covered * (thickness + 1.2) - 1.2)}

    def _covered(self, name: str, local: Tensor) -> Tensor:
        """How much of the full thickness lies at these points of the bone's frame, 0 to 1, lesions aside."""
        distance = (local - local.new_tensor(COVERAGE_ORIGIN[name])[:, None]).norm(dim=0)
        return smoothstep(self._coverage[name](local), -1.5, 3.0) * (1 - smoothstep(distance, *_COVERAGE_END_MM))

    def _worn(self, local: Tensor) -> Tensor:
        """Fraction of the cartilage's thickness that the lesions leave."""
        left = torch.ones_like(local[0])
        for lesion in self._shape.lesions:
            site = LESION_SITES[lesion.site]
            center = local.new_tensor([s + o for s, o in zip(site, lesion.offset_mm, strict=True)])
            distance = (local - center[:, None]).norm(dim=0) / (lesion.radius_mm * self._lesion_scale)
            left = left * (1 - lesion.depth * (1 - smoothstep(distance, 0.6, 1.1)))
        return left

    def _settle(self, device: torch.device | str) -> None:
        """Move femur and patella until the cartilages almost touch."""
        contact = _lattice((-36, 36), (-26, 26), (-8, 18), device)
        tibia = self._bone("tibia", self.tibia_frame(contact))["tibia_cartilage"]
        compartments = (contact[0] < -_EMINENCE_MM, contact[0] > _EMINENCE_MM)
        for _ in range(5):
            femur = self._bone("femur", self.femur_frame(contact))["femur_cartilage"]
            gaps = [_gap(femur[side], tibia[side]) for side in compartments]
            self._femur_shift_z += _FEMOROTIBIAL_GAP_MM - sum(gaps) / 2
            self._femur_tilt += (gaps[1] - gaps[0]) / _COMPARTMENT_DISTANCE_MM
        front = _lattice((-26, 28), (22, 62), (8, 66), device)
        for _ in range(4):
            femur = self._bone("femur", self.femur_frame(front))["femur_cartilage"]
            patella = self._bone("patella", self.patella_frame(front))["patella_cartilage"]
            self._patella_shift_y += _PATELLOFEMORAL_GAP_MM - _gap(femur, patella)


def turn(points: Tensor, angle: float | Tensor) -> Tensor:
    """Rotate (3, M) points about the flexion axis; a positive angle moves superior points backwards."""
    cos, sin = (math.cos(angle), math.sin(angle)) if isinstance(angle, float) else (torch.cos(angle), torch.sin(angle))
    y, z = points[1] - FLEXION_AXIS_YZ[0], points[2] - FLEXION_AXIS_YZ[1]
    return torch.stack([points[0], cos * y - sin * z + FLEXION_AXIS_YZ[0], sin * y + cos * z + FLEXION_AXIS_YZ[1]])


def _lattice(x: tuple[int, int], y: tuple[int, int], z: tuple[int, int], device: torch.device | str) -> Tensor:
    axes = [torch.arange(low, high + 0.1, 1.5, device=device) for low, high in (x, y, z)]
    return torch.stack([a.reshape(-1) for a in torch.meshgrid(*axes, indexing="ij")])


def _gap(first: Tensor, second: Tensor) -> float:
    """Width of the gap between two bodies (negative: overlap), from their distances on a lattice."""
    return 2 * float(torch.maximum(first, second).min())
