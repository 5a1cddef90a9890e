"""A DESS-like image around a given map of bones and cartilages: the soft tissue is made up to fit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk
import torch
import torch.nn.functional as F
from torch import Tensor

from ..core.errors import InputError
from ..core.geometry import Grid, transform_points
from ..core.image import Image
from .anatomy import paint, skeleton_layers
from .knee import lattice_points
from .rendering import disturb, tissue_signal
from .shapes.implicit import TubeBundle, smoothstep
from .shapes.knee_shape import KneeShape, check_seed
from .shapes.mean_bones import MEAN_WIDTH_MM
from .shapes.skeleton import FIBULA, Distances
from .tissues.contrast import TISSUE_INDEX, ContrastConfig
from .tissues.random_fields import WaveField
from .tissues.soft_tissue import Layer, SoftTissue
from .tissues.texture import TissueTexture

_CHUNK = 1 << 15
_STOPS_SHORT_MM = 8.0
#: Bone: its numbers in the map (bone lesions count as bone), its cartilage's number.
_NUMBERS = {"femur": ((1, 7), 2), "tibia": ((3, 8), 4), "patella": ((5, 9), 6)}
#: Height of the mean knee's femoral cartilage above its tibial cartilage, middle to middle, mm.
_FEMORAL_CARTILAGE_Z_MM = 13.6


@dataclass(frozen=True)
class _Pose:
    """RAS to knee frame: x -> matrix (x - origin), matrix scaled to the mean knee."""

    matrix: npt.NDArray[np.float64]
    origin_ras: npt.NDArray[np.float64]
    scale: float


def render_from_labels(
    labels: Image,
    contrast: ContrastConfig | None = None,
    seed: int = 0,
    *,
    shape: KneeShape | None = None,
    cartilage_loss_mm: Mapping[str, npt.NDArray[np.floating]] | None = None,
    device: torch.device | str = "cpu",
) -> Image:
    """Render a map of bones and cartilages as a DESS of that knee.

    Bones and cartilages come from the map; skin, fat, muscles, tendons, menisci, ligaments, fluid and
    vessels are procedural, posed by the tibial cartilage's long axis and the femur's width.

    Args:
        labels: 0 to 9 as in the segmentations of the Osteoarthritis Initiative: 1 femur, 2 its
            cartilage, 3, 4 tibia, 5, 6 patella, 7, 8, 9 lesions of the three bones. Superior must be up
            to about 30 degrees.
        contrast: tissue signals and disturbances.
        seed: of soft tissue texture, its irregularity, bias and noise.
        shape: its soft-tissue fields (fat, muscles, effusion, menisci) and its side are used; None for
            a right knee of mean habit.
        cartilage_loss_mm: by bone ("femur", "tibia", "patella"): (k, j, i) how much lower the cartilage's free
            surface lies than the map has it; fractions of a voxel count, too.
        device: where to compute.

    Returns:
        float32 image on the labels' grid.

    Raises:
        InputError: if the femur or the tibial cartilage is missing.
        ConfigError: if the seed is none.
    """
    check_seed("render_from_labels", seed)
    shape, contrast = shape or KneeShape(), contrast or ContrastConfig()
    grid = labels.grid
    pose = _pose(labels, shape.side)
    bones = {name: d.flatten().to(device) / pose.scale for name, d in _distance_maps(labels, cartilage_loss_mm).items()}
    signal, air = _sample(bones, grid, pose, shape, contrast, seed, device)
    image = disturb(signal.view(grid.shape), 1 - air.view(grid.shape), grid, contrast, seed)
    return Image(image, grid, f"rendered from {labels.name}")


def tissues_from_labels(
    labels: Image, seed: int = 0, *, shape: KneeShape | None = None, device: torch.device | str = "cpu"
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """The tissue on top at every voxel, as :func:`render_from_labels` would draw it.

    Args:
        labels, seed, shape, device: as there.

    Returns:
        Tissue numbers (k, j, i) on the labels' grid, see :data:`.contrast.TISSUES`: of the whole knee, and of
        everything but femur, tibia, patella and their cartilages, which soft tissue fills.

    Raises:
        InputError, ConfigError: see :func:`render_from_labels`.
    """
    check_seed("tissues_from_labels", seed)
    shape = shape or KneeShape()
    grid = labels.grid
    pose = _pose(labels, shape.side)
    bones = {name: d.flatten().to(device) / pose.scale for name, d in _distance_maps(labels).items()}
    whole, around = (torch.empty(grid.num_voxels, dtype=torch.uint8, device=device) for _ in range(2))
    voxel = grid.voxel_volume_mm3 ** (1 / 3) / pose.scale
    for part, frame, here, soft in _parts(bones, grid, pose, shape, seed, device):
        whole[part] = paint(soft + skeleton_layers(here, frame), voxel)[1]
        none = {name: torch.full_like(distance, 1e3) for name, distance in here.items()} | {"fibula": here["fibula"]}
        around[part] = paint(soft + skeleton_layers(none, frame), voxel)[1]
    return whole.view(grid.shape).cpu().numpy(), around.view(grid.shape).cpu().numpy()


def _sample(
    bones: Distances,
    grid: Grid,
    pose: _Pose,
    shape: KneeShape,
    contrast: ContrastConfig,
    seed: int,
    device: torch.device | str,
) -> tuple[Tensor, Tensor]:
    """Signal and fraction of air at every voxel, flat."""
    texture = TissueTexture(seed, contrast.texture, 0.8 * max(grid.spacing_mm), device)
    voxel = grid.voxel_volume_mm3 ** (1 / 3) / pose.scale
    signal = torch.empty(grid.num_voxels, device=device)
    air = torch.empty_like(signal)
    for part, frame, here, soft in _parts(bones, grid, pose, shape, seed, device):
        fractions, _ = paint(soft + skeleton_layers(here, frame), voxel)
        signal[part] = tissue_signal(fractions, frame, contrast, texture)
        air[part] = fractions[TISSUE_INDEX["air"]]
    return signal, air


def _parts(
    bones: Distances, grid: Grid, pose: _Pose, shape: KneeShape, seed: int, device: torch.device | str
) -> Iterator[tuple[slice, Tensor, Distances, list[Layer]]]:
    """Some voxels at a time: which, their points in the knee frame, distances to the bones, soft layers."""
    soft, fibula = SoftTissue(shape, device), TubeBundle([FIBULA], device)
    warp = WaveField(seed + 7, shape.irregularity_mm, (28.0, 120.0), 16, device)
    matrix = torch.as_tensor(pose.matrix.astype(np.float32), device=device)
    offset = torch.as_tensor((-pose.matrix @ pose.origin_ras).astype(np.float32), device=device)[:, None]
    for start in range(0, grid.num_voxels, _CHUNK):
        part = slice(start, min(start + _CHUNK, grid.num_voxels))
        frame = torch.addmm(offset, matrix, lattice_points(grid, part.start, part.stop, device))
        frame = frame + warp(frame)
        here = {name: distance[part] for name, distance in bones.items()}
        here["fibula"] = torch.maximum(fibula(frame)[0], 1.5 - here["tibia"])
        yield part, frame, here, soft.layers(frame, here, frame)


def _pose(labels: Image, side: str) -> _Pose:
    """Where the knee is: tibial cartilage's middle and long axis, femur's width across it."""
    femur, tibial_cartilage = _voxels(labels, (1, 7)), _voxels(labels, (4,))
    for points, name in ((femur, "femur (1)"), (tibial_cartilage, "tibial cartilage (4)")):
        if len(points) < 10:
            raise InputError(f"{labels.name}: {name} is missing from the label map; give a map of the whole knee")
    origin = tibial_cartilage.mean(0)
    _, axes = np.linalg.eigh(np.cov(tibial_cartilage[:, :2].T))
    right = axes[:, -1] * np.sign(axes[0, -1])
    lateral = np.array([right[0], right[1], 0.0]) * (1.0 if side == "right" else -1.0)
    anterior = np.array([-right[1], right[0], 0.0])
    rotation = np.stack([lateral, anterior, [0.0, 0.0, 1.0]])
    local = (femur - origin) @ rotation.T
    slab = local[np.abs(local[:, 2] - _FEMORAL_CARTILAGE_Z_MM) < 8.0]
    scale = float(np.ptp(slab[:, 0])) / MEAN_WIDTH_MM if len(slab) else 1.0
    return _Pose(rotation / scale, origin, scale)


def _voxels(labels: Image, numbers: tuple[int, ...]) -> npt.NDArray[np.float64]:
    """RAS positions (n, 3) of the voxels with these numbers."""
    ijk = np.argwhere(np.isin(labels.array, numbers))[:, ::-1]
    return transform_points(labels.grid.ijk_to_ras, ijk)


def _distance_maps(labels: Image, loss_mm: Mapping[str, npt.NDArray[np.floating]] | None = None) -> Distances:
    """Signed distance in mm to each bone, and to each bone with what is left of its cartilage, (k, j, i)."""
    result = {}
    for name, (bone_numbers, cartilage_number) in _NUMBERS.items():
        mask = _continued(np.isin(labels.array, bone_numbers), labels.grid, name)
        bone = _signed_distance(mask, labels.grid)
        both = _signed_distance(mask | (labels.array == cartilage_number), labels.grid)
        # Without cartilage the two surfaces coincide: sink the second, lest partial volume draw it.
        result[name] = bone
        result[f"{name}_cartilage"] = both + 1.2 * (1 - smoothstep(bone - both, 0.1, 0.9))
        if loss_mm and name in loss_mm:
            result[f"{name}_cartilage"] += torch.as_tensor(loss_mm[name], dtype=both.dtype)
    return result


def _continued(mask: npt.NDArray[np.bool_], grid: Grid, name: str) -> npt.NDArray[np.bool_]:
    """The shaft of femur or tibia carried on to the border, where the map stops a few slices short."""
    if name == "patella" or not mask.any():
        return mask
    i_axis = grid.ras_axes.index(2)  # the index axis that runs head to foot
    points_up = np.asarray(grid.direction_ras)[2, i_axis] > 0
    result = mask.copy()
    by_slice = np.moveaxis(result, 2 - i_axis, 0)
    if points_up == (name == "femur"):
        by_slice = by_slice[::-1]  # the border to reach comes first
    first = int(np.argmax(by_slice.any(axis=(1, 2))))
    reach = round(_STOPS_SHORT_MM / grid.spacing_mm[i_axis])
    if first < reach:
        by_slice[: first + 2] = by_slice[first + 2]
    return result


def _signed_distance(mask: npt.NDArray[np.bool_], grid: Grid) -> Tensor:
    if not mask.any():
        return torch.full(grid.shape, 1e3)
    image = sitk.GetImageFromArray(mask.astype(np.uint8))
    image.SetSpacing(grid.spacing_mm)
    distance = sitk.SignedMaurerDistanceMap(image, squaredDistance=False, useImageSpacing=True)
    # Distances count from the outermost voxels' centres: the surface lies half a voxel further out.
    values = torch.from_numpy(sitk.GetArrayFromImage(distance)).float() - 0.5 * min(grid.spacing_mm)
    return _smooth(values)


def _smooth(values: Tensor) -> Tensor:
    """Take the staircase off a distance map: binomial weights 1 2 1 along each axis."""
    smooth = values[None, None]
    for axis in range(3):
        kernel = values.new_tensor([0.25, 0.5, 0.25]).view([-1 if a == axis else 1 for a in range(3)])[None, None]
        padding = [p for a in reversed(range(3)) for p in ((1, 1) if a == axis else (0, 0))]
        smooth = F.conv3d(F.pad(smooth, padding, mode="replicate"), kernel)
    return smooth[0, 0]
