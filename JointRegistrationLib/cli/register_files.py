"""One registration from files to files."""

from __future__ import annotations

import dataclasses
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch

from .. import __version__
from ..core.config import RegistrationConfig
from ..core.errors import ConfigError, InputError
from ..core.figures.metrics import label_metrics
from ..core.image import Image
from ..core.inputs import RegistrationInputs
from ..core.lattices.onto_grid import check_belongs, on_grid_of
from ..core.lattices.sampling import warp_label_image
from ..core.lattices.working_grid import working_grid
from ..core.result import RegistrationResult
from ..core.serialization import from_json, to_dict
from ..core.settings import with_settings
from ..core.system.reading import read_text
from ..files import (
    REPORT_NAME,
    RESULT_NAMES,
    output_folder,
    read_image,
    read_labels,
    read_landmark_pairs,
    read_mask,
    read_transform,
    result_bytes,
    starting_map,
    write_result,
)
from ..ops.devices import peak_memory_mb
from ..registration import register
from .shared.failures import Interruption
from .shared.progress import shown_progress
from .shared.terminal import say


@dataclass(frozen=True)
class RegisterOptions:
    """The command's options, by name; ``settings`` by the names of ``core.settings``, None if not given."""

    fixed: Path
    moving: Path
    output_dir: Path
    overwrite: bool
    moving_labels: Path | None
    fixed_labels: Path | None
    fixed_mask: Path | None
    moving_mask: Path | None
    landmarks_fixed: Path | None
    landmarks_moving: Path | None
    initial_transform: Path | None
    start_transform: Path | None
    config: Path | None
    quiet: bool
    settings: dict[str, Any]


@dataclass(frozen=True)
class _Inputs(RegistrationInputs):
    fixed_labels: Image | None = None
    moving_labels: Image | None = None


def run(options: RegisterOptions, interruption: Interruption) -> None:
    """Read, register, score and write; all results appear together at the end.

    Raises:
        JointRegistrationError: for what cannot be used, read, computed or written.
    """
    config = _config(options)
    inputs = _read(options, config)
    num_bytes = result_bytes(inputs.fixed.grid, inputs.moving.grid)
    names = (*RESULT_NAMES, REPORT_NAME)
    with output_folder(options.output_dir, names, num_bytes=num_bytes, overwrite=options.overwrite) as folder:
        with shown_progress(quiet=options.quiet) as progress:
            result = register.register_inputs(inputs, config, progress, interruption.asked)
        warped_labels = _warped_labels(inputs, result)
        metrics = _metrics(options, inputs, result, warped_labels)
        written = write_result(result, folder, metrics, warped_labels=warped_labels)
        interruption.too_late()
    if not options.quiet:
        _print_summary(metrics, options.output_dir, written)


# -- what goes in -----------------------------------------------------------------------------------------


def read_config(path: Path | None) -> RegistrationConfig:
    """Settings from a JSON file; the defaults without one.

    Raises:
        FileError: if it cannot be read.
        ConfigError: if it holds an unknown setting or a value out of range.
    """
    if path is None:
        return RegistrationConfig()
    text = read_text(path, "give a JSON file of settings")
    try:
        return from_json(RegistrationConfig, text)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def _config(options: RegisterOptions) -> RegistrationConfig:
    """Defaults, then the file, then the options. A method that was asked for by name is run, or nothing."""
    config = with_settings(read_config(options.config), options.settings)
    if options.settings["refine"] is not None and config.method != "avsm":
        raise click.UsageError(f"--refine refines what the networks predict; give --method avsm (not {config.method})")
    if options.settings["method"] is None:
        return config
    return dataclasses.replace(config, network=dataclasses.replace(config.network, fallback=False))


