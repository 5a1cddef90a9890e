"""``joint-registration``: the library from a terminal.

A command is a file of this package and a line in :data:`COMMANDS`. Its file imports nothing heavy, so
that ``--help`` answers at once; the work is imported when the command runs.
"""

from __future__ import annotations

import io
import os
import sys

import click

from .. import __version__
from .evaluate import evaluate
from .info import info
from .make_sample import make_sample
from .prepare import prepare
from .register import register
from .report import report
from .segment import segment
from .shared.failures import CommandLine
from .train import export_weights, prepare_knees, prepare_pool, train
from .validate import validate

#: In the order of the help.
COMMANDS: tuple[click.Command, ...] = (
    register,
    segment,
    info,
    report,
    evaluate,
    make_sample,
    train,
    prepare,
    prepare_pool,
    prepare_knees,
    validate,
    export_weights,
)


@click.group(cls=CommandLine, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="joint-registration")
def cli() -> None:
    """Register knee MR images: lay a moving image onto a fixed one, affinely and then smoothly.

    \b
    Begin with
      joint-registration register fixed.nii.gz moving.nii.gz --output-dir out
      joint-registration info fixed.nii.gz

    \b
    The program ends with
      0  done              2  the input or an option cannot be used
      3  cancelled         4  not enough memory or disk, or no such device
    """


for _command in COMMANDS:
    cli.add_command(_command)


def main() -> None:
    """Entry point of the program."""
    # Threads that wait for work must sleep: by default they spin, and beside another busy program PyTorch's
    # many short steps then take six times as long (111 s for 18 s). Read when PyTorch is loaded, so before that.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names of files may have letters that the terminal lacks
    if "--debug" not in sys.argv:
        _silence_native_messages()
    cli(prog_name="joint-registration")


def _silence_native_messages() -> None:
    """Keep what C libraries print themselves off the terminal; our own messages still reach it.

    ITK and HDF5 report a bad file with up to a hundred lines on file descriptor 2, beside the one
    sentence that we print. Python's standard error goes on to the original place.
    """
    try:
        original = os.dup(2)
    except OSError:  # started without a standard error
        return
    with open(os.devnull, "w", encoding="utf-8") as nowhere:  # noqa: PTH123 a device, not a path
        os.dup2(nowhere.fileno(), 2)
    sys.stderr = os.fdopen(original, "w", encoding="utf-8", errors="backslashreplace", buffering=1)
