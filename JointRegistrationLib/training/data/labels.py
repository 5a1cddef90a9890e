"""What a label map of a knee says to training: structures, distances to them, the canonical lattice.

The canonical knee is a right one, its array axes (k, j, i) running to the patient's right, superior
and anterior: tensors are (D, H, W) = (right, superior, anterior), as published (spec, section 1).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from ...core.errors import InputError
from ...core.geometry import Grid
from ...files.images import read_labels, to_itk

#: Structure and the label values it unites (bone lesions count as bone).
STRUCTURES: dict[str, tuple[int, ...]] = {
    "femur": (1, 7),
    "femoral cartilage": (2,),
    "tibia": (3, 8),
    "tibial cartilage": (4,),
    "patella": (5, 9),
    "patellar cartilage": (6,),
}

#: Distances are kept up to this far from a structure's surface.
DISTANCE_LIMIT_MM = 12.7
#: ... as multiples of this, so that they fit a signed byte.
DISTANCE_STEP_MM = 0.1

# Columns: the RAS direction of i, j, k (anterior, superior, right).
_CANONICAL_DIRECTION = ((0.0, 0.0, 1.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0))

FloatArray = npt.NDArray[np.float32]


def canonical_grid(shape: Sequence[int], spacing_kji_mm: Sequence[float]) -> Grid:
    """Lattice of ``shape`` (D, H, W) with the canonical axes, centred on the origin."""
    size = shape[2], shape[1], shape[0]
    spacing = spacing_kji_mm[2], spacing_kji_mm[1], spacing_kji_mm[0]
    half = (np.asarray(size) - 1) * np.asarray(spacing) / 2
    origin = -np.asarray(_CANONICAL_DIRECTION) @ half
    return Grid(size, spacing, (origin[0], origin[1], origin[2]), _CANONICAL_DIRECTION)


def read_canonical_labels(path: Path) -> tuple[npt.NDArray[np.uint8], tuple[float, float, float]]:
    """A right knee's label map along its own axes nearest to the canonical ones.

    Returns:
        Labels (D, H, W) and their spacing (k, j, i) in mm. The header's small rotation is dropped, since
        training sees every knee in the frame of its own scanner slices.
    """
    labels = read_labels(path)
    image = sitk.DICOMOrient(to_itk(labels.array, labels.grid), "RAS")  # ITK's name of the side it starts from
    array = sitk.GetArrayFromImage(image).astype(np.uint8)  # (S or I, A or P, R or L), see below
    spacing = image.GetSpacing()
    direction = np.asarray(image.GetDirection()).reshape(3, 3)
    for axis, sign in enumerate((-1, -1, 1)):  # LPS components of R, A, S
        if direction[axis, axis] * sign < 0:
            array = np.flip(array, axis=2 - axis)
    return np.ascontiguousarray(array.transpose(2, 0, 1)), (spacing[0], spacing[2], spacing[1])


def structure_fractions(labels: npt.NDArray[np.uint8], factors: tuple[int, int, int]) -> FloatArray:
    """Volume fraction of every structure in blocks of ``factors`` voxels: (6, D/f, H/f, W/f)."""
    if any(n % f for n, f in zip(labels.shape, factors, strict=True)):
        raise InputError(f"labels: the shape {labels.shape} is not a multiple of {factors}; crop or pad it first")
    d, h, w = (n // f for n, f in zip(labels.shape, factors, strict=True))
    blocks = labels.reshape(d, factors[0], h, factors[1], w, factors[2])
    return np.stack([np.isin(blocks, values).mean(axis=(1, 3, 5), dtype=np.float32) for values in STRUCTURES.values()])


def majority_labels(fractions: FloatArray) -> npt.NDArray[np.uint8]:
    """Label map 0..6 (0: none, else 1 + position in ``STRUCTURES``) from volume fractions."""
    everything = np.concatenate([1 - fractions.sum(axis=0, keepdims=True), fractions])
    labels: npt.NDArray[np.uint8] = everything.argmax(axis=0).astype(np.uint8)
    return labels


def signed_distance_mm(mask: npt.NDArray[np.bool_], spacing_kji_mm: tuple[float, float, float]) -> FloatArray:
    """Distance to the surface of ``mask`` in mm, negative inside; large where the mask is empty.

    The surface runs half way between voxels inside and outside.
    """
    if not mask.any():
        return np.full(mask.shape, 1e3, dtype=np.float32)
    half = float(np.mean(spacing_kji_mm)) / 2
    outside = _distance_to(mask, spacing_kji_mm) - half
    inside = _distance_to(~mask, spacing_kji_mm) - half
    return np.where(mask, -inside, outside).astype(np.float32)


def _distance_to(mask: npt.NDArray[np.bool_], spacing_kji_mm: tuple[float, float, float]) -> FloatArray:
    """Distance of every voxel to the nearest voxel centre of ``mask``."""
    image = sitk.GetImageFromArray(mask.astype(np.uint8))
    image.SetSpacing(spacing_kji_mm[::-1])
    # Filled voxels are the "inside" of a map whose zero level is their border: clamp it away.
    field = sitk.SignedMaurerDistanceMap(image, insideIsPositive=False, squaredDistance=False, useImageSpacing=True)
    distances: FloatArray = sitk.GetArrayFromImage(field).clip(min=0).astype(np.float32)
    return distances


def structure_distances_mm(fractions: FloatArray, spacing_kji_mm: tuple[float, float, float]) -> FloatArray:
    """Signed distance to every structure, sharpened by the partial volume of surface voxels: (6, D, H, W)."""
    voxel = float(np.mean(spacing_kji_mm))
    distances = []
    for fraction in fractions:
        field = signed_distance_mm(fraction >= 0.5, spacing_kji_mm)
        surface = (fraction > 0.02) & (fraction < 0.98)
        field[surface] = (0.5 - fraction[surface]) * voxel
        distances.append(field)
    return np.stack(distances)


def quantized(distances_mm: FloatArray) -> npt.NDArray[np.int8]:
    """Distances as signed bytes of 0.1 mm, clamped to +-12.7 mm."""
    steps = np.round(np.clip(distances_mm, -DISTANCE_LIMIT_MM, DISTANCE_LIMIT_MM) / DISTANCE_STEP_MM)
    return steps.astype(np.int8)
