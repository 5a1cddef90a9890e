"""``register``: one call from two images to a transform and what to know about it."""

from __future__ import annotations

import dataclasses
import time

import numpy as np
import torch
from torch import Tensor

from ..core.config import AffineConfig, LddmmConfig, PreprocessConfig, RegistrationConfig, VsvfConfig
from ..core.errors import ConfigError
from ..core.figures.contrast import contrast_remark
from ..core.figures.extremes import find_extremes
from ..core.geometry import FloatArray, Grid
from ..core.image import Image, LandmarkPairs
from ..core.inputs import RegistrationInputs
from ..core.lattices.working_grid import working_grid
from ..core.progress import CancelCheck, ProgressCallback, Reporter
from ..core.result import RegistrationResult, StartingMap
from ..ops.devices import choose_device, memory_errors
from ..ops.maps import apply_matrix, identity, resample_displacement
from ..ops.separable.resampling import resample, to_tensor
from ..ops.similarity.image_pair import ImagePair
from ..ops.similarity.measures import Correlation
from .evidence import find_evidence
from .landmarks import landmark_errors, landmark_term, starting_transform
from .local_map import LocalMap
from .methods.dispatch import estimate
from .methods.refinement import refined_further, resumed
from .native_grids import finish, slabs
from .preprocessing import check_image, check_mask, check_overlap, normalize, remarks_on


def register(
    fixed: Image,
    moving: Image,
    config: RegistrationConfig | None = None,
    progress: ProgressCallback | None = None,
    cancelled: CancelCheck | None = None,
    *,
    fixed_mask: Image | None = None,
    moving_mask: Image | None = None,
    landmarks: LandmarkPairs | None = None,
    initial_affine_ras: FloatArray | None = None,
    initial: RegistrationResult | StartingMap | None = None,
) -> RegistrationResult:
    """Register ``moving`` to ``fixed``.

    Args:
        fixed, moving, fixed_mask, moving_mask, landmarks, initial_affine_ras, initial: see
            :class:`.core.inputs.RegistrationInputs`; ``initial`` may be an earlier result, too.
        config: method, device and settings; defaults if None.
        progress: called with the stage, the fraction done (0 to 1) and the loss or None.
        cancelled: asked often; True ends the run.

    Returns:
        Transform, inverse, Jacobian, warped image and figures, all NumPy.

    Raises:
        InputError: an image, mask or landmark list cannot be used; the message says why.
        RegistrationCancelled: the caller asked to stop.
        ResourceError: the device is not there, or memory ran out.

    Example:
        >>> from JointRegistrationLib.files import read_image, write_transform
        >>> result = register(read_image("fixed.nii.gz"), read_image("moving.nii.gz"))  # doctest: +SKIP
        >>> result.similarity_after > result.similarity_before  # doctest: +SKIP
        True
    """
    begin = StartingMap.of(initial) if isinstance(initial, RegistrationResult) else initial
    inputs = RegistrationInputs(fixed, moving, fixed_mask, moving_mask, landmarks, initial_affine_ras, begin)
    return register_inputs(inputs, config or RegistrationConfig(), progress, cancelled)


def register_inputs(
    inputs: RegistrationInputs,
    config: RegistrationConfig,
    progress: ProgressCallback | None = None,
    cancelled: CancelCheck | None = None,
) -> RegistrationResult:
    """Register ``inputs.moving`` to ``inputs.fixed``; see :func:`register`."""
    reporter = Reporter("preparing", 0.0, 0.05, progress, cancelled)
    reporter.update(0.0)
    fixed_mask, fixed_remarks = _checked(inputs.fixed, inputs.fixed_mask, reporter)
    moving_mask, moving_remarks = _checked(inputs.moving, inputs.moving_mask, reporter)
    kinds = contrast_remark(inputs.fixed, inputs.moving, inputs.initial_affine_ras) if inputs.initial is None else ""
    inputs = dataclasses.replace(inputs, fixed_mask=fixed_mask, moving_mask=moving_mask)
    start = inputs.initial or _start(inputs, config.affine, use_landmarks=config.landmarks.start)
    device = choose_device(config.device)
    with memory_errors(device, "reduce preprocess.max_working_voxels, or close other programs"):
        result = _run(inputs, start, config, device, reporter)
    remarks = dict.fromkeys((*fixed_remarks, *moving_remarks, *([kinds] if kinds else ())))
    return dataclasses.replace(result, notes=(*result.notes, *remarks))


