"""``joint-registration prepare``: its options. The work is in ``training.scans`` and ``training.prepare``."""

from __future__ import annotations

from pathlib import Path

import click

from ..core.errors import ConfigError
from .shared.failures import debug_option
from .shared.terminal import plain_line, say

_FILE = click.Path(path_type=Path)

_DESCRIPTION = """Turn the knees in FOLDER into training data in OUTPUT, split by patient 70 / 10 / 20.

    Each image (NIfTI, NRRD, MetaImage, or a folder with one DICOM series) is normalised and sampled on the
    canonical lattice; left knees are mirrored. Patient, visit and side come from

    \b
      DICOM tags    PatientID, StudyDate, Laterality, unless one of these is given:
      --pattern     a regular expression with the groups subject, visit and side, searched in the path
      --table       a CSV with the columns file, subject, visit, side and, if there are any, labels

    Only --table names label maps (1 femur, 2 its cartilage, 3 tibia, 4 its cartilage, 5 patella, 6 its
    cartilage). With them every preset of `train` works; without, the presets published-*, which learn from
    images alone.

    OUTPUT gets train, validation and test, scans.csv, the longitudinal and cross-subject pairs of each split,
    and test-files.csv for `evaluate`. Scans that are there already are kept: stop and repeat as you like. An
    image that cannot be used is named, with the reason, and left out.

    \b
    Examples:
      joint-registration prepare OAI runs/oai --description "SAG_3D_DESS" --jobs 8
      joint-registration prepare knees runs/oai --pattern "(?P<subject>\\d+)_(?P<visit>\\d+)m_(?P<side>LEFT|RIGHT)"
      joint-registration prepare knees runs/oai --table knees/scans.csv
    """


@click.command(help=_DESCRIPTION, short_help="Make training data from images of knees.")
@click.argument("folder", type=_FILE)
@click.argument("output", type=_FILE)
@click.option("--pattern", help="Where a path tells patient, visit and side; see above.")
@click.option("--table", type=_FILE, help="A CSV that tells them; see above.")
@click.option("--description", help="Take only DICOM series whose SeriesDescription this expression matches.")
@click.option("--side", type=click.Choice(("right", "left")), help="Of all knees of which nothing else tells it.")
@click.option(
    "--size",
    default=(80, 192, 192),
    show_default=True,
    nargs=3,
    type=click.IntRange(16),
    help="Voxels of the lattice along right, superior, anterior, over 112 x 140 x 140 mm.",
)
@click.option("--seed", default=0, show_default=True, help="Of the split and of the pairs.")
@click.option("--jobs", default=1, show_default=True, type=click.IntRange(1), help="Scans prepared at a time.")
@debug_option
def prepare(
    folder: Path,
    output: Path,
    pattern: str | None,
    table: Path | None,
    description: str | None,
    side: str | None,
    size: tuple[int, int, int],
    seed: int,
    jobs: int,
) -> None:
    """Find the scans, then prepare them; a line a scan."""
    if table is not None and (pattern or description or side):
        raise ConfigError("prepare: --table tells everything; leave out --pattern, --description and --side")
    from ..training.data import prepare as preparation  # noqa: PLC0415 takes seconds, so not for --help
    from ..training.data.scans import find_sources, read_table  # noqa: PLC0415

    if table is not None:
        sources = read_table(table, folder)
    else:
        sources = find_sources(folder, pattern=pattern, description=description, side=side)
    subjects = len({source.subject for source in sources})
    say(f"{len(sources)} scans of {subjects} patients")
    for line in preparation.prepare(sources, output, preparation.PrepareConfig(size, seed, jobs)):
        say(plain_line(line))
