"""``joint-registration register``: its options. The work is in :mod:`.registration`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from ..core.config import METHOD_DESCRIPTIONS
from ..core.settings import SETTINGS, Setting
from .shared.failures import debug_option, interruptible

_Command = TypeVar("_Command", bound=Callable[..., Any])

_FILE = click.Path(path_type=Path)

_METHODS = "\n".join(f"      {name:<13}{what}" for name, what in METHOD_DESCRIPTIONS.items())

_DESCRIPTION = f"""Lay the MOVING image onto the FIXED image.

    FIXED and MOVING are 3D images: NIfTI, NRRD, MetaImage, or a folder of DICOM files. They may
    differ in size, spacing and orientation. Where DICOM files hold several volumes, folder::name takes one.

    \b
    Written into the output folder:
      warped.nrrd             the moving image on the fixed image's grid
      warped_labels.nrrd      the moving labels there (with --moving-labels)
      transform.h5            fixed to moving points: what SimpleITK, ANTs and Slicer resample with
      inverse_transform.h5    moving to fixed points
      affine.tfm              the affine part of transform.h5
      log2_jacobian.nrrd      local change of volume: +1 double, -1 half in the moving image
      metrics.json            similarity, folds, inverse error, times, and the scores asked for

    \b
    Methods:
{_METHODS}

    \b
    Examples:
      joint-registration register visit1.nii.gz visit2.nii.gz --output-dir out
      joint-registration register fixed.nrrd moving.nrrd -o out --refine 40 --side left
      joint-registration register fixed.nrrd moving.nrrd -o out \\
          --moving-labels atlas.nrrd --fixed-labels manual.nrrd
      joint-registration register dicom-folder/ moving.nrrd -o out \\
          --landmarks-fixed F.mrk.json --landmarks-moving M.mrk.json
      joint-registration register fixed.nrrd moving.nrrd -o further \\
          --start-transform out/transform.h5 --method vsvf-opt
    """


def _settings(command: _Command) -> _Command:
    """Add an option for each setting of the table."""
    for name, setting in reversed(SETTINGS.items()):
        command = _option(name, setting)(command)
    return command


def _option(name: str, setting: Setting) -> Callable[[_Command], _Command]:
    flag, text, default = name.replace("_", "-"), setting.text, setting.default
    text = text.format(default=f"{default:g}" if isinstance(default, float) else default)
    if setting.choices:
        return click.option(f"--{flag}", type=click.Choice(setting.choices), help=text)
    if setting.limits is None:
        return click.option(f"--{flag}/--no-{flag}", default=None, help=text)
    least = setting.limits[0]
    number = click.IntRange(min=int(least)) if isinstance(default, int) else click.FloatRange(min=least)
    return click.option(f"--{flag}", type=number, metavar="N", help=text)


@click.command(help=_DESCRIPTION, short_help="Lay a moving image onto a fixed image.")
@click.argument("fixed", type=_FILE)
@click.argument("moving", type=_FILE)
@click.option("-o", "--output-dir", type=_FILE, required=True, help="Folder for the results; made if need be.")
@click.option("--overwrite", is_flag=True, help="Replace results of an earlier run in that folder.")
@click.option("--moving-labels", type=_FILE, help="Label map of the moving image, to warp along with it.")
@click.option("--fixed-labels", type=_FILE, help="Label map of the fixed image, to score the warped labels by.")
@click.option("--fixed-mask", type=_FILE, help="Where the fixed image counts: a label map, not 0 inside.")
@click.option("--moving-mask", type=_FILE, help="Where the moving image counts.")
@click.option("--landmarks-fixed", type=_FILE, help="Points in the fixed image: .mrk.json, .fcsv or .csv (RAS mm).")
@click.option("--landmarks-moving", type=_FILE, help="The same points in the moving image.")
@click.option("--initial-transform", type=_FILE, help="Affine to start from, fixed to moving (.tfm, .txt, .mat, .h5).")
@click.option(
    "--start-transform",
    type=_FILE,
    help="Map to refine further, fixed to moving: an earlier run's transform.h5, or a displacement field.",
)
@_settings
@click.option("--config", type=_FILE, help="Settings as JSON; a run's metrics.json shows all under 'config'.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing unless something is wrong.")
@debug_option
def register(**options: Any) -> None:
    """Check what options can be checked by themselves, then import PyTorch and run."""
    if (options["landmarks_fixed"] is None) != (options["landmarks_moving"] is None):
        raise click.UsageError("give both --landmarks-fixed and --landmarks-moving, or neither")
    if options["start_transform"] is not None and options["initial_transform"] is not None:
        raise click.UsageError("give --start-transform or --initial-transform, not both")
    if options["fixed_labels"] is not None and options["moving_labels"] is None:
        raise click.UsageError("--fixed-labels only scores warped labels; give --moving-labels too")
    with interruptible() as interruption:
        from .register_files import RegisterOptions, run  # noqa: PLC0415 takes seconds, so not for --help

        settings = {name: options.pop(name) for name in SETTINGS}
        run(RegisterOptions(**options, settings=settings), interruption)
