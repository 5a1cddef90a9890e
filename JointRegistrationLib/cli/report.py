"""``joint-registration report``: hands over to the view layer, which draws; this library does not."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import click

from ..core.errors import ResourceError
from ..core.system.children import module_command
from .shared.failures import debug_option, interruptible

_FILE = click.Path(path_type=Path)
_PROGRAM = "JointRegistrationViews.demo.run_report"

#: What the pictures need beside this library, by module.
_NEEDED = {"slicer": "slicer-core", "matplotlib": "matplotlib", "PIL": "Pillow"}


@click.command(short_help="Pictures and figures of a run as one HTML file.")
@click.argument("run_dir", type=_FILE)
@click.option("-o", "--output", type=_FILE, help="The file to write; RUN_DIR/report.html if not given.")
@click.option("--fixed", type=_FILE, help="The fixed image, if it is not where it was during the run.")
@click.option("--moving", type=_FILE, help="The moving image, likewise.")
@debug_option
def report(run_dir: Path, output: Path | None, fixed: Path | None, moving: Path | None) -> None:
    """Write the pictures and figures of a run as one HTML file that needs nothing else.

    RUN_DIR is the folder that "joint-registration register" or the demo wrote. The two images are read from
    where they were then. Drawing needs the extension's view layer and slicer-core (extra "scene").
    """
    with interruptible():
        _check_installed()
        options = {"--output": output, "--fixed": fixed, "--moving": moving}
        given = [text for name, value in options.items() if value is not None for text in (name, str(value))]
        command = module_command(_PROGRAM, str(run_dir), *given, folders=[_views_folder()])
        done = subprocess.run([command.program, *command.arguments], env=command.environment, check=False)
    sys.exit(done.returncode)


def _check_installed() -> None:
    """Raises ResourceError if the view layer, or something it needs, is not there."""
    missing = [package for module, package in _NEEDED.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise ResourceError(
            f"the report's pictures are drawn with packages that are not installed here: {', '.join(missing)}; "
            f"pip install {' '.join(missing)}"
        )
    if importlib.util.find_spec("JointRegistrationViews") is None:
        raise ResourceError(
            "the report's pictures are drawn by the extension's folder JointRegistrationViews, which is not on "
            "Python's path; in a copy of the repository: PYTHONPATH=.:JointRegistration joint-registration report ..."
        )


def _views_folder() -> Path:
    """The folder that the view layer was found in."""
    spec = importlib.util.find_spec(_PROGRAM.partition(".")[0])
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).parents[1]
