"""Draw each view of docs/inspection.md: the sample pair, registered, in Slicer's own views off-screen.

    python Testing/Tools/inspection_pictures.py [docs/images]

A few minutes, most of them for the registration. With ``--run FOLDER`` (of ``joint-registration register``) it
draws that run instead, without segmentations or, with ``--labels FILE``, with those of the moving image alone: pictures
of data that may not be passed on are for looking only.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np
from PIL import Image as Picture

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "JointRegistration")]

from JointRegistrationLib.core.image import Image  # noqa: E402
from JointRegistrationLib.core.lattices.segments import SegmentLayers  # noqa: E402
from JointRegistrationLib.files import read_image, read_labels  # noqa: E402
from JointRegistrationLib.files.results import read_metrics, read_result  # noqa: E402
from JointRegistrationLib.worker.sample import LABELS  # noqa: E402
from JointRegistrationMRML.inspection.session import VIEWS, Inspection  # noqa: E402
from JointRegistrationMRML.nodes.segments.segmentations import segmentationFromLabels  # noqa: E402
from JointRegistrationMRML.nodes.volumes import volumeFromImage  # noqa: E402
from JointRegistrationMRML.run.register import registerVolumes  # noqa: E402
from JointRegistrationMRML.run.registration_nodes import InputNodes, RegistrationOutputs  # noqa: E402
from JointRegistrationMRML.scene.headless import createHeadlessScene  # noqa: E402
from JointRegistrationMRML.scene.sample_pair import addSamplePair  # noqa: E402
from Testing.Support.shown_now import pictureOf  # noqa: E402
from Testing.Support.slice_view import SliceViewRenderer  # noqa: E402
from Testing.Support.surface_view import SurfaceViewRenderer  # noqa: E402

#: Where the slices lie in the sample, and the size of each picture.
PLACES = (("Sagittal", 25.0), ("Coronal", 5.0))
LONG_SIDE_PX = 420
#: Outlines are drawn larger, and cut to the joint: its middle, as a share of the picture's width and height.
ZOOM = 2.4
JOINT = ((0.53, 0.48), (0.47, 0.52))
CARTILAGE = ("Femoral cartilage", "Tibial cartilage", "Patellar cartilage")
#: File name: view, options. Without segmentations the last ones are left out.
PICTURES: dict[str, tuple[str, dict[str, Any]]] = {
    "jacobian": ("jacobian", {}),
    "folds": ("folds", {}),
    "checkerboard": ("checkerboard", {}),
    "difference": ("difference", {}),
    "edges": ("edges", {}),
    "side-by-side": ("sideBySide", {}),
    "grid": ("grid", {}),
    "arrows": ("arrows", {}),
    "jacobian-inside": ("jacobian", {"inside": "Femur"}),
    "contours": ("contours", {}),
    "contours-live": ("contours", {"live": True, "segments": CARTILAGE}),
    "agreement": ("agreement", {}),
}


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("folder", type=click.Path(path_type=Path), default=ROOT / "docs" / "images")
@click.option("--run", type=click.Path(path_type=Path, exists=True), help="Folder of a finished run to draw instead.")
@click.option("--labels", type=click.Path(path_type=Path, exists=True), help="Label map of that run's moving image.")
def main(folder: Path, run: Path | None, labels: Path | None) -> None:
    """Write inspect-*.png into FOLDER."""
    hosted = createHeadlessScene()
    scene = hosted.scene
    with SliceViewRenderer(scene, hosted.applicationLogic) as renderer:
        outputs = _kept(scene, run, labels) if run else _sample(scene)
        composites = [_composite(scene, name) for name in ("Red", "Yellow")]
        places = [(o, _middle(outputs, o)) for o, _ in PLACES] if run else PLACES
        for name, (view, options) in PICTURES.items():
            if not _possible(outputs, view, options):
                continue
            given = _withFolds(outputs, places) if name == "folds" else outputs
            pixels = _drawn(renderer, Inspection(scene, given), given, composites, places, view, options)
            _save(folder / f"inspect-{name}.png", pixels)
        _drawSurfaces(hosted, Inspection(scene, outputs), outputs, folder)


def _possible(outputs: RegistrationOutputs, view: str, options: dict[str, Any]) -> bool:
    """Whether the run has the segmentations that a picture shows."""
    inputs = outputs.inputs
    if view == "agreement" or "inside" in options:
        return inputs.fixedSegmentation is not None
    return VIEWS[view].group != "segments" or inputs.movingSegmentation is not None


def _drawn(
    renderer: Any,
    inspection: Inspection,
    outputs: RegistrationOutputs,
    composites: list[Any],
    places: Any,
    view: str,
    options: dict[str, Any],
) -> np.ndarray:
    """A view's pictures next to each other; the scene is as before afterwards."""
    fixed = outputs.inputs.fixed
    if "inside" in options:
        options = {"inside": (outputs.inputs.fixedSegmentation, options["inside"])}
    for composite in composites:
        composite.SetBackgroundVolumeID(fixed.GetID())
    pictureOf(renderer, composites[0], *places[0], fixed, LONG_SIDE_PX)
    inspection.open(view, **options)
    if view == "sideBySide":
        found = [pictureOf(renderer, composite, *places[0], fixed, LONG_SIDE_PX) for composite in composites]
    else:
        close = VIEWS[view].group == "segments"
        size = round(LONG_SIDE_PX * (ZOOM if close else 1))
        found = [pictureOf(renderer, composites[0], *place, fixed, size) for place in places]
        if close:
            found = [_joint(picture, *place) for picture, place in zip(found, JOINT, strict=True)]
    inspection.closeAll()
    height = min(len(picture) for picture in found)
    return np.concatenate([picture[:height] for picture in found], axis=1)


