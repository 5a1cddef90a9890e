"""Fit the constants of JointRegistrationLib/phantom/shapes/mean_bones.py to segmented knees and write such a module.

    python Testing/Tools/fit_mean_bones.py OUTPUT.py [--data DIR] [--knees 24] [--steps 3000]

It needs the label maps of shared/data/knee-labels (right knees; the first visit of each training subject):

1. measure: signed distance to each bone, the points of its surface, which of them cartilage covers;
2. align: similarity of every knee's bone to the mean of all, in turns with that mean of distances;
3. fit: the ellipsoids of a smooth union to the mean distance, then a polynomial to the log odds of cover;
4. write: everything in the knee frame (x lateral, y anterior, z superior, mm), origin at the tibial cartilages.

Points are tensors (n, 3), x, y, z in mm; volumes are (z, y, x). Same knees, same machine, same result.
"""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import torch
import torch.nn.functional as F
from scipy.cluster.vq import kmeans2
from scipy.ndimage import binary_erosion
from torch import Tensor

from JointRegistrationLib.phantom.shapes.implicit import EllipsoidUnion, Polynomial
from JointRegistrationLib.training.data.labels import read_canonical_labels, signed_distance_mm

ROOT = Path(__file__).resolve().parents[2]
PAD = 16
LATTICE_MM = 1.5
# Mean width of the condyles at the height of their cartilage. The fitted femur's greatest width is then 75 mm with
# 24 knees (measured), and the phantom's soft tissue was drawn around a femur of that width.
WIDTH_MM = 72.6
ROUNDS = 3
SURFACE_POINTS = 4000  # of each knee's bone, for the cover
SOFTNESS_MM = 1.6  # largest softness of the union: more of it makes the slope uneven
POLYNOMIAL_UNIT_MM = 30.0
COVER_MM = 1.0  # a surface point as near to cartilage as this is covered


@dataclass(frozen=True)
class Bone:
    """Label values, the box (mm, around the cartilage's centre) that the mean is made in, and sizes of the fits.

    ``open_end``: 1 where the field of view cuts the bone off above, -1 below, 0 nowhere.
    """

    values: tuple[int, int]
    cartilage: int
    box: tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
    ellipsoids: int
    degree: int
    open_end: int


BONES = {
    "femur": Bone((1, 7), 2, ((-55, 55), (-50, 50), (-30, 65)), 15, 4, 1),
    "tibia": Bone((3, 8), 4, ((-52, 52), (-45, 45), (-75, 25)), 13, 4, -1),
    "patella": Bone((5, 9), 6, ((-32, 32), (-22, 22), (-32, 32)), 5, 3, 0),
}


@dataclass(frozen=True)
class Volume:
    """Values (z, y, x) on a lattice from ``first`` in steps of ``step``, both x, y, z in mm."""

    values: Tensor
    first: Tensor
    step: Tensor

    def points(self) -> Tensor:
        nz, ny, nx = self.values.shape
        z, y, x = torch.meshgrid(torch.arange(nz), torch.arange(ny), torch.arange(nx), indexing="ij")
        return torch.stack([x, y, z], dim=-1).reshape(-1, 3) * self.step + self.first

    def sample(self, points: Tensor) -> Tensor:
        """Linear interpolation; outside, the value at the border."""
        unit = 2 * (points - self.first) / (self.step * (torch.tensor(self.values.shape).flip(0) - 1)) - 1
        sampled = F.grid_sample(
            self.values[None, None], unit[None, None, None], padding_mode="border", align_corners=True
        )
        return sampled.reshape(-1)

    def holds(self, points: Tensor) -> Tensor:
        last = self.first + self.step * (torch.tensor(self.values.shape).flip(0) - 1)
        return ((points > self.first) & (points < last)).all(dim=-1)


@dataclass(frozen=True)
class Pose:
    """Where one knee's bone lies: rotation vector, position of the mean's origin, log of mean size over its own."""

    turn: Tensor
    shift: Tensor
    log_scale: Tensor

    def rotation(self) -> Tensor:
        x, y, z = self.turn
        zero = torch.zeros_like(x)
        rows = [torch.stack(row) for row in ((zero, -z, y), (z, zero, -x), (-y, x, zero))]
        return torch.matrix_exp(torch.stack(rows))

    def to_mean(self, points: Tensor) -> Tensor:
        return ((points - self.shift) @ self.rotation()) * torch.exp(self.log_scale)

    def from_mean(self, points: Tensor) -> Tensor:
        return (points @ self.rotation().T) * torch.exp(-self.log_scale) + self.shift


