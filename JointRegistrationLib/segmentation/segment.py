"""``segment``: bones and cartilages of a knee found in its image, whatever the contrast.

It is a proposal: what it is unsure of, it says.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..core.geometry import Grid, affine_matrix, transform_points
from ..core.image import Image
from ..core.progress import CancelCheck, ProgressCallback, Reporter
from ..core.structures import LABELS, SEGMENTER_WEIGHTS, Segmentation, SideGuess
from ..networks import cache
from ..networks.predict import FIELD_OF_VIEW_MM, canonical_lattice
from ..networks.segmenter import CLASSES, MULTIPLES, Segmenter
from ..networks.weights import load_segmenter
from ..ops.devices import choose_device, memory_errors
from ..ops.separable.along_axes import alignment, interpolated, onto_lattice
from ..registration.preprocessing import check_image, normalize
from .islands import without_islands

_BONES = tuple(CLASSES.index(name) for name in ("femur", "tibia", "patella"))
_CARTILAGES = tuple(n for n, name in enumerate(CLASSES) if "cartilage" in name)
_MEDIAL, _LATERAL = (CLASSES.index(f"{which} tibial cartilage") for which in ("medial", "lateral"))
#: Along an axis this many times longer than the network's own field of view, the knee is looked for first.
_WIDE = 1.4
_MARGIN_MM = 15.0


@torch.inference_mode()
def segment(
    image: Image,
    *,
    weights: Path | None = None,
    device: str = "auto",
    progress: ProgressCallback | None = None,
    cancelled: CancelCheck | None = None,
) -> Segmentation:
    """Find femur, tibia, patella and their cartilages.

    Args:
        image: a knee on any grid whose orientation is right, of either side.
        weights: of the network; None for the package's.
        device: where to compute: auto, cpu, cuda or mps.
        progress: called with the stage, the fraction done (0 to 1) and None.
        cancelled: asked often; True ends the work.

    Raises:
        InputError: the image cannot be used; the message says why.
        RegistrationCancelled: the caller asked to stop.
        ResourceError: the device is not there, or memory ran out.
        CheckpointError: the weights are missing or damaged.

    Example:
        >>> from JointRegistrationLib.files import read_image, write_labels
        >>> found = segment(read_image("knee.nii.gz"))  # doctest: +SKIP
        >>> write_labels(found.labels, "labels.nrrd")  # doctest: +SKIP
    """
    reporter = Reporter("segmenting", 0.0, 1.0, progress, cancelled)
    reporter.update(0.0)
    check_image(image)
    where = choose_device(device)
    model = cache.kept(lambda path, on: load_segmenter(path, on)[0], weights or SEGMENTER_WEIGHTS, where)
    with memory_errors(where, "close other programs"):
        shares, lattice = _shares(model, image, where, reporter)
        reporter.update(0.7)
        side = found_side(shares)
        shares = _parted_by_side(shares, side)
        confidence = confidences(shares)
        array = labels_on_grid(shares, lattice, image.grid, reporter.part(0.7, 0.95))
        array = without_islands(array, image.grid)
    reporter.update(1.0)
    return Segmentation(Image(array, image.grid, f"segmentation of {image.name}"), confidence, side)


def _shares(model: Segmenter, image: Image, device: torch.device, reporter: Reporter) -> tuple[Tensor, Grid]:
    """Probabilities (classes, D, H, W) on a lattice over the knee."""
    values = torch.from_numpy(normalize(image.array))
    reporter.update(0.1)
    spacing = model.config.spacing_kji_mm
    lattice = knee_lattice(image.grid, spacing)
    with cache.stoppable(model, reporter):
        if np.any(np.asarray(lattice.size_ijk) * lattice.spacing_mm > _WIDE * np.asarray(FIELD_OF_VIEW_MM)):
            lattice = _about_knee(model, values, image.grid, lattice, device)
            reporter.update(0.25)
        part = onto_lattice(values, image.grid, lattice).to(device)[None, None]
        reporter.update(0.35)
        return model(part)[1][0].softmax(dim=0).cpu(), lattice


def knee_lattice(grid: Grid, spacing_kji_mm: tuple[float, ...]) -> Grid:
    """The working lattice over an image's whole field of view, along its own axes, to the right, A and S."""
    frame = canonical_lattice(grid, (2, 2, 2))
    ijk = [grid.ras_axes.index(axis) for axis in (1, 2, 0)]  # the lattice's i, j, k run along A, S, R
    extent = np.asarray(grid.size_ijk)[ijk] * np.asarray(grid.spacing_mm)[ijk]
    return _lattice(frame, grid.center_ras, extent, spacing_kji_mm)


