"""Pairs of label maps rendered twice, as they are or the second time with thinner cartilage; see ``null_cases.py``.

Contrast, noise, bias and soft-tissue texture differ between the two; the shape of soft tissue does not.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk
from evaluation_pairs import FACTORS, SEED, coarser
from null_cases import BONE, BONES, CARTILAGE, CARTILAGES, Array, Named, NullPair, Planted, body_of, near_joint

from JointRegistrationLib.core.geometry import Grid, transform_points
from JointRegistrationLib.core.image import Image
from JointRegistrationLib.core.lattices.sampling import values_at
from JointRegistrationLib.files import read_labels
from JointRegistrationLib.files.images import to_itk
from JointRegistrationLib.ops.maps import identity
from JointRegistrationLib.phantom import ContrastConfig, random_contrast, random_shape, render_from_labels
from JointRegistrationLib.training.data.labels import signed_distance_mm
from JointRegistrationLib.training.data.pool import hash_name

THINNED_MM = (0.1, 0.3, 0.5)
#: Cartilage is thinned by the full amount up to the first radius, by nothing from the second on.
REGION_MM = (8.0, 12.0)
#: A T2-weighted turbo spin echo without fat suppression: fat and marrow bright, cartilage dark.
OTHER_SIGNAL = {"fat": 1.5, "deep fat": 1.4, "hoffa": 1.3, "marrow": 1.2, "cartilage": 0.7, "fluid": 2.2}


def rendered_pair(path: Path, subject: str, size: str, *, other: bool = False, thinned_mm: float = 0.0) -> NullPair:
    """One label map rendered twice: other contrast, noise, bias and texture; soft tissue has the same shape."""
    native = read_labels(path)
    labels, scan = coarser(native, FACTORS[size]), path.name.removesuffix(".nii.gz")
    habit = replace(
        random_shape(np.random.default_rng([SEED, hash_name(subject)])), side="right", lesions=(), irregularity_mm=0.0
    )
    contrasts: list[ContrastConfig] = [
        random_contrast(np.random.default_rng([SEED, hash_name(scan), n])) for n in (1, 2)
    ]
    if other:
        contrasts[1] = replace(contrasts[1], signal={**contrasts[1].signal, **OTHER_SIGNAL})
    points = identity(labels.grid)[0].movedim(0, -1).numpy()
    loss = {bone: thinned_mm * share for bone, share in weights(labels, points).items()} if thinned_mm else {}
    fixed, moving = (
        render_from_labels(labels, contrast, SEED + hash_name(scan) + n, shape=habit, cartilage_loss_mm=lost)
        for n, (contrast, lost) in enumerate(zip(contrasts, ({}, loss), strict=True))
    )
    tissue = near_joint(body_of(fixed), labels.grid)
    found = np.select([np.isin(labels.array, BONES), np.isin(labels.array, CARTILAGES)], [BONE, CARTILAGE], 0)
    parts = Image(found.astype(np.uint8), labels.grid, "parts")
    planted = planted_loss(native, labels, thinned_mm) if thinned_mm else None
    return NullPair(fixed, moving, np.eye(4), tissue, parts, parts, planted)


def weights(labels: Image, points_ras: npt.NDArray[np.floating]) -> dict[str, Array]:
    """Where cartilage becomes thinner, 0 to 1 at points (..., 3): the medial tibial plate, and the lateral condyle.

    The knees are right ones: lateral is to the right.
    """
    plate = transform_points(labels.grid.ijk_to_ras, np.argwhere(labels.array == 4)[:, ::-1])
    right = plate[:, 0] > np.median(plate[:, 0])
    near, far = REGION_MM
    found = {}
    for bone, center in (("tibia", plate[~right].mean(0)), ("femur", plate[right].mean(0))):
        # A column across the joint: the femur's cartilage is bent, and lies some millimetres above the plate's.
        away = points_ras - center
        share = np.clip((far - np.linalg.norm(away[..., :2], axis=-1)) / (far - near), 0, 1)
        found[bone] = ((np.abs(away[..., 2]) < 15) * share * share * (3 - 2 * share)).astype(np.float32)
    return found


def planted_loss(native: Image, labels: Image, thinned_mm: float) -> Planted:
    """Points of the free surface where cartilage is at least 1 mm thick, at the native label map's resolution."""
    fine = around(native, np.isin(native.array, (2, 4)))
    grid, rng = fine.grid, np.random.default_rng(SEED)
    surface, below, loss = [], [], []
    for bone, (numbers, cartilage) in {"femur": ((1, 7), 2), "tibia": ((3, 8), 4)}.items():
        solid = np.isin(fine.array, numbers)
        to_bone, to_both = (distance_and_slope(m, grid) for m in (solid, solid | (fine.array == cartilage)))
        chosen = np.argwhere((np.abs(to_both[..., 0]) < 0.25) & (to_bone[..., 0] > 1.0))
        chosen = chosen[rng.permutation(len(chosen))[:20000]]
        top = onto_surface(transform_points(grid.ijk_to_ras, chosen[:, ::-1]), to_both, grid)
        surface.append(top)
        below.append(onto_surface(top, to_bone, grid))
        loss.append(thinned_mm * weights(labels, top)[bone].astype(float))
    return Planted(np.concatenate(surface), np.concatenate(below), np.concatenate(loss))


