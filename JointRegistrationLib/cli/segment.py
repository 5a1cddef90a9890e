"""``joint-registration segment``: bones and cartilages of one image."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..core.config import DEVICES
from ..core.errors import FileError
from .shared.failures import debug_option, interruptible
from .shared.progress import shown_progress

if TYPE_CHECKING:
    from ..core.structures import Segmentation

_FILE = click.Path(path_type=Path)


@click.command(short_help="Find bones and cartilages in an image.")
@click.argument("image", type=_FILE)
@click.option("-o", "--output", required=True, type=_FILE, help="The label map to write: .nrrd, .nii.gz, .nii or .mha.")
@click.option("--overwrite", is_flag=True, help="Replace an existing file.")
@click.option("--weights", type=_FILE, help="Weights of another network in place of the package's.")
@click.option("--device", default="auto", show_default=True, type=click.Choice(DEVICES), help="Where to compute.")
@click.option("--quiet", is_flag=True, help="Print errors only.")
@debug_option
def segment(image: Path, output: Path, overwrite: bool, weights: Path | None, device: str, quiet: bool) -> None:
    """Find femur, tibia, patella and their cartilages in IMAGE, a knee of either side in any contrast.

    The label map lies on the image's own grid: 1 femur, 2 femoral cartilage, 3 tibia, 4 medial and 10 lateral tibial
    cartilage, 5 patella, 6 patellar cartilage. It is a proposal; what is printed as unsure needs a look.

    \b
    Example:
      joint-registration segment knee.nii.gz -o labels.nrrd
    """
    from ..files import read_image, write_labels  # noqa: PLC0415
    from ..segmentation.segment import segment as find  # noqa: PLC0415

    if output.exists() and not overwrite:
        raise FileError(f"{output}: exists already; choose another name, or give --overwrite")
    with interruptible() as interruption:
        with shown_progress(quiet=quiet) as progress:
            found = find(
                read_image(image), weights=weights, device=device, progress=progress, cancelled=interruption.asked
            )
        interruption.too_late()
        write_labels(found.labels, output)
    if not quiet:
        click.echo("\n".join(_summary(found, output)))


def _summary(found: Segmentation, output: Path) -> list[str]:
    from ..core.structures import LABELS  # noqa: PLC0415

    lines = [f"{'':<26}label  volume, ml  confidence"]
    millilitres = found.labels.grid.voxel_volume_mm3 / 1000
    for name, number in LABELS.items():
        volume = int((found.labels.array == number).sum()) * millilitres
        lines.append(f"{name:<26}{number:>5}{volume:>12.1f}{found.confidence[name]:>12.2f}")
    side = f"{found.side.side} knee" if found.side.log_odds > 0 else "side not known"
    lines.append(side if found.side.certain or not found.side.log_odds else f"{side}, not certain")
    if found.unsure:
        lines.append(f"look at it before use, unsure: {', '.join(found.unsure)}")
    return [*lines, f"written: {output}"]