def _joint(picture: np.ndarray, across: float, down: float) -> np.ndarray:
    height, width, _ = picture.shape
    top = round(down * height) - LONG_SIDE_PX // 2
    left = round(across * width) - LONG_SIDE_PX // 2
    return picture[top : top + LONG_SIDE_PX, left : left + LONG_SIDE_PX]


def _drawSurfaces(hosted: Any, inspection: Inspection, outputs: RegistrationOutputs, folder: Path) -> None:
    if outputs.inputs.movingSegmentation is None:
        return
    with SurfaceViewRenderer(hosted.scene, hosted.applicationLogic) as renderer:
        inspection.open("contours", surfaces=True, segments=CARTILAGE)
        _save(folder / "inspect-surfaces.png", renderer.render(sizePx=(LONG_SIDE_PX, LONG_SIDE_PX)))
        inspection.closeAll()


def _sample(scene: Any) -> RegistrationOutputs:
    """The sample pair, registered by the default method; its own displays are hidden, as views hide them."""
    pair = addSamplePair(scene)
    nodes = InputNodes(
        pair.fixed, pair.moving, movingSegmentation=pair.movingSegmentation, fixedSegmentation=pair.fixedSegmentation
    )
    outputs = registerVolumes(scene, nodes)
    for node in (pair.fixedSegmentation, pair.movingSegmentation, outputs.nodes.warpedSegmentation):
        node.GetDisplayNode().SetVisibility(False)
    return outputs


def _withFolds(outputs: RegistrationOutputs, places: Any) -> RegistrationOutputs:
    """The same run with two places declared folded, so that there is something to see; the map itself has none."""
    result = outputs.result
    determinant = result.jacobian_determinant.copy()
    center = result.fixed_grid.center_ras
    center[0], center[1] = places[0][1], places[1][1]
    k, j, i = np.indices(determinant.shape)
    for shift, radius in (((0, 0, 20), 4.0), ((0, 0, -25), 2.5)):
        matrix = result.fixed_grid.ijk_to_ras
        ras = np.stack([i, j, k], axis=-1) @ matrix[:3, :3].T + matrix[:3, 3] - center - shift
        determinant[np.square(ras).sum(axis=-1) < radius**2] = -0.1
    nodes = replace(outputs.nodes, folds=None)
    return replace(outputs, nodes=nodes, result=replace(result, jacobian_determinant=determinant))


def _kept(scene: Any, run: Path, labels: Path | None) -> RegistrationOutputs:
    """A run's files as nodes."""
    metrics = read_metrics(run)
    images = [read_image(metrics["inputs"][which]) for which in ("fixed", "moving")]
    result = read_result(run, images[1].grid)
    volumes = [scene.AddNode(volumeFromImage(image, image.name)) for image in images]
    for volume in volumes:
        volume.CreateDefaultDisplayNodes()
    segmentation = None if labels is None else _segmentation(scene, labels)
    return registerVolumes(scene, InputNodes(*volumes, movingSegmentation=segmentation), runner=lambda *_: result)


def _segmentation(scene: Any, path: Path) -> Any:
    """The label map as a hidden segmentation; labels as in the sample pair, lesions left out."""
    image = read_labels(path)
    layer = np.where(image.array <= max(LABELS), image.array, 0).astype(np.uint8)
    node = scene.AddNode(segmentationFromLabels(SegmentLayers.of(Image(layer, image.grid), LABELS), "moving tissues"))
    node.CreateDefaultDisplayNodes()
    node.GetDisplayNode().SetVisibility(False)
    return node


def _middle(outputs: RegistrationOutputs, orientation: str) -> float:
    axis = {"Sagittal": 0, "Coronal": 1}[orientation]
    return float(outputs.result.fixed_grid.center_ras[axis])


def _composite(scene: Any, name: str) -> Any:
    node = scene.AddNewNodeByClass("vtkMRMLSliceCompositeNode", name)
    node.SetLayoutName(name)
    return node


def _save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Picture.fromarray(pixels).quantize(256).save(path, optimize=True)
    print(path, path.stat().st_size // 1000, "kB")  # noqa: T201


if __name__ == "__main__":
    main()
