"""``joint-registration info``: its options. The work is in :mod:`.description`."""

from __future__ import annotations

from pathlib import Path

import click

from .shared.failures import debug_option
from .shared.terminal import plain_line, say


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@debug_option
def info(file: Path) -> None:
    """Describe FILE: an image, a label map, a transform, landmarks, or the folder of a run.

    \b
    Examples:
      joint-registration info knee.nii.gz
      joint-registration info out/transform.h5
      joint-registration info out
    """
    from .shared.description import describe  # noqa: PLC0415 takes a second, so not for --help

    say("\n".join(map(plain_line, describe(file))))