@dataclass(frozen=True)
class MeasuredBone:
    """One bone of one knee, in that knee's own frame."""

    distance: Volume
    surface: Tensor
    covered: Tensor
    cartilage_center: Tensor


# -- measure ------------------------------------------------------------------------------------------------


def first_visits(data: Path, count: int) -> list[Path]:
    """Label maps of the training subjects' first visits, in the manifest's order."""
    folder = data / "knee-labels"
    with (folder / "manifest.csv").open(newline="") as lines:
        rows = [row for row in csv.DictReader(lines) if row["split"] == "train"]
    first: dict[str, Path] = {}
    for row in rows:
        first.setdefault(row["subject"], folder / row["file"])
    return list(first.values())[:count]


def extended_distance(mask: np.ndarray, spacing_zyx: tuple[float, ...], open_end: int) -> np.ndarray:
    """Signed distance on a lattice larger by ``PAD`` all around, the bone going on where it was cut off."""
    padded = np.pad(mask, PAD)
    if open_end > 0:
        padded[-PAD:] = padded[-PAD - 1]
    elif open_end < 0:
        padded[:PAD] = padded[PAD]
    return signed_distance_mm(padded, spacing_zyx)


def measured_bone(labels: np.ndarray, spacing_zyx: tuple[float, ...], bone: Bone) -> MeasuredBone:
    mask, cartilage = np.isin(labels, bone.values), labels == bone.cartilage
    step = torch.tensor(spacing_zyx[::-1], dtype=torch.float32)
    distance = extended_distance(mask, spacing_zyx, bone.open_end)[::2, ::2, ::2]
    surface = mask & ~binary_erosion(mask)
    surface[[0, -1]] = False  # the cut through the shaft is none
    covered = signed_distance_mm(cartilage, spacing_zyx)[surface] < COVER_MM

    def positions(where: np.ndarray) -> Tensor:
        return torch.from_numpy(np.argwhere(where)[:, ::-1].copy()).float() * step

    volume = Volume(torch.from_numpy(distance.copy()), -PAD * step, 2 * step)
    return MeasuredBone(volume, positions(surface), torch.from_numpy(covered), positions(cartilage).mean(dim=0))


def measured_knee(path: Path) -> dict[str, MeasuredBone]:
    labels, (right_mm, superior_mm, anterior_mm) = read_canonical_labels(path)
    labels = labels.transpose(1, 2, 0)[::2, ::2]  # z, y, x: x is lateral, for all are right knees
    spacing = (2 * superior_mm, 2 * anterior_mm, right_mm)
    return {name: measured_bone(labels, spacing, bone) for name, bone in BONES.items()}


def width_mm(femur: MeasuredBone) -> float:
    """Width of the condyles, at the height of their cartilage."""
    near = (femur.surface[:, 2] - femur.cartilage_center[2]).abs() < 8
    return float(np.ptp(femur.surface[near, 0].numpy()))


# -- align --------------------------------------------------------------------------------------------------


def lattice_of(bone: Bone) -> Volume:
    shape = [int((high - low) / LATTICE_MM) + 1 for low, high in reversed(bone.box)]
    first = torch.tensor([float(low) for low, _ in bone.box])
    return Volume(torch.zeros(shape), first, torch.full((3,), LATTICE_MM))


def mean_distance(bones: list[MeasuredBone], poses: list[Pose], lattice: Volume) -> Volume:
    """Mean of the bones' distances after their poses."""
    points = lattice.points()
    total = torch.zeros(len(points))
    for bone, pose in zip(bones, poses, strict=True):
        total += (bone.distance.sample(pose.from_mean(points)) * torch.exp(pose.log_scale)).clamp(-12, 20)
    return Volume((total / len(bones)).view(lattice.values.shape), lattice.first, lattice.step)


