"""Damaged files over all readers: none may end the process, raise anything but our own errors, or fill the memory.

    python Testing/Library/fuzz_inputs.py --count 5000 --minutes 30

Each input is a sound file with a few bytes, numbers, lines or values changed, by a seed of its own. The readers run in a
process that this one watches, with a bound on its memory; what ends it is found by its number.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
if __name__ == "__main__":
    sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

MEMORY_BYTES, SECONDS = 2 << 30, 20
_NUMBERS = (b"0", b"-1", b"1e400", b"nan", b"99999999999", b"4294967295", b"-2147483648", b"1e-300", b"1" * 400)
_VALUES: tuple[Any, ...] = (None, True, -1, 0, 5, 1e308, 10**400, "", "x" * 3000, [], {}, [[]], [1], "NaN")


@dataclass(frozen=True)
class Seed:
    """A sound file, how it is read, and what of its name the reader looks at. The folder holds what else is needed."""

    path: Path
    read: Callable[[Path], object]


def make_seeds(folder: Path) -> list[Seed]:
    """One file or more for each reader."""
    import h5py
    import SimpleITK as sitk
    from dicom_cases import write_enhanced, write_series

    from JointRegistrationLib.cli.description import describe
    from JointRegistrationLib.cli.registration import read_config
    from JointRegistrationLib.config import RegistrationConfig
    from JointRegistrationLib.config_json import to_json
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
    from JointRegistrationLib.geometry import Grid
    from JointRegistrationLib.image import Image
    from JointRegistrationLib.training.provenance import read_config as read_training_config
    from JointRegistrationLib.training.scans import read_table

    grid = Grid((12, 11, 10), (1.0, 2.0, 3.0), (5.0, -6.0, 7.0))
    rng = np.random.default_rng(0)
    image = Image(rng.normal(100, 20, grid.shape).astype(np.float32), grid)
    labels = Image(rng.integers(0, 9, grid.shape).astype(np.int16), grid)
    field = rng.normal(0, 1, (*grid.shape, 3)).astype(np.float32)
    seeds: list[Seed] = []

    def add(name: str, read: Callable[[Path], object], write: Callable[[Path], object]) -> None:
        path = folder / f"{len(seeds):02d}" / name
        path.parent.mkdir()
        write(path)
        seeds.append(Seed(path, read))

    def text(content: str) -> Callable[[Path], object]:
        return lambda path: path.write_text(content, encoding="utf-8")

    for name in ("a.nii", "a.nii.gz", "a.nrrd", "a.mha"):
        add(name, read_image, lambda path: write_image(image, path))
    for name in ("l.nii.gz", "l.nrrd", "l.mha"):
        add(name, read_labels, lambda path: write_labels(labels, path))
    add("a.mhd", read_image, lambda path: sitk.WriteImage(sitk.GetImageFromArray(image.array), str(path)))
    add("a.nhdr", read_image, lambda path: sitk.WriteImage(sitk.GetImageFromArray(image.array), str(path)))
    add("a.vtk", read_image, lambda path: sitk.WriteImage(sitk.GetImageFromArray(image.array), str(path)))
    for name in ("f.nrrd", "f.mha", "f.nii.gz"):
        add(name, _read_field, lambda path: write_displacement_field(path, field, grid))
    add("t.h5", _read_field, lambda path: write_transform(path, field, grid, np.eye(4)))
    for name in ("t.tfm", "t.txt", "t.mat"):
        add(name, read_transform, lambda path: write_affine(path, np.eye(4) + 0.01))
    add("b.tfm", read_transform, _write_bspline)
    add("c.h5", describe, lambda path: write_affine(path, np.eye(4) + 0.01))
    add("002.dcm", lambda path: read_image(path.parent), lambda path: write_series(path.parent, 5))
    add("e.dcm", read_image, lambda path: write_enhanced(path, (0, 2, 1, 3, 4), echo_times=(5,) * 5, slopes=(2,) * 5))
    points = [{"label": str(n), "position": [1.5 * n, 2, 3], "positionStatus": "defined"} for n in range(3)]
    markups = {"markups": [{"type": "Fiducial", "coordinateSystem": "LPS", "controlPoints": points}]}
    add("p.mrk.json", read_landmarks, text(json.dumps(markups)))
    add("p.fcsv", read_landmarks, text("# CoordinateSystem = LPS\n# columns = id,x,y,z\n1,1.5,2,3\n2,4,5,6\n"))
    add("p.csv", read_landmarks, text("label,x,y,z\na,1.5,2,3\nb,4,5,6\n"))
    add("config.json", read_config, text(to_json(RegistrationConfig())))
    add("training.json", read_training_config, text('{"seed": 1}'))
    metrics = _metrics(to_json(RegistrationConfig()))
    add("metrics.json", lambda path: read_metrics(path.parent), text(metrics))
    add("metrics.json", describe, text(metrics))
    run = folder / "run"
    run.mkdir()
    write_image(image, run / "warped.nrrd")
    write_image(image, run / "log2_jacobian.nrrd")
    for name in ("transform.h5", "inverse_transform.h5"):
        write_transform(run / name, field, grid, np.eye(4))
    (run / "metrics.json").write_text(metrics)
    seeds.append(Seed(run / "metrics.json", lambda path: read_result(path.parent, grid)))
    table = "moving,fixed,moving_labels,fixed_labels,group\na.nii,b.nii,l.nii,m.nii,g\n"
    for n in range(2):
        add("pairs.csv", read_pairs, text(table))
        for file in ("a.nii", "b.nii", "l.nii", "m.nii"):
            (seeds[-1].path.parent / file).touch()
    add("table.csv", lambda path: ResultTable(path, (1, 2)), _write_table)
    add("scans.csv", lambda path: read_table(path, path.parent), text("file,subject,visit,side\nscans.csv,a,0,left\n"))
    add("state.json", lambda path: _load_state(path.parent), lambda path: _write_state(path.parent))
    add("weights.safetensors", _read_weights, _write_weights)
    assert h5py.__version__
    return seeds


def damaged(content: bytes, rng: np.random.Generator) -> bytes:
    """The content with one to four changes."""
    if content[:1] in b"{[" and rng.random() < 0.6:
        return _with_other_value(content, rng)
    data = bytearray(content)
    for _ in range(int(rng.integers(1, 5))):
        data = _changed(data, rng)
    return bytes(data)


def _changed(data: bytearray, rng: np.random.Generator) -> bytearray:
    if not data:
        return data
    head = min(len(data), 1024) if rng.random() < 0.7 else len(data)  # headers are where it matters
    at, kind = int(rng.integers(head)), int(rng.integers(8))
    if kind == 0:
        data[at] ^= 1 << int(rng.integers(8))
    elif kind == 1:
        data[at : at + int(rng.integers(1, 9))] = rng.bytes(int(rng.integers(1, 9)))
    elif kind == 2:
        del data[int(rng.integers(len(data))) :]
    elif kind == 3:
        del data[at : at + int(rng.integers(1, 64))]
    elif kind == 4:
        data[at:at] = data[at : at + int(rng.integers(1, 200))] * int(rng.integers(1, 20))
    elif kind == 5:
        extreme = int(rng.choice([0, 1, 127, 255, 32767, 65535, 2**31 - 1, 2**32 - 1]))
        data[at : at + 4] = extreme.to_bytes(4, "little")
    elif kind == 6:
        data[at:at] = _NUMBERS[int(rng.integers(len(_NUMBERS)))]
    else:
        lines = bytes(data).split(b"\n")
        one, other = (int(n) for n in rng.integers(len(lines), size=2))
        lines[one], lines[other] = lines[other], lines[one] * int(rng.integers(1, 300))
        data = bytearray(b"\n".join(lines))
    return data


def _with_other_value(content: bytes, rng: np.random.Generator) -> bytes:
    """JSON with one value replaced by one of another type, one left out, or nested deeply."""
    values = json.loads(content)
    places: list[tuple[Any, Any]] = []
    pending = [values]
    while pending:
        node = pending.pop()
        items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
        for key, value in items:
            places.append((node, key))
            pending.append(value)
    node, key = places[int(rng.integers(len(places)))]
    kind = int(rng.integers(10))
    if kind == 0:
        del node[key]
    elif kind == 1:
        return json.dumps(values).replace("1", "[" * 20000, 1).encode()
    else:
        node[key] = _VALUES[int(rng.integers(len(_VALUES)))]
    return json.dumps(values).encode()


# -- what is read ---------------------------------------------------------------------------------------------


def _read_field(path: Path) -> object:
    from JointRegistrationLib.files import read_transform
    from JointRegistrationLib.geometry import Grid

    return read_transform(path).displacement_field(Grid((4, 5, 6)))


def _write_bspline(path: Path) -> None:
    import SimpleITK as sitk

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
    from JointRegistrationLib.evaluation.table import ResultTable

    table = ResultTable(path, (1, 2))
    table.append({"group": "g", "pair": "a > b", "method": "avsm", "dice_1": 0.5, "notes": "x"})


def _small_module() -> Any:
    import torch

    return torch.nn.Linear(2, 3)


def _write_state(folder: Path) -> None:
    from JointRegistrationLib.checkpoint import save_state

    save_state(folder, dict(_small_module().state_dict()), {"step": 3})


def _load_state(folder: Path) -> object:
    from JointRegistrationLib.checkpoint import load_state

    return load_state(folder)


def _write_weights(path: Path) -> None:
    from JointRegistrationLib.checkpoint import Header, save_weights

    names = {field: "" for field in Header.__dataclass_fields__}
    save_weights(path, _small_module(), Header(**{**names, "configuration": {}}))  # type: ignore[arg-type]


def _read_weights(path: Path) -> object:
    from JointRegistrationLib.checkpoint import read_header

    return read_header(path)


# -- running ------------------------------------------------------------------------------------------------------


def work(start: int, stop: int, seed: int, seconds: float) -> None:
    """Read inputs ``start`` to ``stop``; a line of JSON for each on stdout, before and after."""
    from JointRegistrationLib.errors import JointRegistrationError

    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        seeds = make_seeds(Path(folder))
        _bound_memory()
        for number in range(start, stop):
            if time.monotonic() - begun > seconds:
                break
            rng = np.random.default_rng((seed, number))
            chosen = seeds[number % len(seeds)]
            sound = chosen.path.read_bytes()
            kind = f"{chosen.path.parent.name}/{chosen.path.name}"
            print(json.dumps({"number": number, "kind": kind}), flush=True)
            chosen.path.write_bytes(damaged(sound, rng))
            used, outcome = time.process_time(), "read"
            try:
                chosen.read(chosen.path)
            except JointRegistrationError as error:
                outcome = "refused" if str(error) and "\n" not in str(error) else f"bad message {error!r}"
            except BaseException as error:  # noqa: BLE001 any other is what is sought
                outcome = f"{type(error).__name__}: {str(error)[:200]}"
            if time.process_time() - used > SECONDS:
                outcome = f"took {time.process_time() - used:.0f} s"
            chosen.path.write_bytes(sound)
            print(json.dumps({"number": number, "kind": kind, "outcome": outcome}), flush=True)


def _bound_memory() -> None:
    try:
        import resource
    except ImportError:
        return
    statm = Path("/proc/self/statm")
    if statm.exists():
        limit = int(statm.read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE") + MEMORY_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def fuzz(count: int, seed: int = 13, minutes: float = 30.0) -> tuple[Counter[str], list[str]]:
    """How many inputs were read and refused, and every failure as a line."""
    begun, next_number = time.monotonic(), 0
    counts: Counter[str] = Counter()
    failures: list[str] = []
    while next_number < count and time.monotonic() - begun < 60 * minutes:
        left = 60 * minutes - (time.monotonic() - begun)
        arguments = ["--work", str(next_number), "--count", str(count), "--seed", str(seed), "--minutes", str(left / 60)]
        done = subprocess.run(
            [sys.executable, str(Path(__file__)), *arguments], check=False, capture_output=True, text=True, errors="replace"
        )
        lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"number"')]
        for line in lines:
            outcome = line.get("outcome")
            if outcome in ("read", "refused"):
                counts[outcome] += 1
            elif outcome is not None:
                failures.append(f"input {line['number']}, {line['kind']}: {outcome}")
        if done.returncode == 0:
            break
        if not lines:
            raise RuntimeError(done.stderr[-2000:])
        failures.append(f"input {lines[-1]['number']}, {lines[-1]['kind']}: ended the process ({done.returncode})")
        next_number = lines[-1]["number"] + 1
    return counts, failures


def main() -> int:
    """The command; 1 if anything failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=13)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--work", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work is not None:
        work(options.work, options.count, options.seed, 60 * options.minutes)
        return 0
    counts, failures = fuzz(options.count, options.seed, options.minutes)
    print("\n".join([*failures, f"{counts['read']} read, {counts['refused']} refused, {len(failures)} failed"]))
    return bool(failures)


if __name__ == "__main__":
    sys.exit(main())
