"""Pools: knees rendered once, kept as bytes, from which training draws.

One safetensors file a scan: ``images`` (R, D, H, W) uint8, ``distances`` (6, D, H, W) int8 of 0.1 mm,
``labels`` (D, H, W) uint8 0..6; lattice and subject in its metadata. A scan without a label map has
``distances`` without a channel and ``labels`` of zeros. A pool stays on the machine that made it: it is
derived from data that may not be passed on.
"""

from __future__ import annotations

import csv
import functools
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from ...core.errors import FileError
from ...core.geometry import Grid
from ...core.image import Image
from ...core.system.reading import malformed
from ...files.csv_cells import text_of
from ...files.output import atomic_file
from ...phantom import make_knee, random_contrast, random_shape, render_from_labels
from ...registration.preprocessing import normalize
from . import labels as lab
from .render import build_anatomy, render


@dataclass(frozen=True)
class Scan:
    """One knee of a pool. ``affine_ras`` sends points of the common template into this knee.

    Scans of one ``subject`` show the same knee at different visits.
    """

    name: str
    subject: str
    images: Tensor
    distances: Tensor
    labels: Tensor
    affine_ras: npt.NDArray[np.float64]

    @property
    def labelled(self) -> bool:
        """Return whether a label map is known."""
        return len(self.distances) > 0


@dataclass(frozen=True)
class Pool:
    """Scans on one lattice; ``pairs``, positions of fixed and moving scan, are the only ones to draw if given."""

    scans: tuple[Scan, ...]
    grid: Grid
    pairs: tuple[tuple[int, int], ...] | None = None

    @property
    def device(self) -> torch.device:
        """Return the device where images and distances are, and batches will be."""
        return self.scans[0].images.device

    def to(self, device: torch.device | str) -> Pool:
        """The pool in another memory: 50 scans at 80 x 96 x 96 take about 0.5 GB."""
        scans = [replace(s, images=s.images.to(device), distances=s.distances.to(device)) for s in self.scans]
        return replace(self, scans=tuple(scans))

    def longitudinal_pairs(self) -> list[tuple[int, int]]:
        """Ordered pairs of two scans of one subject."""
        return [(a, b) for a, b in self._all_pairs() if a != b and self.scans[a].subject == self.scans[b].subject]

    def cross_subject_pairs(self) -> list[tuple[int, int]]:
        """Ordered pairs of scans of two subjects."""
        return [(a, b) for a, b in self._all_pairs() if self.scans[a].subject != self.scans[b].subject]

    def labelled_part(self) -> Pool:
        """The scans with label maps, and the pairs between them."""
        kept = [n for n, scan in enumerate(self.scans) if scan.labelled]
        place = {old: new for new, old in enumerate(kept)}
        pairs = self.pairs
        if pairs is not None:
            pairs = tuple((place[a], place[b]) for a, b in pairs if a in place and b in place)
        return Pool(tuple(self.scans[n] for n in kept), self.grid, pairs)

    def _all_pairs(self) -> Iterable[tuple[int, int]]:
        if self.pairs is not None:
            return self.pairs
        numbers = range(len(self.scans))
        return ((a, b) for a in numbers for b in numbers)


@dataclass(frozen=True)
class RenderConfig:
    """How many images a scan gets, and at which resolution.

    Args:
        factors: voxels of the label map per voxel of the pool, along k, j, i.
        simple: images by ``training.render``: quick, contrast anywhere.
        realistic: images by ``phantom.render_from_labels``: what a DESS looks like.
        seed: changes all images.
        jobs: scans rendered at a time.
    """

    factors: tuple[int, int, int] = (2, 4, 4)
    simple: int = 8
    realistic: int = 4
    seed: int = 0
    jobs: int = 1


def build_pool(data: Path, split: str, output: Path, config: RenderConfig) -> Iterator[str]:
    """Render the scans of ``data/manifest.csv``'s ``split`` into ``output``; those there already stay.

    Args:
        data: folder with ``manifest.csv`` and the label maps.
        split: ``"train"`` or ``"validation"``.
        output: folder of the pool.
        config: what to render.

    Yields:
        The name of every scan when it is there.
    """
    yield from _rendered(functools.partial(_store_labelled, output, config), listed_scans(data, split), config.jobs)