def aligned_pose(bone: MeasuredBone, start: Pose, mean: Volume) -> Pose:
    """The similarity that lays a bone's surface onto the mean's."""
    unknown = [value.clone().requires_grad_(True) for value in (start.turn, start.shift, start.log_scale)]
    points = bone.surface[torch.randperm(len(bone.surface))[:3000]]
    optimizer = torch.optim.LBFGS(unknown, max_iter=25, line_search_fn="strong_wolfe")

    def energy() -> Tensor:
        optimizer.zero_grad()
        pose = Pose(*unknown)
        moved = pose.to_mean(points)
        inside = mean.holds(moved).float()
        misfit = F.huber_loss(mean.sample(moved), torch.zeros(len(moved)), delta=2.0, reduction="none")
        loss = (misfit * inside).sum() / inside.sum()
        loss = loss + 5e-4 * (pose.shift - start.shift).square().sum() + 2 * pose.turn.square().sum()
        loss.backward()
        return loss

    optimizer.step(energy)
    return Pose(*(value.detach() for value in unknown))


def align(bones: list[MeasuredBone], widths_mm: list[float], bone: Bone) -> tuple[list[Pose], Volume]:
    """Poses of all knees' bones, and the mean distance.

    On average the poses neither turn nor grow: surface points lie half a voxel within the surface, so that
    every round would otherwise enlarge the mean.
    """
    lattice = lattice_of(bone)
    poses = [
        Pose(torch.zeros(3), measured.cartilage_center, torch.tensor(math.log(WIDTH_MM / width)))
        for measured, width in zip(bones, widths_mm, strict=True)
    ]
    log_scale = torch.stack([pose.log_scale for pose in poses]).mean()
    for _ in range(ROUNDS):
        mean = mean_distance(bones, poses, lattice)
        poses = [aligned_pose(measured, pose, mean) for measured, pose in zip(bones, poses, strict=True)]
        turn = torch.stack([pose.turn for pose in poses]).mean(dim=0)
        growth = torch.stack([pose.log_scale for pose in poses]).mean() - log_scale
        poses = [Pose(pose.turn - turn, pose.shift, pose.log_scale - growth) for pose in poses]
    return poses, mean_distance(bones, poses, lattice)


def relative_place(poses: list[Pose], femurs: list[Pose]) -> tuple[Tensor, float]:
    """Mean position of a bone in the mean femur's frame, and how much it must grow to be of one scale with it."""
    pairs = list(zip(poses, femurs, strict=True))
    place = torch.stack([femur.to_mean(pose.shift[None])[0] for pose, femur in pairs]).mean(dim=0)
    growth = float(np.mean([float(femur.log_scale - pose.log_scale) for pose, femur in pairs]))
    return place, math.exp(growth)


# -- fit ----------------------------------------------------------------------------------------------------


def true_distance(mean: Volume, bone: Bone) -> Volume:
    """The distance to the mean's surface: a mean of distances has slopes below 1."""
    shape = [3 * (n - 1) + 1 for n in mean.values.shape]
    fine = F.interpolate(mean.values[None, None], size=shape, mode="trilinear", align_corners=True)[0, 0]
    third = float(mean.step[0]) / 3
    inner = (slice(PAD, -PAD, 3),) * 3
    distance = extended_distance(fine.numpy() < 0, (third,) * 3, bone.open_end)[inner]
    return Volume(torch.from_numpy(distance.copy()), mean.first, mean.step)


