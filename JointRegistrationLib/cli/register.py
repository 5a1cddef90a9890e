"""``joint-registration register``: its options. The work is in :mod:`.registration`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..core.config import DETAIL_WEIGHTS, DEVICES, METHOD_DESCRIPTIONS, METHODS, SIDES, RegistrationConfig
from .shared.failures import debug_option, interruptible

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
@click.option(
    "--landmark-weight",
    type=click.FloatRange(min=0),
    help=f"How hard landmark pairs pull at the deformation; 0 not at all, "
    f"{RegistrationConfig().landmarks.weight:g} if not given.",
)
@click.option("--method", type=click.Choice(METHODS), help=f"See above; {RegistrationConfig().method} if not given.")
@click.option(
    "--refine",
    type=click.IntRange(min=0),
    metavar="N",
    help=f"Iterations that refine avsm's prediction; {RegistrationConfig().network.refine} if not given.",
)
@click.option(
    "--detail",
    type=click.Choice(tuple(DETAIL_WEIGHTS)),
    help="How much detail refinement and vsvf-opt follow: fine (default), or smooth for small changes of one knee and "
    "for noisy images.",
)
@click.option("--side", type=click.Choice(SIDES), help="Which knee it is; auto (default) finds out.")
@click.option(
    "--check-side/--no-check-side",
    default=None,
    help="Refuse a left knee on a right one where both are certain (default).",
)
@click.option("--device", type=click.Choice(DEVICES), help="Where to compute; auto (default) takes a GPU if there is.")
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

        run(RegisterOptions(**options), interruption)
