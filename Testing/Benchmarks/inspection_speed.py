"""How long each view takes to open, and a slice to draw: 384 x 384 x 160 voxels, six segments.

    python Testing/Benchmarks/inspection_speed.py

The sample knees with every voxel split in eight, and the known smooth map of a shear in place of a registration:
opening a view does not depend on the map. Seconds of processor time, which another program does not change.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "JointRegistration")]

from JointRegistrationLib.core.geometry import Grid  # noqa: E402
from JointRegistrationLib.core.image import Image  # noqa: E402
from JointRegistrationLib.core.lattices.segments import SegmentLayers  # noqa: E402
from JointRegistrationLib.core.progress import finished  # noqa: E402
from JointRegistrationLib.core.result import FoldCount, RegistrationResult  # noqa: E402
from JointRegistrationLib.files import read_image, read_labels  # noqa: E402
from JointRegistrationLib.worker import sample  # noqa: E402
from JointRegistrationMRML.inspection.session import VIEWS, Inspection  # noqa: E402
from JointRegistrationMRML.nodes.segments.segmentations import segmentationFromLabels  # noqa: E402
from JointRegistrationMRML.nodes.volumes import imageFromVolume, volumeFromImage  # noqa: E402
from JointRegistrationMRML.run.register import registerVolumes  # noqa: E402
from JointRegistrationMRML.run.registration_nodes import InputNodes  # noqa: E402
from JointRegistrationMRML.scene.headless import createHeadlessScene  # noqa: E402
from JointRegistrationMRML.scene.sample_pair import sampleFileSteps  # noqa: E402
from Testing.Support.results import made_result  # noqa: E402
from Testing.Support.shown_now import pictureOf  # noqa: E402
from Testing.Support.slice_view import SliceViewRenderer  # noqa: E402

_VIEW_PX = 512


def main() -> None:
    """Print a line for each view."""
    hosted = createHeadlessScene()
    scene = hosted.scene
    nodes = _nodes(scene)
    result = _result(nodes)
    outputs = registerVolumes(scene, nodes, runner=lambda *_: result)
    for node in (nodes.fixedSegmentation, nodes.movingSegmentation, outputs.nodes.warpedSegmentation):
        node.GetDisplayNode().SetVisibility(False)
    composite = scene.AddNewNodeByClass("vtkMRMLSliceCompositeNode", "Red")
    composite.SetLayoutName("Red")
    inside = (nodes.fixedSegmentation, nodes.fixedSegmentation.GetSegmentation().GetNthSegmentID(0))
    todo: list[tuple[str, dict[str, Any]]] = [(name, {}) for name in VIEWS]
    todo += [("contours", {"live": True}), ("contours", {"surfaces": True}), ("jacobian", {"inside": inside})]
    inspection = Inspection(scene, outputs)
    print(result.fixed_grid.size_ijk)  # noqa: T201
    with SliceViewRenderer(scene, hosted.applicationLogic) as renderer:
        for name, options in todo:
            composite.SetBackgroundVolumeID(nodes.fixed.GetID())
            opening = _seconds(lambda name=name, options=options: inspection.open(name, **options))
            drawing = [
                _seconds(lambda at=at: pictureOf(renderer, composite, "Sagittal", at, nodes.fixed, _VIEW_PX))
                for at in np.arange(20.0, 30.0)
            ]
            closing = _seconds(inspection.closeAll)
            print(  # noqa: T201
                f"{name + ' ' + ', '.join(options):22} open {opening:5.2f} s   slice {np.median(drawing[1:]):5.3f} s   "
                f"close {closing:5.2f} s",
                flush=True,
            )


def _seconds(action: Callable[[], Any]) -> float:
    start = time.process_time()
    action()
    return time.process_time() - start


def _nodes(scene: Any) -> InputNodes:
    folder = finished(sampleFileSteps())

    def added(node: Any) -> Any:
        scene.AddNode(node)
        node.CreateDefaultDisplayNodes()
        return node

    def segmentation(name: str) -> Any:
        image = read_labels(folder / name)
        fine = Image(_splitArray(image.array), _split(image.grid), name)
        return segmentationFromLabels(SegmentLayers.of(fine, sample.LABELS), name)

    def volume(name: str) -> Any:
        image = read_image(folder / name)
        return volumeFromImage(Image(_splitArray(image.array), _split(image.grid), name), name)

    return InputNodes(
        added(volume(sample.FIXED)),
        added(volume(sample.MOVING)),
        fixedSegmentation=added(segmentation(sample.FIXED_LABELS)),
        movingSegmentation=added(segmentation(sample.MOVING_LABELS)),
    )


def _result(nodes: InputNodes) -> RegistrationResult:
    fixed, moving = imageFromVolume(nodes.fixed), imageFromVolume(nodes.moving)
    field = np.zeros((*fixed.grid.shape, 3), np.float32)
    field[..., 0] = 3 * np.sin(np.linspace(0, 6, fixed.grid.shape[0], dtype=np.float32))[:, None, None]
    inverse = np.ascontiguousarray(-field)
    determinant = np.ones(fixed.grid.shape, np.float32)
    determinant += 0.3 * np.sin(np.linspace(0, 9, fixed.grid.shape[2], dtype=np.float32))
    determinant[50:53, 100:104, 100:104] = -0.2
    return made_result(
        fixed.grid,
        moving.grid,
        displacement_field_mm=field,
        inverse_displacement_field_mm=inverse,
        jacobian_determinant=determinant,
        warped=moving.array.astype(np.float32),
        folds=FoldCount(48, 0.0, 48),
    )


def _splitArray(array: np.ndarray) -> np.ndarray:
    return array.repeat(2, 0).repeat(2, 1).repeat(2, 2)


def _split(grid: Grid) -> Grid:
    matrix = grid.ijk_to_ras
    halves = matrix @ np.diag([0.5, 0.5, 0.5, 1.0])
    halves[:3, 3] -= matrix[:3, :3] @ np.full(3, 0.25)
    return Grid.from_ijk_to_ras([2 * n for n in grid.size_ijk], halves)


if __name__ == "__main__":
    main()