def listed_scans(data: Path, split: str) -> list[tuple[Path, str]]:
    """The label maps of a split of ``data/manifest.csv``, each with its subject.

    Raises:
        FileError: if there is none.
    """
    with (data / "manifest.csv").open(newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["split"] == split]
    if not rows:
        raise FileError(f"{data / 'manifest.csv'}: no scan of split {split!r}; check the column 'split'")
    return [(data / row["file"], row["subject"]) for row in rows]


def _rendered(task: Callable[[Any], str], items: Sequence[Any], jobs: int) -> Iterator[str]:
    """``task`` of every item, in order, ``jobs`` at a time (threads: the work is done outside Python's lock)."""
    with ThreadPoolExecutor(jobs) as workers:
        yield from workers.map(task, items)


def _store_labelled(output: Path, config: RenderConfig, item: tuple[Path, str]) -> str:
    """Render one label map of a subject, unless that is done; the scan's name."""
    file, subject = item
    name = file.name.removesuffix(".nii.gz")
    path = output / f"{name}.safetensors"
    if not path.exists():
        labels, spacing = lab.read_canonical_labels(file)
        _store_scan(path, subject, labels, spacing, config)
    return name


def build_procedural(output: Path, count: int, config: RenderConfig) -> Iterator[str]:
    """Add ``count`` procedural right knees, each its own subject, to ``output``; see :func:`build_pool`.

    ``config.factors`` are taken relative to 160 x 384 x 384 voxels, as for the label maps.
    """
    yield from _rendered(functools.partial(_store_procedural, output, config), range(count), config.jobs)


def _store_procedural(output: Path, config: RenderConfig, number: int) -> str:
    """Make one procedural knee, unless that is done; the scan's name."""
    name = f"procedural-{config.seed}-{number:04d}"
    path = output / f"{name}.safetensors"
    if not path.exists():
        shape, spacing = (80, 192, 192), (1.4, 140 / 192, 140 / 192)
        factors = config.factors[0] // 2, config.factors[1] // 2, config.factors[2] // 2
        knee_shape = replace(random_shape(np.random.default_rng([config.seed, number])), side="right")
        labels = make_knee(knee_shape, lab.canonical_grid(shape, spacing)).labels.array
        _store_scan(path, name, labels.astype(np.uint8), spacing, replace(config, factors=factors))
    return name


def _store_scan(
    path: Path, subject: str, array: npt.NDArray[np.uint8], native: tuple[float, float, float], config: RenderConfig
) -> None:
    fractions = lab.structure_fractions(array, config.factors)
    spacing = native[0] * config.factors[0], native[1] * config.factors[1], native[2] * config.factors[2]
    distances = lab.structure_distances_mm(fractions, spacing)
    labels = lab.majority_labels(fractions)
    images = _simple_images(path.stem, subject, distances, fractions, spacing, config)
    images += _realistic_images(path.stem, subject, labels, spacing, config)
    tensors = {
        "images": (torch.stack(images) * 255).round().to(torch.uint8),
        "distances": torch.from_numpy(lab.quantized(distances)),
        "labels": torch.from_numpy(labels),
    }
    write_scan(path, tensors, subject, spacing)


