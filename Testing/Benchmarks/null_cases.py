"""Pairs in which nothing changed: a real image against itself; ``null_pairs.py`` registers them.

With other noise, a bias field, or another order of tissues, each as it lies and moved. Everything is seeded, and what
is true is known at every voxel. ``null_knees.py`` makes pairs of label maps.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "Testing" / "Benchmarks")]

from real_knees import JOINT_RADIUS_MM  # noqa: E402

from JointRegistrationLib.core.geometry import Grid, affine_matrix, ras_to_lps_matrix, transform_points  # noqa: E402
from JointRegistrationLib.core.image import Image  # noqa: E402
from JointRegistrationLib.core.lattices.sampling import warp_label_image  # noqa: E402
from JointRegistrationLib.files import read_image, read_labels, write_labels  # noqa: E402
from JointRegistrationLib.files.images import to_itk  # noqa: E402
from JointRegistrationLib.ops.maps import identity  # noqa: E402
from JointRegistrationLib.segmentation.segment import segment  # noqa: E402

Array = npt.NDArray[np.float32]
BONE, CARTILAGE = 1, 2
BONES, CARTILAGES = (1, 3, 5), (2, 4, 6, 10)
REAL = ("dess", "cubequant", "lowfield_t2w")
#: The least voxel spacing of real images; finer ones are averaged over blocks of voxels.
SPACING_MM = {"full": 0.625, "half": 1.25}


@dataclass(frozen=True)
class Planted:
    """Cartilage of the fixed image that is thinner in the moving one: points of its free surface and of the bone.

    Args:
        surface_ras, bone_ras: (n, 3) a point of the free surface, and that of the bone below it, RAS mm.
        loss_mm: (n,) how much thinner the cartilage is there in the moving image.
    """

    surface_ras: npt.NDArray[np.float64]
    bone_ras: npt.NDArray[np.float64]
    loss_mm: npt.NDArray[np.float64]


@dataclass(frozen=True)
class NullPair:
    """Two images and what is true of them.

    Args:
        fixed, moving: the images; of one grid.
        truth_ras: 4x4, fixed points to moving points.
        tissue: (k, j, i) of the fixed image: tissue within 45 mm of the joint.
        fixed_parts, moving_parts: label maps, 1 in bone, 2 in cartilage.
        planted: known loss of cartilage, if any.
    """

    fixed: Image
    moving: Image
    truth_ras: npt.NDArray[np.float64]
    tissue: npt.NDArray[np.bool_]
    fixed_parts: Image
    moving_parts: Image
    planted: Planted | None = None


@dataclass(frozen=True)
class Named:
    """A pair that is made when it is needed."""

    kind: str
    name: str
    make: Callable[[], NullPair]


# -- what disturbs a real image -------------------------------------------------------------------------------


def noise_level(image: Image, body: npt.NDArray[np.bool_]) -> float:
    """Standard deviation of the noise: of the Laplacian within slices, in tissue, by its median absolute value.

    Edges and texture count as noise, so this is an upper estimate. The background is not used: it is 0 in some images.
    """
    a = image.array
    laplacian = a[:, 1:-1, 1:-1] - 0.25 * (a[:, :-2, 1:-1] + a[:, 2:, 1:-1] + a[:, 1:-1, :-2] + a[:, 1:-1, 2:])
    return float(1.4826 * np.median(np.abs(laplacian[body[:, 1:-1, 1:-1]])) / np.sqrt(1.25))


def rician(array: Array, sigma: float, seed: int) -> Array:
    """The magnitude after noise in both channels."""
    noise = np.random.default_rng(seed).normal(0, sigma, (2, *array.shape))
    return np.hypot(array + noise[0], noise[1]).astype(np.float32)


def bias(array: Array, grid: Grid) -> Array:
    """Times a smooth field that runs from 0.7 to 1.3."""
    waves = np.random.default_rng(11).normal(size=(4, 3))
    points = identity(grid)[0].movedim(0, -1).numpy() - grid.center_ras
    phase = points @ (waves / np.linalg.norm(waves, axis=1, keepdims=True)).T / 35.0 + np.arange(4)
    field = np.sin(phase).sum(-1)
    return (array * np.interp(field, (field.min(), field.max()), (0.7, 1.3))).astype(np.float32)


#: Curves on the intensity over its 99th percentile, as points to interpolate between; inside the body only. On a DESS
#: marrow and fat lie below 0.15, muscle and cartilage at 0.3 to 0.5, fluid near 1. No slope is steeper than 2, lest the
#: image's own noise be raised.
CURVES: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "t2": ((0.0, 0.15, 0.4, 0.7, 1.0), (0.4, 0.5, 0.15, 0.5, 1.0)),
    "fat": ((0.0, 0.15, 0.4, 1.0), (0.7, 0.9, 0.4, 0.6)),
    "fluid": ((0.0, 0.4, 0.6, 1.0), (0.0, 0.6, 0.7, 0.1)),
}


def recoloured(array: Array, body: npt.NDArray[np.bool_], curve: str) -> Array:
    """Another echo's contrast: the tissues' intensities through one of :data:`CURVES`."""
    high = np.percentile(array, 99)
    return np.where(body, high * np.interp(array / high, *CURVES[curve]), 0.3 * array).astype(np.float32)


def issue_contrast(array: Array) -> Array:
    """The issue's own: u -> 0.25 u + 1.1 max(u - 0.35, 0)."""
    high = np.percentile(array, 99)
    return (high * (0.25 * array / high + 1.1 * np.maximum(array / high - 0.35, 0))).astype(np.float32)


