"""From images of knees to a pool to train on: normalised, on the canonical lattice, left knees mirrored.

A pool's folder gets ``train``, ``validation`` and ``test`` with a file a scan (``pool``), ``scans.csv``, the lists of
pairs ``pairs-SPLIT.csv`` by scan name, and ``test-files.csv``, the labelled test pairs as ``evaluate`` reads them.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ...core.errors import FileError, InputError, JointRegistrationError
from ...core.image import Image
from ...core.lattices.onto_grid import check_belongs
from ...files import atomic_file, read_image, read_labels
from ...files.csv_cells import cell
from ...networks.predict import FIELD_OF_VIEW_MM, canonical_lattice, on_lattice
from ...ops.separable.resampling import to_tensor
from ...registration.preprocessing import check_image, normalize
from . import labels as lab
from .alignment import align_pool, align_to, save_affines
from .pool import load_pool, write_scan
from .scans import SHARES, SPLITS, Source, list_pairs, split_subjects

#: Knees are aligned by their label maps at about this spacing.
ALIGNMENT_SPACING_MM = 2.9


@dataclass(frozen=True)
class PrepareConfig:
    """How scans are prepared.

    Args:
        size_kji: voxels of the canonical lattice along right, superior, anterior (published: 80 x 192 x 192).
        seed: of split and pairs.
        jobs: scans at a time.
    """

    size_kji: tuple[int, int, int] = (80, 192, 192)
    seed: int = 0
    jobs: int = 1

    @property
    def spacing_kji_mm(self) -> tuple[float, float, float]:
        """Spacing of the lattice."""
        k, j, i = (f / n for f, n in zip(reversed(FIELD_OF_VIEW_MM), self.size_kji, strict=True))
        return k, j, i


def prepare(sources: Sequence[Source], output: Path, config: PrepareConfig) -> Iterator[str]:
    """Prepare all scans; those in ``output`` already stay, so that the command can be stopped and repeated.

    Args:
        sources: what to prepare (``scans``).
        output: folder of the pool.
        config: how.

    Yields:
        A line a scan; one that cannot be used is named with the reason, and left out.

    Raises:
        InputError: for fewer than two patients.
        FileError: if no scan for training or none for validation is left.
    """
    splits = split_subjects(sources, SHARES, config.seed)
    output.mkdir(parents=True, exist_ok=True)
    done: list[Source] = []
    with ThreadPoolExecutor(config.jobs) as workers:
        failures = workers.map(lambda s: _prepared(s, output / splits[s.subject], config), sources)
        for source, failure in zip(sources, failures, strict=True):
            if failure is None:
                done.append(source)
            yield f"{splits[source.subject]} {source.name}" if failure is None else f"left out: {failure}"
    for split in SPLITS[:2]:
        if not any(splits[source.subject] == split for source in done):
            raise FileError(f"{output}: no scan is left for {split}; see the reasons above, or give more patients")
    _write_tables(done, splits, output, config.seed)
    yield from _align(output, config)


def _prepared(source: Source, folder: Path, config: PrepareConfig) -> str | None:
    """Make a scan's file unless it is there; why it cannot be made, or None."""
    path = folder / f"{source.name}.safetensors"
    try:
        if not path.exists():
            prepare_scan(source, path, config)
    except JointRegistrationError as error:
        return str(error)
    return None


def prepare_scan(source: Source, path: Path, config: PrepareConfig) -> None:
    """One scan's file in a pool.

    Raises:
        FileError, InputError, GeometryError: if image or label map cannot be used.
    """
    image = read_image(source.file)
    check_image(image)
    lattice = canonical_lattice(image.grid, config.size_kji[::-1], source.side)
    sampled = on_lattice(to_tensor(normalize(image.array)), image.grid, lattice)[0]
    tensors = {
        "images": (sampled * 255).round().clamp(0, 255).to(torch.uint8),
        "distances": torch.zeros(0, *config.size_kji, dtype=torch.int8),
        "labels": torch.zeros(config.size_kji, dtype=torch.uint8),
    }
    if source.labels is not None:
        labels = read_labels(source.labels)
        check_belongs(labels, image)
        fractions = _fractions(labels, image, config, source.side)
        tensors["distances"] = torch.from_numpy(
            lab.quantized(lab.structure_distances_mm(fractions, config.spacing_kji_mm))
        )
        tensors["labels"] = torch.from_numpy(lab.majority_labels(fractions))
    write_scan(path, tensors, source.knee, config.spacing_kji_mm)


def _fractions(labels: Image, image: Image, config: PrepareConfig, side: str) -> lab.FloatArray:
    """Volume fraction of every structure on the image's canonical lattice."""
    lattice = canonical_lattice(image.grid, config.size_kji[::-1], side)
    present = [np.isin(labels.array, values) for values in lab.STRUCTURES.values()]
    if not any(mask.any() for mask in present):
        raise InputError(
            f"{labels.name}: holds none of the labels 1 to 9 (1 femur, 2 its cartilage, 3 tibia, 4 its cartilage, "
            "5 patella, 6 its cartilage); renumber it, or leave its column empty"
        )
    sampled = [on_lattice(to_tensor(mask), labels.grid, lattice)[0, 0].numpy() for mask in present]
    return np.stack(sampled).clip(0, 1)


def _write_tables(sources: Sequence[Source], splits: dict[str, str], output: Path, seed: int) -> None:
    columns = ("name", "split", "subject", "visit", "side", "file", "labels")
    rows = [(s.name, splits[s.subject], s.subject, s.visit, s.side, s.file, s.labels or "") for s in sources]
    _write_csv(output / "scans.csv", columns, rows)
    for split, share in zip(SPLITS, SHARES, strict=True):
        pairs = list_pairs([s for s in sources if splits[s.subject] == split], share, seed)
        _write_csv(
            output / f"pairs-{split}.csv",
            ("group", "fixed", "moving"),
            [(group, fixed.name, moving.name) for group, fixed, moving in pairs],
        )
        if split == "test":
            _write_csv(
                output / "test-files.csv",
                ("group", "fixed", "moving", "fixed_labels", "moving_labels"),
                [
                    (group, f.file.absolute(), m.file.absolute(), f.labels.absolute(), m.labels.absolute())
                    for group, f, m in pairs
                    if f.labels is not None and m.labels is not None
                ],
            )


def _write_csv(path: Path, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    with atomic_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        table = csv.writer(stream)
        table.writerow(columns)
        table.writerows([cell(str(value)) for value in row] for row in rows)


def _align(output: Path, config: PrepareConfig) -> Iterator[str]:
    """Affines between subjects from the label maps, where there are any: what the affine network is first taught."""
    shrink = [max(1, round(ALIGNMENT_SPACING_MM / s)) for s in config.spacing_kji_mm]
    train = load_pool(output / "train", shrink).labelled_part()
    if len(train.scans) < 2:
        yield "no label maps to align: training from images alone (presets published-*)"
        return
    matrices, template = align_pool(train)
    save_affines(matrices, output / "train")
    for split in SPLITS[1:]:
        if any((output / split).glob("*.safetensors")):
            others = load_pool(output / split, shrink).labelled_part()
            save_affines(align_to(others, template), output / split)
    yield f"aligned {len(train.scans)} labelled scans"
