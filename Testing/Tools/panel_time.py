"""What the panel adds to the library's own time: reading the inputs, and adding the results, at 384 x 384 x 160 voxels.

    python Testing/Tools/panel_time.py

Processor time of this process, which other programs disturb less than a clock; the least of three runs.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "JointRegistration")]

from JointRegistrationLib.config import RegistrationConfig  # noqa: E402
from JointRegistrationLib.geometry import Grid  # noqa: E402
from JointRegistrationLib.image import Image  # noqa: E402
from JointRegistrationLib.result import FoldCount, RegistrationResult  # noqa: E402
from JointRegistrationLib.worker.exchange import read_result, write_result  # noqa: E402
from JointRegistrationLib.worker.folders import new_folder, remove_folder  # noqa: E402
from JointRegistrationMRML.logic import inputSteps  # noqa: E402
from JointRegistrationMRML.publish import InputNodes, OutputOptions, publishResult  # noqa: E402
from JointRegistrationMRML.scene import createHeadlessScene  # noqa: E402
from JointRegistrationMRML.segmentations import LabelLayers, SegmentLabel, segmentationFromLabels  # noqa: E402
from JointRegistrationMRML.transforms import gridTransformNode  # noqa: E402
from JointRegistrationMRML.undo import discard  # noqa: E402
from JointRegistrationMRML.volumes import volumeFromImage  # noqa: E402

GRID = Grid((384, 384, 160), (0.36, 0.36, 0.7), (-69.0, -69.0, -56.0))
_BALLS = (((-0.4, 0, 0), 0.3), ((0.4, 0, 0), 0.3), ((0, 0.4, 0), 0.2), ((0, -0.4, 0.2), 0.2), ((0, 0, -0.6), 0.2))


def main() -> None:
    """Measure, and print a line for each case."""
    scene = createHeadlessScene().scene
    result, nodes = _result(), _nodes(scene)
    everything, usual = OutputOptions(), OutputOptions(affine=False, folds=False, showMovingTransformed=True)
    plain = InputNodes(nodes["fixed"], nodes["moving"])
    labelled = InputNodes(
        *(nodes["fixed"], nodes["moving"]),
        movingSegmentation=nodes["moving labels"],
        fixedSegmentation=nodes["fixed labels"],
    )
    _report("results, as the panel's first settings", min(_publish(scene, plain, result, usual) for _ in range(3)))
    _report("the same, with segments and Dice", min(_publish(scene, labelled, result, usual) for _ in range(3)))
    _report("every result", min(_publish(scene, labelled, result, everything) for _ in range(3)))
    _longest("inputs", plain)
    _longest("with a mask", InputNodes(nodes["fixed"], nodes["moving"], fixedMask=nodes["fixed labels"]))
    bend = scene.AddNode(gridTransformNode(np.full((8, 8, 8, 3), 2.0, np.float32), _coarse(), "bend"))
    for name in ("moving", "moving labels"):
        nodes[name].SetAndObserveTransformNodeID(bend.GetID())
    _longest(
        "volume and mask under a grid", InputNodes(nodes["fixed"], nodes["moving"], movingMask=nodes["moving labels"])
    )


def _report(what: str, seconds: float) -> None:
    sys.stdout.write(f"{what:40s} {seconds:6.2f} s\n")


def _publish(scene: Any, nodes: InputNodes, result: RegistrationResult, options: OutputOptions) -> float:
    folder = new_folder(2**30, (Path("/dev/shm"), Path(tempfile.gettempdir())))
    write_result(folder, result)
    began = time.process_time()
    outputs = publishResult(scene, nodes, read_result(folder), options)
    remove_folder(folder)
    taken = time.process_time() - began
    discard(scene, outputs.record)
    return taken


def _longest(what: str, nodes: InputNodes) -> None:
    steps = list(_timed(nodes))
    longest = f"in {len(steps)} steps, the longest {1000 * max(steps):.0f} ms"
    sys.stdout.write(f"reading {what:32s} {sum(steps):6.2f} s {longest}\n")


def _timed(nodes: InputNodes) -> Iterator[float]:
    reading = inputSteps(nodes)
    while True:
        began = time.process_time()
        if next(reading, "end") == "end":
            return
        yield time.process_time() - began


def _lattice() -> tuple[np.ndarray, ...]:
    return np.meshgrid(*(np.linspace(-1, 1, n, dtype=np.float32) for n in GRID.shape), indexing="ij")


def _coarse() -> Grid:
    return Grid((8, 8, 8), (20.0, 20.0, 16.0), (-70.0, -70.0, -57.0))


def _nodes(scene: Any) -> dict[str, Any]:
    k, j, i = _lattice()
    labels = np.zeros(GRID.shape, np.uint8)
    for value, (center, radius) in enumerate(_BALLS, start=1):
        labels[(k - center[0]) ** 2 + (j - center[1]) ** 2 + (i - center[2]) ** 2 < radius**2] = value
    segments = tuple(SegmentLabel(f"s{n}", f"s{n}", (1.0, 0.0, 0.0), 0, n) for n in range(1, len(_BALLS) + 1))
    voxels = (200 + 100 * np.sin(9 * i) * np.cos(7 * j)).astype(np.int16)
    nodes = {name: volumeFromImage(Image(voxels, GRID, name), name) for name in ("fixed", "moving")}
    for name in ("fixed labels", "moving labels"):
        nodes[name] = segmentationFromLabels(LabelLayers(GRID, (labels,), segments), name)
    for node in nodes.values():
        scene.AddNode(node)
        node.CreateDefaultDisplayNodes()
    return nodes


def _result() -> RegistrationResult:
    k, j, i = _lattice()
    field = np.stack([2 * np.sin(3 * k), 1.5 * np.cos(2 * j), np.sin(2 * i)], axis=-1)
    return RegistrationResult(
        fixed_grid=GRID,
        moving_grid=GRID,
        affine_ras=np.eye(4),
        displacement_field_mm=field,
        inverse_displacement_field_mm=-field,
        jacobian_determinant=1 + 0.2 * np.sin(3 * k),
        warped=200 + 100 * i,
        folds=FoldCount(0, 0.0, 0),
        similarity_before=0.5,
        similarity_after=0.9,
        inverse_error_mean_mm=0.1,
        inverse_error_max_mm=0.2,
        timings_s={"total": 1.0},
        config=RegistrationConfig(),
        device="cpu",
    )


if __name__ == "__main__":
    main()