def _run(
    inputs: RegistrationInputs,
    start: FloatArray | StartingMap | None,
    config: RegistrationConfig,
    device: torch.device,
    reporter: Reporter,
) -> RegistrationResult:
    clock = _Clock(device)
    fixed, moving, landmarks = inputs.fixed, inputs.moving, inputs.landmarks
    pair = prepare_pair(fixed, moving, config.preprocess, device, inputs.fixed_mask, inputs.moving_mask, reporter)
    clock.lap("preparing")
    term, notes = landmark_term(landmarks, config.landmarks, fixed.grid, moving.grid, pair.fixed)
    stages = reporter.stage_named(config.method, 0.05, 0.85)
    if isinstance(start, StartingMap):
        found = refined_further(pair, _further(config), resumed(pair, start), stages, clock.lap, landmarks=term)
    else:
        found = estimate(pair, config, start, stages, clock.lap, landmarks=term)
    affine, local = found.affine_ras, found.local
    fields = finish(fixed.grid, moving, affine, local, reporter.stage_named("finishing", 0.85, 1.0))
    before, after = similarities(pair, affine, local)
    evidence = find_evidence(pair, affine, local, fields.jacobian_determinant)
    extremes = find_extremes(fields.jacobian_determinant, fields.inverse_error_max_mm)
    clock.lap("finishing")
    return RegistrationResult(
        fixed_grid=fixed.grid,
        moving_grid=moving.grid,
        affine_ras=affine,
        displacement_field_mm=fields.displacement_mm,
        inverse_displacement_field_mm=fields.inverse_displacement_mm,
        jacobian_determinant=fields.jacobian_determinant,
        warped=fields.warped,
        folds=fields.folds,
        similarity_before=before,
        similarity_after=after,
        inverse_error_mean_mm=fields.inverse_error_mean_mm,
        inverse_error_max_mm=fields.inverse_error_max_mm,
        timings_s=clock.timings(),
        config=config,
        device=str(device),
        notes=(*found.notes, *notes, *evidence.notes, *extremes.notes),
        landmark_errors_mm=landmark_errors(landmarks, fields.displacement_mm, fixed.grid) if landmarks else None,
        evidence=evidence,
    )


def prepare_pair(
    fixed: Image,
    moving: Image,
    config: PreprocessConfig,
    device: torch.device | str,
    fixed_mask: Image | None = None,
    moving_mask: Image | None = None,
    reporter: Reporter = Reporter(),  # noqa: B008 it is frozen
) -> ImagePair:
    """Normalised images and masks on their working grids, ready to compare; ``reporter`` is asked whether to stop."""

    def image(source: Image) -> tuple[Tensor, Grid]:
        grid = working_grid(source.grid, config.max_working_voxels)
        reporter.check()
        values = to_tensor(normalize(source.array, config), device)
        reporter.check()
        return resample(values, source.grid, grid.size_ijk), grid

    def mask(source: Image | None, grid: Grid) -> Tensor | None:
        return None if source is None else resample(to_tensor(source.array > 0, device), source.grid, grid.size_ijk)

    fixed_values, fixed_grid = image(fixed)
    moving_values, moving_grid = image(moving)
    return ImagePair(
        fixed_values,
        fixed_grid,
        moving_values,
        moving_grid,
        mask(fixed_mask, fixed_grid),
        mask(moving_mask, moving_grid),
    )


def similarities(pair: ImagePair, affine_ras: FloatArray, local: LocalMap) -> tuple[float, float]:
    """NCC on the working grid, where both images are, under the identity and under A o psi."""
    device = pair.fixed.device
    before, after = Correlation(), Correlation()
    with torch.no_grad():
        for keep, _, part in slabs(pair.fixed_grid, device):
            piece = pair.part(keep, part)
            here = identity(part, device=device)
            there = apply_matrix(affine_ras, here + resample_displacement(local.forward_mm, local.grid, part))
            for found, map_ras in ((before, here), (after, there)):
                found.add(piece.warped(map_ras), piece.fixed, piece.weight(map_ras))
    return before.value, after.value


def _checked(image: Image, mask: Image | None, reporter: Reporter) -> tuple[Image | None, tuple[str, ...]]:
    """The mask on the image's grid, and what is remarkable about both."""
    reporter.check()
    check_image(image)
    placed = None if mask is None else check_mask(mask, image)
    return placed, remarks_on(image, placed)


def _further(config: RegistrationConfig) -> VsvfConfig | LddmmConfig:
    """What a deformation found before is refined with; avsm refines as after its networks."""
    if config.deformation is None:
        raise ConfigError(
            f"registration.method: {config.method} does not deform, so it cannot refine a transform further; choose "
            "vsvf-opt, lddmm-opt or avsm"
        )
    return config.deformation


def _start(inputs: RegistrationInputs, config: AffineConfig, *, use_landmarks: bool) -> FloatArray | None:
    """The given starting transform, if any; refuses images that do not overlap under it."""
    start = inputs.initial_affine_ras
    if inputs.landmarks is not None and use_landmarks:
        start = starting_transform(inputs.landmarks, config.model)
    if start is not None or config.initialization in ("auto", "identity"):
        check_overlap(inputs.fixed, inputs.moving, start)
    return None if start is None else np.asarray(start, dtype=np.float64)


class _Clock:
    """Seconds of each stage; a GPU's stage is over when the GPU is done, not when all has been asked of it."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._begin = self._last = time.perf_counter()
        self._laps: dict[str, float] = {}

    def lap(self, stage: str) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        now = time.perf_counter()
        self._laps[stage] = now - self._last
        self._last = now

    def timings(self) -> dict[str, float]:
        return {**self._laps, "total": self._last - self._begin}
