"""``joint-registration report``: hands over to the view layer, which draws; this library does not."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import click

from ..core.errors import ResourceError
from .shared.failures import debug_option, interruptible
from .shared.terminal import say

_FILE = click.Path(path_type=Path)

#: What the report needs beside this library, the extra "scene", by module.
_NEEDED = {
    "JointRegistrationMRML": "JointRegistrationMRML",
    "JointRegistrationDemo": "JointRegistrationDemo",
    "slicer": "slicer-core",
}


@click.command(short_help="Pictures and figures of a run as one HTML file.")
@click.argument("run_dir", type=_FILE)
@click.option("-o", "--output", type=_FILE, help="The file to write; RUN_DIR/report.html if not given.")
@click.option("--fixed", type=_FILE, help="The fixed image, if it is not where it was during the run.")
@click.option("--moving", type=_FILE, help="The moving image, likewise.")
@debug_option
def report(run_dir: Path, output: Path | None, fixed: Path | None, moving: Path | None) -> None:
    """Write the pictures and figures of a run as one HTML file that needs nothing else.

    RUN_DIR is the folder that "joint-registration register" or the demo wrote. The two images are read from
    where they were then. Drawing needs slicer-core and Matplotlib, the extra "scene".
    """
    with interruptible():
        _check_installed()
        from JointRegistrationDemo.run_report import writeRunReport  # noqa: PLC0415 of the extra "scene"

        path = output or run_dir / "report.html"
        writeRunReport(run_dir, path, fixed, moving)
    say(f"Report    {path.resolve()}")


def _check_installed() -> None:
    """Raises ResourceError if something of the extra "scene" is not there."""
    missing = [package for module, package in _NEEDED.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise ResourceError(
            f"the report is drawn with packages that are not installed here: {', '.join(missing)}; install this "
            'program with its extra "scene": pip install ".[scene]" in a copy of the repository'
        )
