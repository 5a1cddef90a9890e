"""Picture of the thickness change for docs/inspection.md: a procedural knee against itself, moved and worn.

    python Testing/Tools/thickness_pictures.py docs/images/thickness-change.png

The moving knee has lost four fifths of its femoral cartilage at one place of either condyle; the map between
the two is the known one.
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image as Picture

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "JointRegistration")]

from JointRegistrationLib.config import RegistrationConfig  # noqa: E402
from JointRegistrationLib.geometry import Grid  # noqa: E402
from JointRegistrationLib.image import Image  # noqa: E402
from JointRegistrationLib.maps import identity, jacobian_determinant  # noqa: E402
from JointRegistrationLib.phantom import CartilageLesion, KneeShape, default_grid, random_deformation  # noqa: E402
from JointRegistrationLib.phantom.anatomy import KneeAnatomy, labels  # noqa: E402
from JointRegistrationLib.phantom.knee import lattice_points  # noqa: E402
from JointRegistrationLib.result import FoldCount, RegistrationResult  # noqa: E402
from JointRegistrationLib.sample import LABELS, SEED  # noqa: E402
from JointRegistrationMRML.number_nodes import addNumbers  # noqa: E402
from JointRegistrationMRML.numbers import measure  # noqa: E402
from JointRegistrationMRML.publish import InputNodes, OutputNodes, RegistrationOutputs  # noqa: E402
from JointRegistrationMRML.scene import createHeadlessScene  # noqa: E402
from JointRegistrationMRML.segmentations import LabelLayers, SegmentLabel, segmentationFromLabels  # noqa: E402
from JointRegistrationMRML.transaction import SceneTransaction  # noqa: E402
from JointRegistrationMRML.undo import RunRecord  # noqa: E402
from JointRegistrationMRML.volumes import volumeFromImage  # noqa: E402
from JointRegistrationViews.surface_view import SurfaceViewRenderer  # noqa: E402

SIZE_PX = (860, 600)  # room for the legend beside the surface
#: From below and in front: the weight-bearing condyles of the femur; and from above, the tibia.
TOWARDS = ((0.25, 0.9, -0.75), (0.0, -0.6, -0.8))
LESIONS = (
    CartilageLesion("femoral-medial", (0.0, 4.0, 0.0), 8.0, 0.8),
    CartilageLesion("femoral-lateral", (0.0, 8.0, 0.0), 6.0, 0.8),
)
CHUNK = 1 << 17


def kneeLabels(shape: KneeShape, grid: Grid, back: object = None) -> np.ndarray:
    """Bones and cartilages alone, (k, j, i): seconds instead of minutes. ``back``: grid points to the knee's."""
    anatomy = KneeAnatomy(shape)
    found = np.empty(grid.num_voxels, np.uint8)
    for start in range(0, grid.num_voxels, CHUNK):
        stop = min(start + CHUNK, grid.num_voxels)
        points = lattice_points(grid, start, stop)
        points = points if back is None else back(points)  # type: ignore[operator]
        found[start:stop] = labels(anatomy._skeleton.distances(anatomy.frame(points))).numpy()
    return found.reshape(grid.shape)


def segmentation(scene: object, array: np.ndarray, grid: Grid, name: str) -> object:
    segments = tuple(SegmentLabel(title, title, color, 0, value) for value, (title, color) in LABELS.items())
    return scene.AddNode(segmentationFromLabels(LabelLayers(grid, (array,), segments), name))  # type: ignore[attr-defined]


def main(path: Path) -> None:
    full = default_grid()
    grid = full.cropped((40, 70, 6), (290, 250, 148)).resized((180, 156, 148))  # the joint
    deformation = random_deformation(SEED)
    shape = KneeShape(seed=SEED)
    worn = dataclasses.replace(shape, lesions=LESIONS)
    field = deformation.displacement_field_mm(grid)
    determinant = jacobian_determinant(torch.as_tensor(field).movedim(-1, 0)[None] + identity(grid), grid)
    headless = createHeadlessScene()
    scene = headless.scene
    empty = np.zeros(grid.shape, np.float32)
    fixed, moving = (scene.AddNode(volumeFromImage(Image(empty, grid), name)) for name in ("Fixed", "Moving"))
    result = RegistrationResult(
        grid, grid, np.eye(4), field, -field, determinant[0, 0].numpy(), empty, FoldCount(0, 0.0, 0),
        0.0, 0.0, 0.0, 0.0, {}, RegistrationConfig(), "cpu",
    )  # fmt: skip
    inputs = InputNodes(
        fixed,
        moving,
        fixedSegmentation=segmentation(scene, kneeLabels(shape, grid), grid, "Fixed labels"),
        movingSegmentation=segmentation(scene, kneeLabels(worn, grid, deformation.inverse), grid, "Moving labels"),
    )
    outputs = RegistrationOutputs(OutputNodes(), 0, result, inputs, RunRecord(SceneTransaction(scene)))
    figures = measure(outputs)
    nodes = addNumbers(scene, outputs, figures)
    with SurfaceViewRenderer(scene, headless.applicationLogic) as view:
        for model in nodes.models[1:]:
            model.GetDisplayNode().SetVisibility(False)
        pictures = [view.render(towards, SIZE_PX) for towards in TOWARDS]
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Picture.fromarray(np.concatenate(pictures, axis=1))
    picture.quantize(256, Picture.Quantize.FASTOCTREE).save(path, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
