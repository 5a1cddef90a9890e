"""What the panel adds to the library's own time: handing over the inputs, and adding the results, at 384 x 384 x 160.

    python Testing/Tools/panel_time.py

Processor time of this process, which other programs disturb less than a clock; the least of three runs. What the worker
does for the segments is told beside it: that is spent in another process, in several threads.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import slicer
import vtk

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "JointRegistration")]

from JointRegistrationLib.core.config import RegistrationConfig  # noqa: E402
from JointRegistrationLib.core.geometry import Grid  # noqa: E402
from JointRegistrationLib.core.image import Image  # noqa: E402
from JointRegistrationLib.core.lattices.segments import RunSegments, SegmentLayers  # noqa: E402
from JointRegistrationLib.core.progress import finished  # noqa: E402
from JointRegistrationLib.core.result import RegistrationResult  # noqa: E402
from JointRegistrationLib.worker.exchange import Job, job_steps, read_result, read_segments, write_result  # noqa: E402
from JointRegistrationLib.worker.folders import new_folder, remove_folder  # noqa: E402
from JointRegistrationLib.worker.segments import warp_segments  # noqa: E402
from JointRegistrationMRML.nodes.arrays import newNode  # noqa: E402
from JointRegistrationMRML.nodes.segments.segmentations import segmentationFromLabels, setReferenceGeometry  # noqa: E402
from JointRegistrationMRML.nodes.transforms import gridTransformNodeSteps  # noqa: E402
from JointRegistrationMRML.nodes.volumes import volumeFromImage  # noqa: E402
from JointRegistrationMRML.run.inputs import inputSteps  # noqa: E402
from JointRegistrationMRML.run.publish import publishSteps  # noqa: E402
from JointRegistrationMRML.run.registration_nodes import InputNodes, OutputOptions  # noqa: E402
from JointRegistrationMRML.run.segments import workerSteps  # noqa: E402
from JointRegistrationMRML.scene.headless import createHeadlessScene  # noqa: E402
from JointRegistrationMRML.scene.transaction import discard  # noqa: E402
from Testing.Support.results import made_result  # noqa: E402

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
    _report(scene, "the panel's first settings", plain, result, usual)
    _report(scene, "the same, with segments and Dice", labelled, result, usual)
    _report(scene, "every result", labelled, result, everything)
    surfaces = InputNodes(
        *(nodes["fixed"], nodes["moving"]),
        movingSegmentation=scene.AddNode(_surfaces()),
        fixedMask=nodes["fixed labels"],
    )
    _report(scene, "a mask, segments that are surfaces", surfaces, result, usual)
    bend = scene.AddNode(finished(gridTransformNodeSteps(np.full((8, 8, 8, 3), 2.0, np.float32), _coarse(), "bend")))
    for name in ("moving", "moving labels"):
        nodes[name].SetAndObserveTransformNodeID(bend.GetID())
    bent = InputNodes(nodes["fixed"], nodes["moving"], movingMask=nodes["moving labels"])
    _report(scene, "volume and mask under a grid", bent, result, usual)


def _report(scene: Any, what: str, nodes: InputNodes, result: RegistrationResult, options: OutputOptions) -> None:
    runs = [_Run(scene, nodes, result, options) for _ in range(3)]
    least = min(runs, key=lambda run: sum(run.handing) + run.adding)
    sys.stdout.write(
        f"{what:36s} {sum(least.handing) + least.adding:5.2f} s: handing over {sum(least.handing):5.2f} s in "
        f"{len(least.handing)} steps (longest {1000 * max(least.handing):.0f} ms), adding {least.adding:4.2f} s; "
        f"the worker, for the segments: {least.carrying:4.2f} s\n"
    )


class _Run:
    """One run without the registration: seconds of each step of ``handing`` over, ``carrying`` and ``adding``."""

    def __init__(self, scene: Any, nodes: InputNodes, result: RegistrationResult, options: OutputOptions) -> None:
        self.handing: list[float] = []
        folder = new_folder(2**31, (Path("/dev/shm"), Path(tempfile.gettempdir())))
        inputs = self._timed(inputSteps(nodes))
        ours = self._timed(workerSteps(nodes, options))
        job = Job(inputs, RegistrationConfig(), ours or RunSegments())
        self._timed(job_steps(folder, job))
        began = time.process_time()
        found = warp_segments(job.segments, GRID, result.displacement_field_mm, 1, lambda: False)
        self.carrying = time.process_time() - began
        write_result(folder, result, found)
        began = time.process_time()
        segments = None if ours is None else read_segments(folder)
        outputs = finished(publishSteps(scene, nodes, read_result(folder), options, segments=segments))
        remove_folder(folder)
        self.adding = time.process_time() - began
        discard(scene, outputs.record)

    def _timed(self, steps: Iterator[Any]) -> Any:
        while True:
            began = time.process_time()
            try:
                next(steps)
            except StopIteration as end:
                return end.value
            finally:
                self.handing.append(time.process_time() - began)


def _lattice() -> tuple[np.ndarray, ...]:
    return np.meshgrid(*(np.linspace(-1, 1, n, dtype=np.float32) for n in GRID.shape), indexing="ij")


def _coarse() -> Grid:
    return Grid((8, 8, 8), (20.0, 20.0, 16.0), (-70.0, -70.0, -57.0))


def _nodes(scene: Any) -> dict[str, Any]:
    k, j, i = _lattice()
    labels = np.zeros(GRID.shape, np.uint8)
    for value, (center, radius) in enumerate(_BALLS, start=1):
        labels[(k - center[0]) ** 2 + (j - center[1]) ** 2 + (i - center[2]) ** 2 < radius**2] = value
    titles = {n: (f"s{n}", (1.0, 0.0, 0.0)) for n in range(1, len(_BALLS) + 1)}
    voxels = (200 + 100 * np.sin(9 * i) * np.cos(7 * j)).astype(np.int16)
    nodes = {name: volumeFromImage(Image(voxels, GRID, name), name) for name in ("fixed", "moving")}
    for name in ("fixed labels", "moving labels"):
        nodes[name] = segmentationFromLabels(SegmentLayers.of(Image(labels, GRID), titles), name)
    for node in nodes.values():
        scene.AddNode(node)
        node.CreateDefaultDisplayNodes()
    return nodes


def _surfaces() -> Any:
    """Three closed surfaces of 200,000 triangles each."""
    node = newNode("vtkMRMLSegmentationNode", "surfaces")
    node.SetSourceRepresentationToClosedSurface()
    for name, center in {"a": (-25.0, 0.0, 0.0), "b": (25.0, 0.0, 0.0), "c": (0.0, 40.0, 0.0)}.items():
        ball = vtk.vtkSphereSource()
        ball.SetThetaResolution(320)
        ball.SetPhiResolution(320)
        ball.SetCenter(*center)
        ball.SetRadius(20.0)
        ball.Update()
        segment = slicer.vtkSegment()
        segment.AddRepresentation("Closed surface", ball.GetOutput())
        node.GetSegmentation().AddSegment(segment, name)
    setReferenceGeometry(node, GRID)
    return node


def _result() -> RegistrationResult:
    k, j, i = _lattice()
    field = np.stack([2 * np.sin(3 * k), 1.5 * np.cos(2 * j), np.sin(2 * i)], axis=-1)
    return made_result(
        GRID,
        displacement_field_mm=field,
        inverse_displacement_field_mm=-field,
        jacobian_determinant=1 + 0.2 * np.sin(3 * k),
        warped=200 + 100 * i,
    )


if __name__ == "__main__":
    main()