# -- the pairs ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Source:
    """A real image, its body and its parts, at the size that is registered."""

    image: Image
    body: npt.NDArray[np.bool_]
    parts: Image
    sigma: float


def rigid_motion(grid: Grid) -> npt.NDArray[np.float64]:
    """3 degrees about an oblique axis through the centre, and 2 mm: 4x4, fixed to moving points, RAS."""
    axis = np.array([1.0, 2.0, 2.0]) / 3
    cross = np.cross(np.eye(3), axis)
    angle = np.deg2rad(3.0)
    rotation = np.eye(3) - np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    return affine_matrix(rotation, grid.center_ras - rotation @ grid.center_ras + 2 * np.array([2.0, -1.0, 2.0]) / 3)


def moved_source(source: Source, motion_ras: npt.NDArray[np.float64]) -> Source:
    """The image after the motion, on its own grid, by cubic B-splines; body and parts with it."""
    image, grid = source.image, source.image.grid
    back = ras_to_lps_matrix(np.linalg.inv(motion_ras))
    transform = sitk.AffineTransform(back[:3, :3].ravel().tolist(), back[:3, 3].tolist())
    itk = to_itk(image.array.astype(np.float32), grid)
    array = np.maximum(sitk.GetArrayFromImage(sitk.Resample(itk, itk, transform, sitk.sitkBSpline, 0.0)), 0)
    points = identity(grid)[0].movedim(0, -1).numpy()
    field = (transform_points(np.linalg.inv(motion_ras), points) - points).astype(np.float32)
    body = warp_label_image(Image(source.body.astype(np.uint8), grid), grid, field).array != 0
    parts = warp_label_image(source.parts, grid, field)
    return replace(source, image=Image(array, grid, image.name), body=body, parts=parts)


def body_of(image: Image) -> npt.NDArray[np.bool_]:
    """The limb, its dark tissues included."""
    bright = to_itk((image.array > 0.08 * np.percentile(image.array, 99)).astype(np.uint8), image.grid)
    radius = [max(1, round(4.0 / s)) for s in image.grid.spacing_mm]
    closed = sitk.BinaryMorphologicalClosing(sitk.BinaryMedian(bright), radius)
    largest = sitk.RelabelComponent(sitk.ConnectedComponent(closed), sortByObjectSize=True) == 1
    found = sitk.GetArrayFromImage(largest) != 0
    # Marrow is as dark as air on some images: what lies between tissue both from front to back and across is inside.
    axes = [2 - image.grid.ras_axes.index(axis) for axis in (0, 1)]
    return np.asarray(found | np.logical_and.reduce([between(found, axis) for axis in axes]))


def between(mask: npt.NDArray[np.bool_], axis: int) -> npt.NDArray[np.bool_]:
    """Voxels with a voxel of the mask on either side along an axis."""
    before = np.logical_or.accumulate(mask, axis)
    return np.asarray(before & np.flip(np.logical_or.accumulate(np.flip(mask, axis), axis), axis))


def near_joint(mask: npt.NDArray[np.bool_], grid: Grid) -> npt.NDArray[np.bool_]:
    """Its part within 45 mm of the middle of the field of view, as in real_knees.py."""
    distance = (identity(grid)[0].movedim(0, -1).numpy() - grid.center_ras).astype(np.float32)
    return np.asarray(mask & (np.linalg.norm(distance, axis=-1) < JOINT_RADIUS_MM))


