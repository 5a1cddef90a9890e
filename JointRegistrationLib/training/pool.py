"""Pools: knees rendered once, kept as bytes, from which training draws.

One safetensors file a scan: ``images`` (R, D, H, W) uint8, ``distances`` (6, D, H, W) int8 of 0.1 mm,
``labels`` (D, H, W) uint8 0..6; lattice and subject in its metadata. A pool stays on the machine that
made it: it is derived from data that may not be passed on.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..errors import FileError
from ..geometry import Grid
from . import labels as lab
from .render import build_anatomy, render


@dataclass(frozen=True)
class Scan:
    """One knee of a pool. ``affine_ras`` sends points of the common template into this knee."""

    name: str
    subject: str
    images: Tensor
    distances: Tensor
    labels: Tensor
    affine_ras: npt.NDArray[np.float64]


@dataclass(frozen=True)
class Pool:
    """Scans on one lattice."""

    scans: tuple[Scan, ...]
    grid: Grid

    def longitudinal_pairs(self) -> list[tuple[int, int]]:
        """Ordered pairs of two scans of one subject."""
        return [
            (a, b) for a, x in enumerate(self.scans) for b, y in enumerate(self.scans)
            if a != b and x.subject == y.subject
        ]

    def cross_subject_pairs(self) -> list[tuple[int, int]]:
        """Ordered pairs of scans of two subjects."""
        return [(a, b) for a, x in enumerate(self.scans) for b, y in enumerate(self.scans) if x.subject != y.subject]


def build_pool(
    data: Path, split: str, output: Path, *, factors: tuple[int, int, int] = (2, 4, 4), renders: int = 8,
    seed: int = 0,
) -> Iterator[str]:
    """Render the scans of ``data/manifest.csv``'s ``split`` into ``output``; those there already stay.

    Args:
        data: folder with ``manifest.csv`` and the label maps.
        split: ``"train"`` or ``"validation"``.
        output: folder of the pool.
        factors: voxels of the label map per voxel of the pool, along k, j, i.
        renders: images a scan.
        seed: changes all images.

    Yields:
        The name of every scan when it is there.
    """
    output.mkdir(parents=True, exist_ok=True)
    with (data / "manifest.csv").open(newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["split"] == split]
    if not rows:
        raise FileError(f"{data / 'manifest.csv'}: no scan of split {split!r}; check the column 'split'")
    for row in rows:
        name = Path(row["file"]).name.removesuffix(".nii.gz")
        path = output / f"{name}.safetensors"
        if not path.exists():
            _render_scan(data / row["file"], row["subject"], path, factors, renders, seed)
        yield name


def _render_scan(
    source: Path, subject: str, path: Path, factors: tuple[int, int, int], renders: int, seed: int
) -> None:
    array, native = lab.read_canonical_labels(source)
    fractions = lab.structure_fractions(array, factors)
    spacing = native[0] * factors[0], native[1] * factors[1], native[2] * factors[2]
    distances = lab.structure_distances_mm(fractions, spacing)
    anatomy = build_anatomy(torch.from_numpy(distances), torch.from_numpy(fractions), spacing, int(subject) + seed)
    images = torch.stack([render(anatomy, 1000 * seed + hash_name(path.stem) + n) for n in range(renders)])
    tensors = {
        "images": (images * 255).round().to(torch.uint8),
        "distances": torch.from_numpy(lab.quantized(distances)),
        "labels": torch.from_numpy(lab.majority_labels(fractions)),
    }
    temporary = path.with_suffix(".part")
    save_file(tensors, temporary, {"subject": subject, "spacing_kji_mm": json.dumps(spacing)})
    temporary.replace(path)


def hash_name(name: str) -> int:
    """A number that depends on the name only (Python's own hash differs from run to run)."""
    return sum((n + 1) * ord(c) for n, c in enumerate(name)) * 7919 % 1_000_003


def load_pool(folder: Path, shrink: int = 1) -> Pool:
    """All scans of ``folder``, images and distances averaged over blocks of ``shrink`` voxels.

    Raises:
        FileError: if there is none, or their lattices differ.
    """
    paths = sorted(folder.glob("*.safetensors"))
    if not paths:
        raise FileError(f"{folder}: no pool here; make it with `joint-registration prepare-pool`")
    affines = folder / "affines.json"
    matrices = json.loads(affines.read_text()) if affines.exists() else {}
    scans, grids = [], []
    for path in paths:
        with safe_open(path, framework="pt") as stream:
            metadata = stream.metadata()
            tensors = {key: stream.get_tensor(key) for key in ("images", "distances", "labels")}
        spacing = json.loads(metadata["spacing_kji_mm"])
        images, distances = (_shrunk(tensors[key], shrink) for key in ("images", "distances"))
        labels = tensors["labels"][shrink // 2 :: shrink, shrink // 2 :: shrink, shrink // 2 :: shrink]
        affine = np.asarray(matrices.get(path.stem, np.eye(4)), dtype=np.float64)
        scans.append(Scan(path.stem, metadata["subject"], images, distances, labels, affine))
        grids.append(lab.canonical_grid(images.shape[1:], [s * shrink for s in spacing]))
    if any(not grid.is_close(grids[0], 0.5) for grid in grids):
        raise FileError(f"{folder}: the scans lie on different lattices; make the pool anew")
    return Pool(tuple(scans), grids[0])


def _shrunk(values: Tensor, factor: int) -> Tensor:
    if factor == 1:
        return values
    pooled = torch.nn.functional.avg_pool3d(values[None].float(), factor)[0]
    return pooled.round().to(values.dtype)