class Union:
    """A smooth union of rotated ellipsoids with gradients, as :class:`.implicit.EllipsoidUnion` without."""

    def __init__(self, centers: Tensor, radii: Tensor) -> None:
        self.centers = centers.requires_grad_(True)
        self.log_radii = radii.log().requires_grad_(True)
        turns = 0.02 * torch.randn(len(centers), 4) + torch.tensor([1.0, 0, 0, 0])
        self.turns = turns.requires_grad_(True)
        self.log_softness = torch.tensor(math.log(SOFTNESS_MM), requires_grad=True)

    def __call__(self, points: Tensor) -> Tensor:
        w, x, y, z = F.normalize(self.turns, dim=-1).unbind(-1)
        rows = (
            (1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
            (2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
            (2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
        )
        rotation = torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)
        inverse = torch.exp(-self.log_radii)
        scaled = torch.einsum("erc,nec->ner", rotation, points[:, None] - self.centers) * inverse
        value = (scaled.square().sum(-1) + 1e-6).sqrt()
        slope = ((scaled * inverse).square().sum(-1) + 1e-8).sqrt()
        softness = self.log_softness.exp()
        return -softness * torch.logsumexp(value * (value - 1) / slope / -softness, dim=-1)

    def keep_in_bounds(self) -> None:
        with torch.no_grad():
            self.log_radii.clamp_(math.log(3.0), math.log(130.0))
            self.log_softness.clamp_(max=math.log(SOFTNESS_MM))

    def rows(self, origin: Tensor) -> np.ndarray:
        """As in ``ELLIPSOIDS``, moved by ``origin``."""
        parts = (self.centers + origin, self.log_radii.exp(), F.normalize(self.turns, dim=-1))
        return torch.cat(parts, dim=-1).detach().numpy()


def first_union(points: Tensor, distance: Tensor, bone: Bone) -> Union:
    """Spheres of the size of the clusters of the inside, and one long ellipsoid for the shaft."""
    inside = points[distance < -1.0]
    inside = inside[torch.randperm(len(inside))[:6000]].numpy()
    centers, cluster = kmeans2(inside, bone.ellipsoids, minit="++", seed=1)
    radii = np.stack([1.9 * inside[cluster == n].std(axis=0) + 2 for n in range(bone.ellipsoids)])
    if bone.open_end:
        end = float(points[:, 2].max() if bone.open_end > 0 else points[:, 2].min())
        section = points[(distance < 0) & ((points[:, 2] - end).abs() < 4), :2].numpy()
        centers = np.vstack([centers, [*section.mean(axis=0), end + 60 * bone.open_end]])
        radii = np.vstack([radii, [*(2 * section.std(axis=0)), 90.0]])
    return Union(torch.from_numpy(centers).float(), torch.from_numpy(radii).float())


def unevenness(union: Union, points: Tensor) -> Tensor:
    """How far the slope is from 1, which it must be for thicknesses to be true."""
    points = points.clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(union(points).sum(), points, create_graph=True)
    return (gradient.norm(dim=1) - 1).square().mean()


def fit_union(distance: Volume, bone: Bone, steps: int) -> tuple[Union, float]:
    """The union whose distance is nearest to the given one; its mean error (mm) at the surface."""
    points, values = distance.points(), distance.values.reshape(-1)
    union = first_union(points, values, bone)
    shape = [union.log_radii, union.turns, union.log_softness]
    optimizer = torch.optim.Adam([{"params": [union.centers], "lr": 0.25}, {"params": shape, "lr": 0.015}])
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, [0.5, 0.03], total_steps=steps, pct_start=0.1)
    near, far = torch.nonzero(values.abs() < 4)[:, 0], torch.nonzero((values.abs() >= 4) & (values.abs() < 14))[:, 0]
    weights = torch.cat([torch.ones(2500), torch.full((1200,), 0.15)])
    for step in range(steps):
        drawn = torch.cat([near[torch.randint(len(near), (2500,))], far[torch.randint(len(far), (1200,))]])
        found, wanted = union(points[drawn]).clamp(-9, 14), values[drawn].clamp(-9, 14)
        loss = (F.huber_loss(found, wanted, reduction="none") * weights).mean()
        if step >= steps // 4:  # earlier, an even slope hinders the ellipsoids from finding their places
            loss = loss + 0.3 * unevenness(union, points[drawn[:1200]])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        union.keep_in_bounds()
    surface = values.abs() < 1
    with torch.no_grad():
        return union, float((union(points[surface]) - values[surface]).abs().mean())


def powers(degree: int) -> Iterator[tuple[int, int, int]]:
    """Exponents of x, y, z in the order of :class:`.implicit.Polynomial`."""
    for i in range(degree + 1):
        for j in range(degree + 1 - i):
            yield from ((i, j, k) for k in range(degree + 1 - i - j))


def fit_cover(points: Tensor, covered: Tensor, degree: int) -> tuple[np.ndarray, float]:
    """Logistic regression of "covered" on a polynomial of position; the share of points classified right."""
    x, y, z = (points / POLYNOMIAL_UNIT_MM).unbind(-1)
    features = torch.stack([x**i * y**j * z**k for i, j, k in powers(degree)], dim=-1)
    weights = torch.zeros(features.shape[1], requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=400, line_search_fn="strong_wolfe", history_size=30)

    def energy() -> Tensor:
        optimizer.zero_grad()
        loss = F.binary_cross_entropy_with_logits(features @ weights, covered.float())
        loss = loss + 1e-4 * weights.square().sum()
        loss.backward()
        return loss

    optimizer.step(energy)
    right = float((((features @ weights) > 0) == covered).float().mean())
    return weights.detach().numpy(), right


@dataclass(frozen=True)
class FittedBone:
    """All that mean_bones.py says about one bone, rounded as it is written there."""

    softness_mm: float
    slope: float
    ellipsoids: np.ndarray
    origin: np.ndarray
    cover: np.ndarray
    error_mm: float
    classified: float


def covered_slope(rows: np.ndarray, softness_mm: float, cover: Polynomial, center: np.ndarray) -> float:
    """Median slope of the union in the two millimetres above its covered surface."""
    axis = torch.arange(-45, 45.1, 1.5)
    points = torch.stack([p.reshape(-1) for p in torch.meshgrid(axis, axis, axis, indexing="ij")])
    points = points + torch.as_tensor(center, dtype=torch.float32)[:, None]
    union = EllipsoidUnion(rows.tolist(), softness_mm, "cpu")
    distance = union(points)
    points = points[:, (distance > 0) & (distance < 2) & (cover(points) > 1)]
    step = 0.05
    shifts = step * torch.eye(3)
    gradient = torch.stack([union(points + s[:, None]) - union(points - s[:, None]) for s in shifts]) / (2 * step)
    return float(gradient.norm(dim=0).median())


def fit_bone(
    bones: list[MeasuredBone], poses: list[Pose], mean: Volume, bone: Bone, origin: Tensor, scale: float, steps: int
) -> FittedBone:
    """Ellipsoids and cover of a mean bone that is scaled and then moved to ``origin`` of the knee frame."""
    scaled = Volume(mean.values * scale, mean.first * scale, mean.step * scale)
    union, error = fit_union(true_distance(scaled, bone), bone, steps)
    drawn = [torch.randperm(len(measured.surface))[:SURFACE_POINTS] for measured in bones]
    each = list(zip(bones, poses, drawn, strict=True))
    surface = torch.cat([pose.to_mean(measured.surface[some]) for measured, pose, some in each]) * scale
    covered = torch.cat([measured.covered[some] for measured, _, some in each])
    cover, classified = fit_cover(surface, covered, bone.degree)
    rows, softness = union.rows(origin), round(float(union.log_softness.detach().exp()), 3)
    polynomial = Polynomial(cover.tolist(), origin.tolist(), POLYNOMIAL_UNIT_MM)
    slope = covered_slope(rows, softness, polynomial, origin.numpy())
    return FittedBone(softness, slope, rows, origin.numpy(), cover, error, classified)


def fit(knees: list[dict[str, MeasuredBone]], steps: int) -> dict[str, FittedBone]:
    """Align and fit all bones."""
    bones = {name: [knee[name] for knee in knees] for name in BONES}
    widths = [width_mm(femur) for femur in bones["femur"]]
    aligned = {name: align(bones[name], widths, BONES[name]) for name in BONES}
    places = {name: relative_place(aligned[name][0], aligned["femur"][0]) for name in BONES}
    tibia = places["tibia"][0]
    fitted = {}
    for name, (poses, mean) in aligned.items():
        place, scale = places[name]
        fitted[name] = fit_bone(bones[name], poses, mean, BONES[name], place - tibia, scale, steps)
        result = fitted[name]
        click.echo(f"{name}: {result.error_mm:.2f} mm at the surface, {result.classified:.1%} of the cover right")
    return fitted


# -- write --------------------------------------------------------------------------------------------------


def greatest_width_mm(femur: FittedBone) -> float:
    """Width across the condyles of the fitted femur."""
    axes = torch.arange(-50, 50, 0.5), torch.arange(-40, 32, 2.0), torch.arange(8, 40, 2.0)
    points = torch.stack([p.reshape(-1) for p in torch.meshgrid(*axes, indexing="ij")])
    inside = EllipsoidUnion(femur.ellipsoids.tolist(), femur.softness_mm, "cpu")(points) < 0
    return float(np.ptp(points[0, inside].numpy())) + 0.5


def by_bone(values: dict[str, str]) -> str:
    return "{" + ", ".join(f'"{name}": {value}' for name, value in values.items()) + "}"


def ellipsoid_lines(bone: FittedBone) -> list[str]:
    numbers = [[*(f"{v:.2f}" for v in row[:6]), *(f"{v:.4f}" for v in row[6:])] for row in bone.ellipsoids]
    return [f"        ({', '.join(row)})," for row in numbers]


def blocks(lines: dict[str, list[str]]) -> str:
    return "\n".join(f'    "{name}": (\n' + "\n".join(rows) + "\n    )," for name, rows in lines.items())


MODULE = '''"""Mean shapes of the knee's bones, as constants fitted to measured anatomy.

Each bone is the smooth union of a few rotated ellipsoids; where cartilage covers it is the sign of a
polynomial. The ellipsoids were fitted (Adam; Huber loss on the signed distance, slope held near 1) to the
mean of {knees} right knees segmented by hand, each brought to the same width and aligned; they meet
the mean surface within {best} to {worst} mm on average. Numbers are in millimetres in the knee frame:
x lateral, y anterior, z superior, origin in the middle of the tibial cartilages, knee nearly extended.

Testing/Tools/fit_mean_bones.py makes such a module from label maps.
"""

from __future__ import annotations

#: Greatest width of the mean femur across its condyles, mm: every length here scales with it.
MEAN_WIDTH_MM = {width}

#: Softness (mm) of the union of a bone's ellipsoids.
UNION_SOFTNESS_MM = {softness}

#: Slope of the implicit function where cartilage lies: a thickness in mm times this is its level.
COVERED_SLOPE = {slope}

#: Per bone, rows of (centre x, y, z; radii a, b, c; orientation quaternion w, x, y, z).
ELLIPSOIDS: dict[str, tuple[tuple[float, ...], ...]] = {{
{ellipsoids}
}}

#: Origin of each bone's polynomial, in the knee frame.
COVERAGE_ORIGIN = {origin}

#: Coefficients of x^i y^j z^k (lengths in units of 30 mm, i slowest, total degree at most 4, 4, 3): the
#: log odds that the bone's surface there is covered by cartilage ({classified} % of surface points classified right).
COVERAGE: dict[str, tuple[float, ...]] = {{
{cover}
}}
'''


def module_text(fitted: dict[str, FittedBone], knees: int) -> str:
    """The source of a module like mean_bones.py."""
    errors = [bone.error_mm for bone in fitted.values()]
    origins = {name: f"({', '.join(f'{v + 0.0:.2f}' for v in bone.origin)})" for name, bone in fitted.items()}
    return MODULE.format(
        knees=knees,
        best=f"{min(errors):.2f}",
        worst=f"{max(errors):.2f}",
        width=f"{greatest_width_mm(fitted['femur']):.1f}",
        softness=by_bone({name: repr(bone.softness_mm) for name, bone in fitted.items()}),
        slope=by_bone({name: f"{bone.slope:.2f}" for name, bone in fitted.items()}),
        ellipsoids=blocks({name: ellipsoid_lines(bone) for name, bone in fitted.items()}),
        origin=by_bone(origins),
        classified=round(100 * min(bone.classified for bone in fitted.values())),
        cover=blocks({name: [f"        {v:.3f}," for v in bone.cover] for name, bone in fitted.items()}),
    )


@click.command()
@click.argument("output", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--data", type=click.Path(path_type=Path, exists=True), help="Default: JOINTREG_DATA or ../shared/data.")
@click.option("--knees", default=24, show_default=True, type=click.IntRange(2), help="How many knees to read.")
@click.option("--steps", default=3000, show_default=True, type=click.IntRange(100), help="Of Adam, for each bone.")
def main(output: Path, data: Path | None, knees: int, steps: int) -> None:
    """Fit mean bones to segmented knees and write them as a Python module."""
    torch.manual_seed(1)
    data = data or Path(os.environ.get("JOINTREG_DATA", ROOT.parent / "shared" / "data"))
    paths = first_visits(data, knees)
    fitted = fit([measured_knee(path) for path in paths], steps)
    output.write_text(module_text(fitted, len(paths)), encoding="utf-8")
    click.echo(f"{output}: {len(paths)} knees")


if __name__ == "__main__":
    main()
