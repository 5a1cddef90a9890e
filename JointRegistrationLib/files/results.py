"""All files of one registration, as the command line and the demo write them."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from ..geometry import Grid
from ..image import Image
from ..result import RegistrationResult, log2_jacobian
from .images import write_image, write_labels
from .output import atomic_file
from .transforms import write_affine, write_transform

RESULT_NAMES = (
    "warped.nrrd",
    "warped_labels.nrrd",
    "transform.h5",
    "inverse_transform.h5",
    "affine.tfm",
    "log2_jacobian.nrrd",
    "metrics.json",
)

_BYTES_PER_FIXED_VOXEL = 24 + 4 + 4 + 1  # transform in double precision, warped, Jacobian, labels
_BYTES_PER_MOVING_VOXEL = 24


def result_bytes(fixed: Grid, moving: Grid) -> int:
    """How many bytes the files of a result on these grids take, about."""
    return _BYTES_PER_FIXED_VOXEL * fixed.num_voxels + _BYTES_PER_MOVING_VOXEL * moving.num_voxels


def write_result(
    result: RegistrationResult,
    folder: Path,
    metrics: dict[str, Any] | None = None,
    *,
    warped_labels: Image | None = None,
) -> list[str]:
    """Write the files of a result into an existing folder; returns their names.

    ``transform.h5`` takes fixed points to moving points (the resampling direction) and
    ``inverse_transform.h5`` moving points to fixed ones. Use it inside
    :func:`.output.output_folder` to have all or nothing.

    Args:
        result: what to write.
        folder: where to.
        metrics: content of ``metrics.json``; NaN becomes null. None for the result's summary.
        warped_labels: the moving labels on the fixed grid, if there are any.

    Raises:
        FileError, ResourceError: if a file cannot be written.
    """
    grid, affine = result.fixed_grid, result.affine_ras
    write_image(Image(result.warped, grid, "warped"), folder / "warped.nrrd")
    if warped_labels is not None:
        write_labels(warped_labels, folder / "warped_labels.nrrd")
    write_transform(folder / "transform.h5", result.displacement_field_mm, grid, affine)
    write_transform(
        folder / "inverse_transform.h5", result.inverse_displacement_field_mm, result.moving_grid, np.linalg.inv(affine)
    )
    write_affine(folder / "affine.tfm", affine)
    jacobian = Image(log2_jacobian(result.jacobian_determinant), grid, "log2 Jacobian")
    write_image(jacobian, folder / "log2_jacobian.nrrd")
    write_json(metrics if metrics is not None else result.summary(), folder / "metrics.json")
    return [name for name in RESULT_NAMES if (folder / name).exists()]


def write_json(values: Any, path: Path | str) -> None:
    """Write plain values as indented JSON; NaN and infinity, which JSON lacks, become null."""
    text = json.dumps(_without_nan(values), indent=2, allow_nan=False) + "\n"
    with atomic_file(path, len(text)) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _without_nan(values: Any) -> Any:
    if isinstance(values, dict):
        return {str(key): _without_nan(value) for key, value in values.items()}
    if isinstance(values, (list, tuple)):
        return [_without_nan(value) for value in values]
    return None if isinstance(values, float) and not math.isfinite(values) else values
