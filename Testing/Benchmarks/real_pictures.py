"""Pictures of what real_knees.py kept: fixed, moving, then warped image and log2 Jacobian of every method.

    python Testing/Benchmarks/real_pictures.py KEPT_FOLDER

One PNG a pair, KEPT_FOLDER/PAIR.png, a sagittal, a coronal and an axial slice through the middle of the fixed image.
They show data that may not be passed on: look at them, do not commit them.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "JointRegistration")]

from JointRegistrationLib.files import read_image  # noqa: E402
from JointRegistrationMRML.measure.images import brightnessRange  # noqa: E402
from JointRegistrationMRML.nodes.colors import sharedDivergingColors  # noqa: E402
from JointRegistrationMRML.nodes.jacobian import showJacobian  # noqa: E402
from JointRegistrationMRML.nodes.volumes import volumeFromImage  # noqa: E402
from JointRegistrationMRML.report.slices import mostTellingOffsets  # noqa: E402
from JointRegistrationMRML.scene.headless import createHeadlessScene  # noqa: E402
from Testing.Support.slice_plane import NORMAL_AXIS, ORIENTATIONS  # noqa: E402
from Testing.Support.slice_view import SliceViewRenderer  # noqa: E402

_INCHES = 3.2


def shown(scene: Any, path: Path, window: tuple[float, float] | None = None) -> Any:
    """An image file as a displayed volume node; with the brightness window of another image if given."""
    image = read_image(path)
    node = scene.AddNode(volumeFromImage(image, path.stem))
    node.CreateDefaultDisplayNodes()
    low, high = window or brightnessRange(image)
    node.GetDisplayNode().AutoWindowLevelOff()
    node.GetDisplayNode().SetWindowLevel(high - low, (high + low) / 2)
    return node


def columns(scene: Any, runs: list[Path], fixed_path: Path, moving_path: Path) -> list[tuple[str, Any, Any]]:
    """(title, background, foreground) of every column; the fixed image first."""
    fixed, window = shown(scene, fixed_path), brightnessRange(read_image(moving_path))
    found = [("fixed", fixed, None), ("moving", shown(scene, moving_path, window), None)]
    for run in runs:
        method = run.name.partition("--")[2]
        found.append((method, shown(scene, run / "warped.nrrd", window), None))
        log2 = read_image(run / "log2_jacobian.nrrd")
        node = shown(scene, run / "log2_jacobian.nrrd")
        showJacobian(node, sharedDivergingColors(scene), log2.array)
        found.append((f"log2 J, {method}", fixed, node))
    return found


def draw(folder: Path, pair: str) -> Path:
    """The picture of one pair."""
    hosted = createHeadlessScene()
    runs = sorted(path.parent for path in folder.glob(f"{pair}--*/metrics.json"))
    inputs = json.loads((runs[0] / "metrics.json").read_text())["inputs"]
    fixed_path, moving_path = Path(inputs["fixed"]), Path(inputs["moving"])
    found = columns(hosted.scene, runs, fixed_path, moving_path)
    offsets = mostTellingOffsets(read_image(fixed_path).grid, {})
    figure = Figure(figsize=(_INCHES * len(found), _INCHES * len(ORIENTATIONS)), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(ORIENTATIONS), len(found), squeeze=False)
    with SliceViewRenderer(hosted.scene, hosted.applicationLogic) as renderer:
        for row, orientation in zip(axes, ORIENTATIONS, strict=True):
            for place, (title, background, foreground) in zip(row, found, strict=True):
                picture = renderer.render(
                    orientation,
                    offsets[NORMAL_AXIS[orientation]],
                    background,
                    foreground=foreground,
                    fitTo=found[0][1],
                    longSidePx=320,
                )
                place.imshow(picture)
                place.set_title(title)
                place.axis("off")
    path = folder / f"{pair}.png"
    figure.savefig(path)
    return path


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True))
def main(folder: Path) -> None:
    """Draw every pair that real_knees.py --keep FOLDER left there."""
    for pair in sorted({path.parent.name.partition("--")[0] for path in folder.glob("*--*/metrics.json")}):
        click.echo(draw(folder, pair))


if __name__ == "__main__":
    main()