def _lattice(
    frame: Grid,
    center_ras: npt.NDArray[np.float64],
    extent_mm: npt.NDArray[np.float64],
    spacing_kji_mm: tuple[float, ...],
) -> Grid:
    spacing = np.asarray(spacing_kji_mm[::-1])
    multiples = np.asarray(MULTIPLES[::-1])
    # Half a voxel too little at each end is better than another row of blocks.
    size = np.maximum(1, np.ceil((extent_mm / spacing - 1.5) / multiples)).astype(int) * multiples
    linear = np.asarray(frame.direction_ras) * spacing
    return Grid.from_ijk_to_ras(size.tolist(), affine_matrix(linear, center_ras - linear @ ((size - 1) / 2)))


def _about_knee(model: Segmenter, values: Tensor, grid: Grid, lattice: Grid, device: torch.device) -> Grid:
    """A smaller lattice about what the trunk finds on a wide one; the middle of it if it finds nothing."""
    half = _halved(lattice)
    found = model.coarse(onto_lattice(values, grid, half).to(device)[None, None])[0].argmax(dim=0).cpu() > 0
    own = np.asarray(FIELD_OF_VIEW_MM)
    first, last = np.asarray(half.size_ijk) / 2, np.asarray(half.size_ijk) / 2
    if bool(found.any()):
        place = found.nonzero().numpy()[:, ::-1]
        first, last = np.percentile(place, 0.5, axis=0), np.percentile(place, 99.5, axis=0)
    extent = np.maximum((last - first + 1) * half.spacing_mm + 2 * _MARGIN_MM, own)
    extent = np.minimum(extent, np.asarray(half.size_ijk) * half.spacing_mm)
    return _lattice(lattice, transform_points(half.ijk_to_ras, (first + last) / 2), extent, model.config.spacing_kji_mm)


