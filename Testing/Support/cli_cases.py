"""What the tests of the command line share: small images on disk, and a register that takes no time."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
from click.testing import CliRunner, Result

from JointRegistrationLib.cli import cli
from JointRegistrationLib.core.config import RegistrationConfig
from JointRegistrationLib.core.geometry import Grid, transform_points
from JointRegistrationLib.core.image import Image
from JointRegistrationLib.core.inputs import RegistrationInputs
from JointRegistrationLib.core.progress import CancelCheck, ProgressCallback
from JointRegistrationLib.core.result import RegistrationResult
from JointRegistrationLib.files import write_image, write_labels
from JointRegistrationLib.registration.landmarks import landmark_errors
from Testing.Support.results import made_result

FIXED_GRID = Grid((18, 16, 14), (2.0, 2.0, 2.5), (-17.0, -15.0, -16.0))
MOVING_GRID = Grid((16, 18, 15), (2.2, 1.9, 2.4), (17.0, 16.0, -17.0), ((-1, 0, 0), (0, -1, 0), (0, 0, 1)))
ALL_NAMES = {
    "warped.nrrd",
    "warped_labels.nrrd",
    "transform.h5",
    "inverse_transform.h5",
    "affine.tfm",
    "log2_jacobian.nrrd",
    "metrics.json",
    "manifest.json",
}


def positions(grid: Grid) -> np.ndarray:
    """(k, j, i, 3) RAS mm."""
    k, j, i = np.indices(grid.shape)
    return transform_points(grid.ijk_to_ras, np.stack([i, j, k], axis=-1))


def blobs(grid: Grid, shift_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> np.ndarray:
    """Three smooth blobs, values 0 to about 100."""
    points = positions(grid) - np.asarray(shift_mm)
    centres = ((0, 0, 0, 100.0), (7, -5, 4, 70.0), (-8, 6, -6, 50.0))
    squared = [(w, ((points - np.array(c)) ** 2).sum(-1)) for *c, w in centres]
    return sum(w * np.exp(-d / 40) for w, d in squared).astype(np.float32)


def write_inputs(folder: Path) -> dict[str, Path]:
    """A fixed and a moving image, 2 mm apart, with label maps and landmarks; their paths by name."""
    shift = (2.0, -1.0, 0.5)
    paths = {
        "fixed": folder / "fixed.nii.gz",
        "moving": folder / "moving.nrrd",
        "fixed_labels": folder / "fixed_labels.nii.gz",
        "moving_labels": folder / "moving_labels.nrrd",
        "fixed_points": folder / "fixed.csv",
        "moving_points": folder / "moving.csv",
    }
    fixed, moving = blobs(FIXED_GRID), blobs(MOVING_GRID, shift)
    write_image(Image(fixed, FIXED_GRID), paths["fixed"])
    write_image(Image(moving, MOVING_GRID), paths["moving"])
    write_labels(Image((fixed > 20).astype(np.uint8) + (fixed > 60), FIXED_GRID), paths["fixed_labels"])
    write_labels(Image((moving > 20).astype(np.uint8) + (moving > 60), MOVING_GRID), paths["moving_labels"])
    points = np.array([[0, 0, 0], [7, -5, 4], [-8, 6, -6], [3, 3, 3]], dtype=float)
    np.savetxt(paths["fixed_points"], points, delimiter=",")
    np.savetxt(paths["moving_points"], points + shift, delimiter=",")
    return paths


def fake_result(fixed: Image, moving: Image, config: RegistrationConfig, shift_mm: np.ndarray) -> RegistrationResult:
    """A pure shift, as a result."""
    affine = np.eye(4)
    affine[:3, 3] = shift_mm
    return made_result(
        fixed.grid,
        moving.grid,
        affine_ras=affine,
        displacement_field_mm=np.broadcast_to(shift_mm, (*fixed.grid.shape, 3)).astype(np.float32),
        inverse_displacement_field_mm=np.broadcast_to(-shift_mm, (*moving.grid.shape, 3)).astype(np.float32),
        jacobian_determinant=np.full(fixed.grid.shape, 2.0, np.float32),
        warped=fixed.array.astype(np.float32),
        inverse_error_mean_mm=0.0,
        inverse_error_max_mm=float("nan"),
        timings_s={"total": 0.1},
        config=config,
        notes=("a note",),
    )


class FakeRegister:
    """Stands in for ``register.register_inputs``; remembers what it was given."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error
        self.given: dict[str, Any] = {}

    def __call__(
        self,
        inputs: RegistrationInputs,
        config: RegistrationConfig,
        progress: ProgressCallback | None = None,
        cancelled: CancelCheck | None = None,
    ) -> RegistrationResult:
        self.given = {**vars(inputs), "config": config, "progress": progress, "cancelled": cancelled}
        if progress is not None:
            progress("affine", 0.1, None)
            progress("affine", 0.2, 0.25)
            progress("finishing", 1.0, None)
        if self.error is not None:
            raise self.error
        result = fake_result(inputs.fixed, inputs.moving, config, np.array([2.0, -1.0, 0.5]))
        if inputs.landmarks is None:
            return result
        errors = landmark_errors(inputs.landmarks, result.displacement_field_mm, inputs.fixed.grid)
        return dataclasses.replace(result, landmark_errors_mm=errors)


def run(*arguments: object) -> Result:
    """The command line in this process."""
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])