def around(image: Image, mask: npt.NDArray[np.bool_]) -> Image:
    """The part of an image within 12 voxels of a mask."""
    voxels = np.argwhere(mask)
    first, end = np.maximum(voxels.min(0) - 12, 0), np.minimum(voxels.max(0) + 13, mask.shape)
    box = tuple(slice(*ends) for ends in zip(first, end, strict=True))
    return Image(image.array[box], image.grid.cropped(first[::-1], (end - first)[::-1]), image.name)


def distance_and_slope(mask: npt.NDArray[np.bool_], grid: Grid) -> Array:
    """Signed distance to a mask's surface, smoothed, and its gradient along R, A, S: (k, j, i, 4)."""
    distance = to_itk(signed_distance_mm(mask, grid.spacing_mm[::-1]), grid)
    smooth = sitk.GetArrayFromImage(sitk.SmoothingRecursiveGaussian(distance, 0.4))
    along_ijk = np.stack(np.gradient(smooth, *grid.spacing_mm[::-1])[::-1], axis=-1)
    slope = along_ijk @ np.asarray(grid.direction_ras, dtype=np.float32).T
    return np.concatenate([smooth[..., None], slope], axis=-1)


def onto_surface(points_ras: npt.NDArray[np.float64], field: Array, grid: Grid) -> npt.NDArray[np.float64]:
    """Points (n, 3) moved along the gradient to where the distance is 0, in two steps of Newton's."""
    for _ in range(2):
        here = values_at(field, grid, points_ras)
        slope = here[:, 1:]
        points_ras = points_ras - here[:, :1] * slope / np.maximum((slope**2).sum(-1, keepdims=True), 0.1)
    return points_ras


def rendered_pairs(data: Path, size: str, count: int) -> Iterator[Named]:
    """All pairs of label maps: of the first scans of ``count`` subjects of the validation label maps."""
    knees = data / "knee-labels"
    with (knees / "manifest.csv").open(newline="", encoding="utf-8") as stream:
        rows = sorted((r for r in csv.DictReader(stream) if r["split"] == "validation"), key=lambda r: r["file"])
    first: dict[str, Path] = {}
    for row in rows:
        first.setdefault(row["subject"], knees / row["file"])
    for subject, path in list(first.items())[:count]:
        for name, options in (("contrast", {}), ("order", {"other": True})):
            yield Named(
                "rendered", f"{subject}/{name}", lambda a=(path, subject), o=options: rendered_pair(*a, size, **o)
            )
        for loss in THINNED_MM:
            yield Named(
                "thinned",
                f"{subject}/{loss} mm",
                lambda a=(path, subject), v=loss: rendered_pair(*a, size, thinned_mm=v),
            )
