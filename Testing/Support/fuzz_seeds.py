"""Sound files, one or more for each reader, that the fuzz damages."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from JointRegistrationLib.cli.register_files import read_config
from JointRegistrationLib.cli.shared.description import describe
from JointRegistrationLib.core.config import RegistrationConfig
from JointRegistrationLib.core.geometry import Grid
from JointRegistrationLib.core.image import Image
from JointRegistrationLib.core.serialization import to_json
from JointRegistrationLib.evaluation.pairs import read_pairs
from JointRegistrationLib.evaluation.table import ResultTable
from JointRegistrationLib.files import (
    read_image,
    read_labels,
    read_landmarks,
    read_metrics,
    read_result,
    read_transform,
    write_affine,
    write_displacement_field,
    write_image,
    write_labels,
    write_transform,
)
from JointRegistrationLib.networks.checkpoint import Header, load_state, read_header, save_state, save_weights
from JointRegistrationLib.training.data.scans import read_table
from JointRegistrationLib.training.record.provenance import read_config as read_training_config
from Testing.Support.dicom_cases import write_enhanced, write_series

GRID = Grid((12, 11, 10), (1.0, 2.0, 3.0), (5.0, -6.0, 7.0))
RNG = np.random.default_rng(0)
IMAGE = Image(RNG.normal(100, 20, GRID.shape).astype(np.float32), GRID)
LABELS = Image(RNG.integers(0, 9, GRID.shape).astype(np.int16), GRID)
FIELD = RNG.normal(0, 1, (*GRID.shape, 3)).astype(np.float32)


@dataclass(frozen=True)
class Seed:
    """A sound file and how it is read. Its folder holds what else is needed."""

    path: Path
    read: Callable[[Path], object]


def make_seeds(folder: Path) -> list[Seed]:
    """All of them, each in a folder of its own."""
    return [*_native_seeds(folder / "native"), *_own_seeds(folder / "own"), _run_seed(folder / "run")]


class _Seeds(list[Seed]):
    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder

    def add(self, name: str, read: Callable[[Path], object], write: Callable[[Path], object]) -> Path:
        path = self._folder / f"{len(self):02d}" / name
        path.parent.mkdir(parents=True)
        write(path)
        self.append(Seed(path, read))
        return path.parent


def _text(content: str) -> Callable[[Path], object]:
    return lambda path: path.write_text(content, encoding="utf-8")


def _native_seeds(folder: Path) -> list[Seed]:
    """Images, transforms and DICOM."""
    seeds = _Seeds(folder)
    for name in ("a.nii", "a.nii.gz", "a.nrrd", "a.mha"):
        seeds.add(name, read_image, lambda path: write_image(IMAGE, path))
    for name in ("l.nii.gz", "l.nrrd", "l.mha"):
        seeds.add(name, read_labels, lambda path: write_labels(LABELS, path))
    seeds.add("a.mhd", read_image, lambda path: sitk.WriteImage(sitk.GetImageFromArray(IMAGE.array), str(path)))
    seeds.add("a.nhdr", read_image, lambda path: sitk.WriteImage(sitk.GetImageFromArray(IMAGE.array), str(path)))
    seeds.add("a.vtk", read_image, lambda path: sitk.WriteImage(sitk.GetImageFromArray(IMAGE.array), str(path)))
    for name in ("f.nrrd", "f.mha", "f.nii.gz"):
        seeds.add(name, _read_map, lambda path: write_displacement_field(path, FIELD, GRID))
    seeds.add("t.h5", _read_map, lambda path: write_transform(path, FIELD, GRID, np.eye(4)))
    for name in ("t.tfm", "t.txt", "t.mat"):
        seeds.add(name, read_transform, lambda path: write_affine(path, np.eye(4) + 0.01))
    seeds.add("b.tfm", read_transform, _write_bspline)
    seeds.add("c.h5", describe, lambda path: write_affine(path, np.eye(4) + 0.01))
    seeds.add("002.dcm", lambda path: read_image(path.parent), lambda path: write_series(path.parent, 5))
    seeds.add(
        "e.dcm", read_image, lambda path: write_enhanced(path, (0, 2, 1, 3, 4), echo_times=(5,) * 5, slopes=(2,) * 5)
    )
    return seeds


def _own_seeds(folder: Path) -> list[Seed]:
    """Formats of ours: JSON, CSV and tensors."""
    seeds = _Seeds(folder)
    points = [{"label": str(n), "position": [1.5 * n, 2, 3], "positionStatus": "defined"} for n in range(3)]
    markups = {"markups": [{"type": "Fiducial", "coordinateSystem": "LPS", "controlPoints": points}]}
    seeds.add("p.mrk.json", read_landmarks, _text(json.dumps(markups)))
    seeds.add("p.fcsv", read_landmarks, _text("# CoordinateSystem = LPS\n# columns = id,x,y,z\n1,1.5,2,3\n2,4,5,6\n"))
    seeds.add("p.csv", read_landmarks, _text("label,x,y,z\na,1.5,2,3\nb,4,5,6\n"))
    seeds.add("config.json", read_config, _text(to_json(RegistrationConfig())))
    seeds.add("training.json", read_training_config, _text('{"seed": 1}'))
    metrics = _metrics(to_json(RegistrationConfig()))
    seeds.add("metrics.json", lambda path: read_metrics(path.parent), _text(metrics))
    seeds.add("metrics.json", describe, _text(metrics))
    table = "moving,fixed,moving_labels,fixed_labels,group\na.nii,b.nii,l.nii,m.nii,g\n"
    for _ in range(2):
        where = seeds.add("pairs.csv", read_pairs, _text(table))
        for file in ("a.nii", "b.nii", "l.nii", "m.nii"):
            (where / file).touch()
    seeds.add("table.csv", lambda path: ResultTable(path, (1, 2)), _write_table)
    seeds.add(
        "scans.csv", lambda path: read_table(path, path.parent), _text("file,subject,visit,side\nscans.csv,a,0,left\n")
    )
    seeds.add("state.json", lambda path: load_state(path.parent), lambda path: _write_state(path.parent))
    seeds.add("weights.safetensors", read_header, _write_weights)
    return seeds


def _run_seed(folder: Path) -> Seed:
    """The folder of a run."""
    folder.mkdir()
    for name in ("warped.nrrd", "log2_jacobian.nrrd"):
        write_image(IMAGE, folder / name)
    for name in ("transform.h5", "inverse_transform.h5"):
        write_transform(folder / name, FIELD, GRID, np.eye(4))
    (folder / "metrics.json").write_text(_metrics(to_json(RegistrationConfig())))
    return Seed(folder / "metrics.json", lambda path: read_result(path.parent, GRID))


def _read_map(path: Path) -> object:
    return read_transform(path).displacement_field(Grid((4, 5, 6)))


def _write_bspline(path: Path) -> None:
    transform = sitk.BSplineTransformInitializer(sitk.Image(8, 8, 8, sitk.sitkUInt8), [2, 2, 2])
    sitk.WriteTransform(transform, str(path))


def _metrics(config: str) -> str:
    return json.dumps(
        {
            **{"affine_ras": np.eye(4).tolist(), "folds": 0, "folds_percent": 0.0, "folds_diagonal_only": 0},
            **{"ncc_before": 0.1, "ncc_after": 0.5, "inverse_error_mean_mm": 0.0, "inverse_error_max_mm": None},
            **{"timings_s": {"total": 1.5}, "config": json.loads(config), "device": "cpu", "notes": ["a"]},
            "landmarks": {"names": ["1"], "tre_before_mm": [1.0], "tre_after_mm": [0.5]},
            "inputs": {"fixed": "a"},
        }
    )


def _write_table(path: Path) -> None:
    table = ResultTable(path, (1, 2))
    table.append({"group": "g", "pair": "a > b", "method": "avsm", "dice_1": 0.5, "notes": "x"})


def _small_module() -> Any:
    import torch

    return torch.nn.Linear(2, 3)


def _write_state(folder: Path) -> None:
    save_state(folder, dict(_small_module().state_dict()), {"step": 3})


def _write_weights(path: Path) -> None:
    names = dict.fromkeys(Header.__dataclass_fields__, "")
    save_weights(path, _small_module(), Header(**{**names, "configuration": {}}))  # type: ignore[arg-type]