def _read(options: RegisterOptions, config: RegistrationConfig) -> _Inputs:
    fixed, moving = read_image(options.fixed), read_image(options.moving)
    fixed_labels, moving_labels = (
        None if path is None else read_labels(path) for path in (options.fixed_labels, options.moving_labels)
    )
    if fixed_labels is not None:
        fixed_labels = on_grid_of(fixed_labels, fixed)
    if moving_labels is not None:  # carried over from their own grid, whichever that is
        check_belongs(moving_labels, moving)
    landmarks = None
    if options.landmarks_fixed is not None and options.landmarks_moving is not None:
        landmarks = read_landmark_pairs(options.landmarks_fixed, options.landmarks_moving)
    start = None if options.initial_transform is None else _initial_affine(options.initial_transform)
    fixed_mask, moving_mask = (
        None if path is None else read_mask(path) for path in (options.fixed_mask, options.moving_mask)
    )
    initial = None
    if options.start_transform is not None:
        grid = working_grid(fixed.grid, config.preprocess.max_working_voxels)
        initial = starting_map(read_transform(options.start_transform), grid)
    return _Inputs(fixed, moving, fixed_mask, moving_mask, landmarks, start, initial, fixed_labels, moving_labels)


def _initial_affine(path: Path) -> np.ndarray[Any, np.dtype[np.float64]]:
    transform = read_transform(path)
    if not transform.is_linear:
        raise InputError(
            f"{path}: --initial-transform takes an affine transform, but this one consists of "
            f"{', then '.join(transform.parts)}; give a deformation as --start-transform"
        )
    return transform.matrix_ras


# -- what comes out ---------------------------------------------------------------------------------------


def _warped_labels(inputs: _Inputs, result: RegistrationResult | None) -> Image | None:
    """The moving labels on the fixed grid: through the result, or, without one, where they are."""
    labels = inputs.moving_labels
    if labels is None:
        return None
    field = None if result is None else result.displacement_field_mm
    warped = warp_label_image(labels, inputs.fixed.grid, field, threads=torch.get_num_threads())
    return dataclasses.replace(warped, name=f"warped {labels.name}")


def _metrics(
    options: RegisterOptions, inputs: _Inputs, result: RegistrationResult, warped_labels: Image | None
) -> dict[str, Any]:
    metrics = result.summary()
    metrics["notes"] = [*metrics["notes"], *_label_remarks(inputs)]
    if inputs.fixed_labels is not None and warped_labels is not None:
        before = _warped_labels(inputs, None)
        assert before is not None
        metrics["labels"] = _label_scores(inputs.fixed_labels, before, warped_labels)
    metrics["peak_memory_mb"] = peak_memory_mb()
    metrics["inputs"] = {
        name: str(value.absolute()) for name, value in dataclasses.asdict(options).items() if isinstance(value, Path)
    }
    metrics["versions"] = {
        "joint-registration": __version__,
        "python": sys.version.split()[0],
        **{package: version(package) for package in ("torch", "SimpleITK", "numpy")},
    }
    metrics["config"] = to_dict(result.config)
    return metrics


def _label_remarks(inputs: _Inputs) -> list[str]:
    given = [labels.remarks for labels in (inputs.fixed_labels, inputs.moving_labels) if labels is not None]
    return [remark for remarks in given for remark in remarks]


def _label_scores(fixed: Image, before: Image, after: Image) -> dict[str, Any]:
    scores = {name: label_metrics(fixed, labels) for name, labels in (("before", before), ("after", after))}
    values = sorted(set(scores["before"]) | set(scores["after"]))
    return {
        str(value): {
            name: dataclasses.asdict(by_label[value]) for name, by_label in scores.items() if value in by_label
        }
        for value in values
    }


def _print_summary(metrics: dict[str, Any], folder: Path, names: list[str]) -> None:
    say(f"similarity (NCC)  {metrics['ncc_before']:.3f} -> {metrics['ncc_after']:.3f}")
    say(f"folds             {metrics['folds']} voxels ({metrics['folds_percent']:.4g} %)")
    say(
        f"inverse error     {metrics['inverse_error_mean_mm']:.3g} mm on average, "
        f"{metrics['inverse_error_max_mm']:.3g} mm at most"
    )
    for value, scores in metrics.get("labels", {}).items():
        before, after = (scores.get(name, {}).get("dice", float("nan")) for name in ("before", "after"))
        say(f"Dice, label {value:<6}{before:.3f} -> {after:.3f}")
    if "landmarks" in metrics:
        scores = metrics["landmarks"]
        say(f"landmark error    {scores['tre_before_mean_mm']:.2f} -> {scores['tre_after_mean_mm']:.2f} mm on average")
    say(f"time              {metrics['timings_s']['total']:.1f} s on {metrics['device']}")
    for note in metrics["notes"]:
        say(f"note: {note}")
    say(f"written to {folder}: {', '.join(names)}")
