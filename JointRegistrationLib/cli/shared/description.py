"""What a file holds, in plain words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ...core.geometry import FloatArray, Grid, transform_points, unit_lattice
from ...core.image import Image
from ...core.system.reading import malformed
from ...files import (
    RESULT_NAMES,
    SpatialTransform,
    is_displacement_field,
    read_image,
    read_landmarks,
    read_metrics,
    read_transform,
)
from ...files.results import METRICS_NAME, is_run, read_run

_LANDMARKS = (".json", ".fcsv", ".csv")
_TRANSFORMS = (".h5", ".hdf5", ".tfm", ".txt", ".mat")
_MOST_LABELS = 64
_SAMPLES_PER_AXIS = 9


def describe(path: Path) -> list[str]:
    """Lines about an image, label map, transform or landmark file, or about the folder of a run.

    Raises:
        InputError: if the file is missing or none of these.
    """
    name = path.name.lower()
    if name == METRICS_NAME or is_run(path):
        folder = path if path.is_dir() else path.parent
        with malformed(folder / METRICS_NAME, "the metrics of a run", "give the folder of a run"):
            return _run(folder, read_metrics(folder), read_run(folder).changed())
    if name.endswith(_LANDMARKS):
        return _landmarks(path, read_landmarks(path))
    if name.endswith(_TRANSFORMS):
        return _transform(path, read_transform(path))
    if is_displacement_field(path):
        return _transform(path, read_transform(path))
    return _image(path, read_image(path))


def _grid_lines(grid: Grid) -> list[str]:
    size = " x ".join(str(n) for n in grid.size_ijk)
    spacing = " x ".join(f"{s:.4g}" for s in grid.spacing_mm)
    extent = " x ".join(f"{n * s:.4g}" for n, s in zip(grid.size_ijk, grid.spacing_mm, strict=True))
    center = ", ".join(f"{c:.1f}" for c in grid.center_ras)
    towards = {"R": "right", "L": "left", "A": "anterior", "P": "posterior", "S": "superior", "I": "inferior"}
    axes = ", ".join(towards[letter] for letter in grid.orientation)
    return [
        f"  size         {size} voxels",
        f"  voxel        {spacing} mm",
        f"  extent       {extent} mm",
        f"  centre       {center} mm (RAS)",
        f"  axes         {grid.orientation}: towards {axes}" + ("" if _is_aligned(grid) else " (oblique)"),
    ]


def _is_aligned(grid: Grid) -> bool:
    return bool(np.abs(np.asarray(grid.direction_ras)).max(axis=0).min() > 1 - 1e-6)


def _image(path: Path, image: Image) -> list[str]:
    values = image.array
    labels = _labels(image)
    kind = "image" if labels is None else "image that may be a label map"
    lines = [f"{path}: 3D {kind}, {values.dtype}", *_grid_lines(image.grid)]
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        lines.append(f"  values       {int((~np.isfinite(values)).sum())} of them NaN or infinite")
    elif labels is None:
        lines.append(f"  values       {values.min():.6g} to {values.max():.6g}, mean {values.mean():.6g}")
    else:
        lines += [f"  label {value:<7}{count} voxels, {volume:.4g} ml" for value, count, volume in labels]
    return lines


def _labels(image: Image) -> list[tuple[int, int, float]] | None:
    """(value, voxels, millilitres) of each label but 0, if the values look like labels."""
    values = image.array
    if values.dtype.kind == "f" and not (np.isfinite(values).all() and np.array_equal(values, np.rint(values))):
        return None
    found, counts = np.unique(values, return_counts=True)
    if len(found) > _MOST_LABELS or found.min() < 0:
        return None
    ml = image.grid.voxel_volume_mm3 / 1000
    return [(int(v), int(n), float(n * ml)) for v, n in zip(found, counts, strict=True) if v != 0]


def _transform(path: Path, transform: SpatialTransform) -> list[str]:
    lines = [f"{path}: transform of points"]
    lines.append(f"  consists of  {', then '.join(transform.parts)}")
    if transform.is_linear:
        return lines + _matrix_lines(transform.matrix_ras)
    if transform.grid is not None:
        lines += ["  displacement field on", *(f"  {line}" for line in _grid_lines(transform.grid))]
        lines.append(_displacement_line(transform, transform.grid))
    return lines


def _matrix_lines(matrix: FloatArray) -> list[str]:
    rows = ["  matrix (RAS, mm)"] + ["    " + " ".join(f"{value:10.4f}" for value in row) for row in matrix]
    left, scales, right = np.linalg.svd(matrix[:3, :3])
    cosine = (np.trace(left @ right) - 1) / 2
    turned = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
    shift = ", ".join(f"{value:.2f}" for value in matrix[:3, 3])
    scaled = ", ".join(f"{value:.4f}" for value in scales)
    return [*rows, f"  in words     turns by {turned:.2f} degrees, scales by {scaled}, shifts by {shift} mm"]


def _displacement_line(transform: SpatialTransform, grid: Grid) -> str:
    points = transform_points(grid.unit_to_ras, unit_lattice(_SAMPLES_PER_AXIS))
    lengths = np.linalg.norm(transform.apply(points) - points, axis=1)
    return f"  moves points {lengths.mean():.2f} mm on average, at most {lengths.max():.2f} mm ({len(points)} samples)"


def _run(folder: Path, metrics: dict[str, Any], changed: dict[str, str]) -> list[str]:
    seconds = metrics.get("timings_s", {}).get("total")
    lines = [f"{folder}: a run of {metrics['config'].get('method', '?')}"]
    lines += [f"  {name:<13}{value}" for name, value in metrics.get("inputs", {}).items()]
    lines.append(f"  similarity   NCC {_figure(metrics.get('ncc_before'))} -> {_figure(metrics['ncc_after'])}")
    lines.append(f"  folds        {metrics.get('folds', '?')} voxels")
    lines.append(f"  inverse      off by {_figure(metrics.get('inverse_error_mean_mm'))} mm on average")
    lines.append(f"  time         {_figure(seconds)} s on {metrics.get('device', '?')}")
    lines += [f"  note         {note}" for note in metrics.get("notes", [])]
    return lines + [f"  changed      {name} {what}" for name, what in changed.items() if name in RESULT_NAMES]


def _figure(value: float | None) -> str:
    """JSON has no NaN: a value that is not known is null there."""
    return "?" if value is None else f"{value:.3g}"


def _landmarks(path: Path, points: FloatArray) -> list[str]:
    low, high = points.min(axis=0), points.max(axis=0)
    ranges = ", ".join(f"{axis} {a:.1f} to {b:.1f}" for axis, a, b in zip("RAS", low, high, strict=True))
    return [f"{path}: {len(points)} landmarks", f"  within       {ranges} mm"]
