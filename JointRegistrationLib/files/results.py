"""All files of one registration, as the command line and the demo write them."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from ..core.config import RegistrationConfig
from ..core.errors import FileError
from ..core.figures.trust import Evidence
from ..core.geometry import Grid
from ..core.image import Image
from ..core.result import FoldCount, LandmarkErrors, RegistrationResult, log2_jacobian
from ..core.serialization import from_dict
from ..core.system.held_folders import LOCK_NAME, UNFINISHED
from ..core.system.reading import malformed
from .images import read_image, write_image, write_labels
from .manifest import PUBLISHING, Manifest, read_manifest
from .output import atomic_file
from .transforms.itk import read_transform, transform_bytes, write_affine, write_transform

METRICS_NAME = "metrics.json"
#: What ``joint-registration report`` writes into a run's folder; another run there makes it untrue.
REPORT_NAME = "report.html"
RESULT_NAMES = (
    "warped.nrrd",
    "warped_labels.nrrd",
    "transform.h5",
    "inverse_transform.h5",
    "affine.tfm",
    "log2_jacobian.nrrd",
    METRICS_NAME,
)

_BYTES_PER_FIXED_VOXEL = 4 + 4 + 1  # warped, Jacobian, labels


def result_bytes(fixed: Grid, moving: Grid) -> int:
    """Estimate the bytes that the files of a result on these grids take."""
    return _BYTES_PER_FIXED_VOXEL * fixed.num_voxels + transform_bytes(fixed) + transform_bytes(moving)


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
    write_json(metrics if metrics is not None else result.summary(), folder / METRICS_NAME)
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


def read_metrics(folder: Path) -> dict[str, Any]:
    """``metrics.json`` of a finished run's folder.

    Raises:
        FileError: if it is not there, not what a run writes, or not what this run wrote.
    """
    return _metrics(read_run(folder))


def is_run(folder: Path) -> bool:
    """Return whether a registration wrote into ``folder``, or began to."""
    names = (METRICS_NAME, LOCK_NAME, PUBLISHING)
    return any((folder / name).exists() for name in names) or any(folder.glob(f"{UNFINISHED}*"))


def read_run(folder: Path) -> Manifest:
    """The manifest of the finished run in ``folder``.

    Raises:
        FileError: if there is no run, or one that was interrupted.
    """
    if not is_run(folder):
        raise FileError(
            f"{folder}: it holds no metrics.json; give the folder that joint-registration register or the demo wrote"
        )
    return read_manifest(folder)


def _metrics(run: Manifest) -> dict[str, Any]:
    run.check(METRICS_NAME)
    path = run.folder / METRICS_NAME
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise FileError(
            f"{path}: cannot be read ({error}); give the folder that joint-registration register or the demo wrote"
        ) from error
    if not isinstance(values, dict) or not {"config", "affine_ras", "ncc_after"} <= set(values):
        raise FileError(f"{path}: this is not the metrics.json of a run; give the folder of a run")
    return values


def read_result(folder: Path, moving_grid: Grid) -> RegistrationResult:
    """A result from the files that :func:`.results.write_result` wrote.

    Where the Jacobian determinant was at most 1/1024, folds included, the file holds that bound: counts of
    folds are those of ``metrics.json``.

    Args:
        folder: the run's.
        moving_grid: the moving image's, which no file but the image itself holds.

    Raises:
        FileError: if the run was interrupted, or a file is missing, damaged or of another run.
    """
    run = read_run(folder)
    values = _metrics(run)
    run.check("warped.nrrd", "log2_jacobian.nrrd", "transform.h5", "inverse_transform.h5")
    with malformed(folder / METRICS_NAME, "the metrics of a run", "give the folder of a run"):
        warped, log2 = read_image(folder / "warped.nrrd"), read_image(folder / "log2_jacobian.nrrd")
        grid = warped.grid
        return RegistrationResult(
            fixed_grid=grid,
            moving_grid=moving_grid,
            affine_ras=np.asarray(values["affine_ras"], dtype=np.float64),
            displacement_field_mm=read_transform(folder / "transform.h5").displacement_field(grid),
            inverse_displacement_field_mm=read_transform(folder / "inverse_transform.h5").displacement_field(
                moving_grid
            ),
            jacobian_determinant=np.exp2(log2.array.astype(np.float32)),
            warped=warped.array.astype(np.float32),
            folds=FoldCount(values["folds"], values["folds_percent"], values["folds_diagonal_only"]),
            similarity_before=_number(values["ncc_before"]),
            similarity_after=_number(values["ncc_after"]),
            inverse_error_mean_mm=_number(values["inverse_error_mean_mm"]),
            inverse_error_max_mm=_number(values["inverse_error_max_mm"]),
            timings_s=values["timings_s"],
            config=from_dict(RegistrationConfig, values["config"]),
            device=values["device"],
            notes=tuple(values["notes"]),
            landmark_errors_mm=_landmark_errors(values.get("landmarks")),
            evidence=_evidence(values.get("evidence")),
        )


def _number(value: float | None) -> float:
    """JSON has no NaN: it stands there as null."""
    return math.nan if value is None else float(value)


def _landmark_errors(values: dict[str, Any] | None) -> LandmarkErrors | None:
    if values is None:
        return None
    return LandmarkErrors(tuple(values["names"]), tuple(values["tre_before_mm"]), tuple(values["tre_after_mm"]))


def _evidence(values: dict[str, float | None] | None) -> Evidence | None:
    """As it was written; results of earlier versions have none."""
    if values is None:
        return None
    return Evidence(**{name: _number(value) for name, value in values.items()})