def write_scan(path: Path, tensors: dict[str, Tensor], subject: str, spacing_kji_mm: Sequence[float]) -> None:
    """Write one scan's file, whole or not at all; see the top of this file for ``tensors``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as temporary:
        save_file(tensors, temporary, {"subject": subject, "spacing_kji_mm": json.dumps(list(spacing_kji_mm))})


def _simple_images(
    name: str,
    subject: str,
    distances: lab.FloatArray,
    fractions: lab.FloatArray,
    spacing: tuple[float, float, float],
    config: RenderConfig,
) -> list[Tensor]:
    if config.simple == 0:
        return []
    anatomy = build_anatomy(
        torch.from_numpy(distances), torch.from_numpy(fractions), spacing, hash_name(subject) + config.seed
    )
    return [render(anatomy, 1000 * config.seed + hash_name(name) + n) for n in range(config.simple)]


def _realistic_images(
    name: str, subject: str, labels: npt.NDArray[np.uint8], spacing: tuple[float, float, float], config: RenderConfig
) -> list[Tensor]:
    """Images whose soft tissue belongs to the subject, and whose contrast and noise to the image."""
    habit = replace(random_shape(np.random.default_rng([config.seed, hash_name(subject)])), side="right", lesions=())
    image = Image(labels, lab.canonical_grid(labels.shape, spacing), name)
    images = []
    for n in range(config.realistic):
        seed = hash_name(name) + n
        contrast = random_contrast(np.random.default_rng([config.seed, seed]))
        rendered = render_from_labels(image, contrast, seed, shape=habit)
        images.append(torch.from_numpy(normalize(rendered.array)))
    return images


def hash_name(name: str) -> int:
    """A number that depends on the name only (Python's own hash differs from run to run)."""
    return sum((n + 1) * ord(c) for n, c in enumerate(name)) * 7919 % 1_000_003


def load_pool(folder: Path, shrink: Sequence[int] = (1, 1, 1), last_images: int = 0, pairs: Path | None = None) -> Pool:
    """All scans of ``folder``, images and distances averaged over blocks of ``shrink`` voxels (k, j, i).

    Args:
        folder: of the scans' files.
        shrink: see above.
        last_images: keep only so many of each scan's images, the last ones; 0 keeps all.
        pairs: CSV with the columns fixed and moving, names of scans: the only pairs to draw.

    Raises:
        FileError: if there is no scan, their lattices differ, or the list of pairs does not fit them.
    """
    paths = sorted(folder.glob("*.safetensors"))
    if not paths:
        raise FileError(
            f"{folder}: no pool here; make it with `joint-registration prepare` from images or "
            "`joint-registration prepare-pool` from label maps"
        )
    affines = folder / "affines.json"
    scans, grids = [], []
    with malformed(affines, "a list of affine matrices", "make the pool anew"):
        found: dict[str, Any] = json.loads(affines.read_text(encoding="utf-8")) if affines.exists() else {}
        matrices = {name: np.asarray(values, dtype=np.float64).reshape(4, 4) for name, values in found.items()}
    for path in paths:
        with malformed(path, "a scan of a pool", "make the pool anew"):
            with safe_open(path, framework="pt") as stream:
                metadata = stream.metadata()
                tensors = {key: stream.get_tensor(key) for key in ("images", "distances", "labels")}
            spacing = json.loads(metadata["spacing_kji_mm"])
            tensors["images"] = tensors["images"][-last_images:]
            images, distances = (_shrunk(tensors[key], shrink) for key in ("images", "distances"))
            labels = tensors["labels"][tuple(slice(f // 2, None, f) for f in shrink)]
            affine = matrices.get(path.stem, np.eye(4))
            scans.append(Scan(path.stem, metadata["subject"], images, distances, labels, affine))
            grids.append(lab.canonical_grid(images.shape[1:], [s * f for s, f in zip(spacing, shrink, strict=True)]))
    if any(not grid.is_close(grids[0], 0.5) for grid in grids):
        raise FileError(f"{folder}: the scans lie on different lattices; make the pool anew")
    return Pool(tuple(scans), grids[0], None if pairs is None else _read_pairs(pairs, [scan.name for scan in scans]))


def _read_pairs(path: Path, names: list[str]) -> tuple[tuple[int, int], ...]:
    place = {name: n for n, name in enumerate(names)}
    try:
        with path.open(newline="") as stream:
            found = tuple(
                (place[text_of(row["fixed"] or "")], place[text_of(row["moving"] or "")])
                for row in csv.DictReader(stream)
            )
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise FileError(
            f"{path}: the list of pairs cannot be read ({error}); set data.listed_pairs to false"
        ) from error
    except KeyError as error:
        raise FileError(
            f"{path}: {error} is neither a column nor a scan of the pool; make the list with `joint-registration "
            "prepare`: columns fixed and moving, names of scans"
        ) from error
    if not found:
        raise FileError(f"{path}: the list holds no pair; set data.listed_pairs to false to draw any two scans")
    return found


def _shrunk(values: Tensor, factors: Sequence[int]) -> Tensor:
    if max(factors) == 1:
        return values
    if len(values) == 0:
        return values.new_zeros((0, *(n // f for n, f in zip(values.shape[1:], factors, strict=True))))
    pooled = torch.nn.functional.avg_pool3d(values[None].float(), tuple(factors))[0]
    return pooled.round().to(values.dtype)
