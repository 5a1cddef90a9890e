"""Knees as code maps, from which the segmenter's training images are drawn: every tissue at every voxel.

One safetensors file a scan: ``codes`` (D, H, W) uint8 on the label map's own lattice, and for validation ``dess``
(D/2, H/2, W/2) uint8, an image by ``phantom.render_from_labels``. Codes below 15 are ``phantom.TISSUES``; then come
what the segmenter finds: marrow, cortex and lesions of each bone, and the cartilages, tibial ones apart. A pool stays
on the machine that made it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors import safe_open
from torch import Tensor

from ...core.errors import FileError, InputError
from ...core.image import Image
from ...networks.segmenter import CLASSES
from ...phantom import TISSUES, random_contrast, random_shape, render_from_labels, tissues_from_labels
from ...registration.preprocessing import normalize
from ..data import labels as lab
from ..data.pool import hash_name, listed_scans, write_scan

Labels = npt.NDArray[np.uint8]

#: Name of every code: tissues around, then parts of what is to be found, then what lies outside the scan.
CODES = (
    *TISSUES,
    "femur marrow", "tibia marrow", "patella marrow",
    "femur cortex", "tibia cortex", "patella cortex",
    "femur lesion", "tibia lesion", "patella lesion",
    "femoral cartilage", "medial tibial cartilage", "lateral tibial cartilage", "patellar cartilage",
    "outside",
)  # fmt: skip
CODE = {name: number for number, name in enumerate(CODES)}
OUTSIDE = CODE["outside"]


def _class_of(name: str) -> int:
    bone = name.removesuffix(" marrow").removesuffix(" cortex").removesuffix(" lesion")
    return CLASSES.index(bone) if bone in CLASSES else 0


#: The segmenter's class of every code.
CLASS_OF_CODE = torch.tensor([_class_of(name) for name in CODES], dtype=torch.uint8)

#: Voxels of the label map per voxel of the soft tissue around, along k, j, i: it is not what is looked for.
_SOFT_STEPS = (2, 4, 4)
_BONES = {"femur": (1, 7), "tibia": (3, 8), "patella": (5, 9)}


@dataclass(frozen=True)
class Knee:
    """One scan: ``codes`` (D, H, W) uint8, spacing (k, j, i) in mm; ``dess`` (D/2, H/2, W/2) uint8 or None."""

    name: str
    codes: Tensor
    spacing_kji_mm: tuple[float, float, float]
    dess: Tensor | None = None


def build_codes(data: Path, split: str, output: Path, seed: int = 0) -> Iterator[str]:
    """Make the code maps of a split of ``data/manifest.csv`` in ``output``; those there already stay.

    Yields:
        The name of every scan when it is there.
    """
    for file, subject in listed_scans(data, split):
        name = file.name.removesuffix(".nii.gz")
        path = output / f"{name}.safetensors"
        if not path.exists():
            labels, spacing = lab.read_canonical_labels(file)
            tensors = _tensors(name, subject, labels, spacing, seed, with_image=split == "validation")
            write_scan(path, tensors, subject, spacing)
        yield name


def load_knees(folder: Path) -> tuple[Knee, ...]:
    """All scans of ``folder``, by name.

    Raises:
        FileError: if there is none.
    """
    paths = sorted(folder.glob("*.safetensors"))
    if not paths:
        raise FileError(f"{folder}: no code maps here; make them with `joint-registration prepare-knees`")
    knees = []
    for path in paths:
        with safe_open(path, framework="pt") as stream:
            names = set(stream.keys())
            d, h, w = (float(v) for v in stream.metadata()["spacing_kji_mm"].strip("[]").split(","))
            dess = stream.get_tensor("dess") if "dess" in names else None
            knees.append(Knee(path.stem, stream.get_tensor("codes"), (d, h, w), dess))
    return tuple(knees)


def code_map(labels: Labels, whole: Labels, around: Labels) -> Labels:
    """Codes from a label map 0 to 9 of a right knee, and tissues at half its resolution.

    Args:
        labels: (D, H, W), see ``phantom.LABEL_NAMES``; 7 to 9 are lesions of the bones.
        whole, around: the same knee with larger voxels, see :func:`~.from_labels.tissues_from_labels`.
    """
    codes = _enlarged(around, labels.shape)
    cortical = _enlarged(whole, labels.shape) == TISSUES.index("cortical bone")
    for bone, (number, lesion) in _BONES.items():
        mask = (labels == number) | (labels == lesion)
        shell = mask & (cortical | ~_eroded(mask))
        codes[mask] = CODE[f"{bone} marrow"]
        codes[labels == lesion] = CODE[f"{bone} lesion"]
        codes[shell] = CODE[f"{bone} cortex"]
    tibial = split_tibial(labels == 4)
    for name, mask in (
        ("femoral cartilage", labels == 2),
        ("medial tibial cartilage", (labels == 4) & ~tibial),
        ("lateral tibial cartilage", tibial),
        ("patellar cartilage", labels == 6),
    ):
        codes[mask] = CODE[name]
    return codes


def split_tibial(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """The lateral part of a right knee's tibial cartilage (D, H, W), D to the right: beyond the gap in its middle.

    Raises:
        InputError: if there is none.
    """
    slices = np.flatnonzero(mask.any(axis=(1, 2)))
    if len(slices) < 3:
        raise InputError("labels: there is no tibial cartilage to part into medial and lateral; give a whole knee")
    first, last = int(slices[0]), int(slices[-1])
    counts = mask.sum(axis=(1, 2)).astype(float)
    low, high = first + round(0.35 * (last - first)), first + round(0.65 * (last - first))
    smooth = np.convolve(counts, [0.25, 0.5, 0.25], mode="same")
    gap = low + int(np.argmin(smooth[low : high + 1]))
    lateral = mask.copy()
    lateral[: gap + 1] = False
    return lateral


def _tensors(
    name: str, subject: str, labels: Labels, spacing: tuple[float, float, float], seed: int, *, with_image: bool
) -> dict[str, Tensor]:
    """Codes of a scan whose soft tissue belongs to the subject."""
    habit = replace(random_shape(np.random.default_rng([seed, hash_name(subject)])), side="right", lesions=())
    whole, around = tissues_from_labels(
        _thinned(labels, spacing, _SOFT_STEPS, name), hash_name(name) + seed, shape=habit
    )
    tensors = {"codes": torch.from_numpy(code_map(labels, whole, around))}
    if with_image:
        number = hash_name(name)
        contrast = random_contrast(np.random.default_rng([seed, number]))
        image = _thinned(labels, spacing, (2, 2, 2), name)
        dess = normalize(render_from_labels(image, contrast, number, shape=habit).array)
        tensors["dess"] = torch.from_numpy((dess * 255).round().astype(np.uint8))
    return tensors


def _thinned(labels: Labels, spacing: tuple[float, float, float], steps: tuple[int, int, int], name: str) -> Image:
    """Every so many voxels along k, j, i."""
    array = np.ascontiguousarray(labels[:: steps[0], :: steps[1], :: steps[2]])
    return Image(array, lab.canonical_grid(array.shape, [s * n for s, n in zip(spacing, steps, strict=True)]), name)


def _enlarged(values: Labels, shape: tuple[int, ...]) -> Labels:
    for axis, (old, new) in enumerate(zip(values.shape, shape, strict=True)):
        values = values.repeat(new // old, axis=axis)
    return values


def _eroded(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Without the outermost 0.7 mm: one voxel along k, two along j and i. The scan's border is no surface."""
    inner = mask.copy()
    for axis, radius in enumerate((1, 2, 2)):
        here, along = np.moveaxis(inner, axis, 0), np.moveaxis(inner.copy(), axis, 0)
        for step in range(1, radius + 1):
            here[step:] &= along[:-step]
            here[:-step] &= along[step:]
    return inner