def parts_of(labels: npt.NDArray[np.integer], grid: Grid) -> Image:
    """1 in bone, 2 in cartilage, each without its outermost voxels."""
    parts = np.zeros(labels.shape, np.uint8)
    for value, numbers in ((BONE, BONES), (CARTILAGE, CARTILAGES)):
        mask = to_itk(np.isin(labels, numbers).astype(np.uint8), grid)
        parts[sitk.GetArrayFromImage(sitk.BinaryErode(mask, [1, 1, 1], sitk.sitkCross)) != 0] = value
    return Image(parts, grid, "parts")


def real_source(data: Path, name: str, spacing_mm: float, folder: Path) -> Source:
    """The image at this spacing; its parts by the specialist, else by the project's own segmenter, kept in the folder.

    What is noise, body, bone or cartilage is asked of the image before anything is done to it.
    """
    knees = data / "real-knee"
    native = read_image(knees / f"{name}.nii.gz")
    path = folder / f"{name}-parts.nrrd"
    if not path.exists():
        found = read_labels(knees / "lowfield_bones.nii.gz") if name == "lowfield_t2w" else segment(native).labels
        write_labels(parts_of(found.array, found.grid), path)
    factors = [max(1, round(spacing_mm / s)) for s in native.grid.spacing_mm]
    image = averaged(native, factors)
    shares = [averaged(Image(read_labels(path).array == v, native.grid), factors).array for v in (BONE, CARTILAGE)]
    parts = np.select([share > 0.5 for share in shares], [BONE, CARTILAGE], 0).astype(np.uint8)
    body = body_of(image)
    return Source(image, body, Image(parts, image.grid, "parts"), noise_level(image, body))


def averaged(image: Image, factors: list[int]) -> Image:
    """Means over blocks of voxels, ``factors`` along i, j, k; what is left at the ends is cut off."""
    size = [n // f for n, f in zip(image.grid.size_ijk, factors, strict=True)]
    (i, j, k), (fi, fj, fk) = size, factors
    array = (
        image.array[: k * fk, : j * fj, : i * fi].reshape(k, fk, j, fj, i, fi).mean(axis=(1, 3, 5), dtype=np.float32)
    )
    matrix = image.grid.ijk_to_ras @ affine_matrix(np.diag(factors), (np.asarray(factors) - 1) / 2)
    return Image(array, Grid.from_ijk_to_ras(size, matrix), image.name)


def real_pair(source: Source, change: str, *, is_moved: bool) -> NullPair:
    """One case of a real image; contrast is changed at half the signal-to-noise, which both images have."""
    grid = source.image.grid
    truth = rigid_motion(grid) if is_moved else np.eye(4)
    other = moved_source(source, truth) if is_moved else source
    first, second = (image.array.astype(np.float32) for image in (source.image, other.image))
    kind, _, curve = change.partition("-")
    times = 4 if change == "noise-quarter" else 2
    sigma = source.sigma * np.sqrt(times**2 - 1)
    if change == "issue":
        sigma, second = 0.04 * float(np.percentile(first, 99)), issue_contrast(second)
    elif kind == "bias":
        sigma, second = 0.0, bias(second, grid)
    elif kind == "contrast":
        second = recoloured(second, other.body, curve)
    if sigma:
        first, second = rician(first, sigma, 5), rician(second, sigma, 6)
    tissue = near_joint(source.body, grid)
    fixed, moving = Image(first, grid, "fixed"), Image(second, grid, "moving")
    return NullPair(fixed, moving, truth, tissue, source.parts, other.parts)


CHANGES = ("noise-half", "noise-quarter", "bias", *(f"contrast-{name}" for name in CURVES))


def real_pairs(data: Path, size: str, folder: Path) -> Iterator[Named]:
    """All pairs of real images. The issue's own case is always at 0.625 mm, as the issue has it."""
    made: dict[tuple[str, float], Source] = {}

    def pair(name: str, change: str, spacing_mm: float, is_moved: bool) -> NullPair:
        if (name, spacing_mm) not in made:
            made.clear()  # one image at a time
            made[name, spacing_mm] = real_source(data, name, spacing_mm, folder)
        return real_pair(made[name, spacing_mm], change, is_moved=is_moved)

    for name in REAL:
        for change in (("issue",) if name == "dess" else ()) + CHANGES:
            spacing = SPACING_MM["full" if change == "issue" else size]
            for is_moved in (False, True):
                full_name = f"{name}/{change}{'-moved' if is_moved else ''}"
                yield Named("real", full_name, lambda a=(name, change, spacing, is_moved): pair(*a))