def _halved(lattice: Grid) -> Grid:
    """The lattice of blocks of 2 x 2 x 2 voxels."""
    matrix = lattice.ijk_to_ras.copy()
    matrix[:3, 3] = transform_points(matrix, np.full(3, 0.5))
    matrix[:3, :3] *= 2
    return Grid.from_ijk_to_ras([n // 2 for n in lattice.size_ijk], matrix)


def found_side(shares: Tensor) -> SideGuess:
    """Find which knee it is: right if the lateral tibial cartilage (classes, D, H, W) lies further to the right."""
    medial, lateral = (shares[n].sum(dim=(1, 2)).double() for n in (_MEDIAL, _LATERAL))
    both = medial + lateral
    total = float(both.sum())
    if total < 10:
        return SideGuess("right", 0.0)
    middle = _middle(both)
    right = float(lateral[middle:].sum() + medial[:middle].sum()) / total
    odds = float(np.log(max(right, 1e-3) / max(1 - right, 1e-3)))
    return SideGuess("right" if odds >= 0 else "left", abs(odds))


def _middle(tibial: Tensor) -> int:
    """The slice half way between the two halves of the tibial cartilage, of which each slice's amount is given."""
    where = torch.arange(len(tibial), dtype=torch.float64)
    mean = (where * tibial).sum() / tibial.sum()
    left, right = where < mean, where >= mean
    ends = [float((where * tibial)[part].sum() / tibial[part].sum().clamp(min=1e-9)) for part in (left, right)]
    return round(sum(ends) / 2)


def _parted_by_side(shares: Tensor, side: SideGuess) -> Tensor:
    """All tibial cartilage of one half counts as medial, of the other as lateral, once the side is known."""
    if side.log_odds == 0:
        return shares
    both = shares[_MEDIAL] + shares[_LATERAL]
    middle = _middle(both.sum(dim=(1, 2)).double())
    parted = shares.clone()
    medial, lateral = (slice(None, middle), slice(middle, None))
    if side.side == "left":
        medial, lateral = lateral, medial
    parted[_MEDIAL], parted[_LATERAL] = 0.0, 0.0
    parted[_MEDIAL, medial], parted[_LATERAL, lateral] = both[medial], both[lateral]
    return parted


def confidences(shares: Tensor) -> dict[str, float]:
    """The Dice that probabilities (classes, D, H, W) lead one to expect of each structure; 0 if it is nowhere."""
    winner = shares.argmax(dim=0)
    result = {}
    for name in LABELS:
        number = CLASSES.index(name)
        mask, share = winner == number, shares[number]
        count = int(mask.sum())
        result[name] = float(2 * share[mask].sum() / (share.sum() + count)) if count else 0.0
    return result


def labels_on_grid(shares: Tensor, lattice: Grid, grid: Grid, reporter: Reporter) -> npt.NDArray[np.uint8]:
    """Label numbers (k, j, i) on ``grid``: of the largest probability, interpolated; cartilage stays a closed sheet.

    Where neither bone nor background clearly wins, the thin layer between them would get holes. So a cartilage's
    probability is raised by half of the lesser of the two: that is nothing where there is no border between them.
    """
    raised = shares.clone()
    lesser = torch.minimum(shares[list(_BONES)].sum(dim=0), shares[0])
    all_cartilage = shares[list(_CARTILAGES)].sum(dim=0)
    for n in _CARTILAGES:
        raised[n] += 0.5 * lesser * (shares[n] / (all_cartilage + 1e-6))
    return _painted(raised, lattice, grid, reporter)


def _painted(shares: Tensor, lattice: Grid, grid: Grid, reporter: Reporter) -> npt.NDArray[np.uint8]:
    """The class of the largest share at every voxel; each class is interpolated only where there is any of it."""
    where = alignment(grid, lattice)
    shares = shares.permute(0, *(1 + axis for axis in where.axes))
    best = torch.zeros(grid.shape)
    labels = torch.zeros(grid.shape, dtype=torch.uint8)
    _raise_where_found(best, labels, shares[0], where.positions, 0, 1 - shares[0])
    for n, (name, number) in enumerate(LABELS.items()):
        reporter.update(n / len(LABELS))
        share = shares[CLASSES.index(name)]
        _raise_where_found(best, labels, share, where.positions, number, share)
    return labels.numpy()


def _raise_where_found(
    best: Tensor,
    labels: Tensor,
    share: Tensor,
    positions: tuple[npt.NDArray[np.float64], ...],
    number: int,
    present: Tensor,
) -> None:
    """Write ``number`` where ``share`` exceeds ``best``, within the box where ``present`` is more than a trace."""
    voxels: list[slice] = []
    for axis, place in enumerate(positions):
        rest = tuple(a for a in range(3) if a != axis)
        found = torch.nonzero(present.amax(dim=rest) > 0.05)[:, 0]
        if len(found) == 0:
            return
        inside = (place >= float(found[0]) - 1) & (place <= float(found[-1]) + 1)
        inside &= (place >= -0.5) & (place <= present.shape[axis] - 0.5)
        chosen = np.flatnonzero(inside)
        if len(chosen) == 0:
            return
        voxels.append(slice(int(chosen[0]), int(chosen[-1]) + 1))
    part = share
    for axis, (place, voxel) in enumerate(zip(positions, voxels, strict=True)):
        part = interpolated(part, axis, place[voxel])
    box = tuple(voxels)
    higher = part > best[box]
    best[box] = torch.where(higher, part, best[box])
    labels[box] = torch.where(higher, number, labels[box])
