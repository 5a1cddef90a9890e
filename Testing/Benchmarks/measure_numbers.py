"""Time of the numbers and the report of a run: the sample pair on 384 x 384 x 160 voxels with its six segments.

    python Testing/Benchmarks/measure_numbers.py

Prints the processor time of each step (other programs do not count) and the most memory the process had.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "JointRegistration")]

from JointRegistrationLib.core.image import Image  # noqa: E402
from JointRegistrationLib.phantom import random_deformation  # noqa: E402
from JointRegistrationLib.worker.sample import SEED  # noqa: E402
from JointRegistrationMRML.measure.measurement import measureSteps  # noqa: E402
from JointRegistrationMRML.nodes.segments.segmentations import labelsFromSegmentation, segmentationFromLabels  # noqa: E402
from JointRegistrationMRML.nodes.volumes import imageFromVolume, volumeFromImage  # noqa: E402
from JointRegistrationMRML.report.export import exportSteps  # noqa: E402
from JointRegistrationMRML.run.registration_nodes import InputNodes, OutputNodes, RegistrationOutputs  # noqa: E402
from JointRegistrationMRML.scene.headless import createHeadlessScene  # noqa: E402
from JointRegistrationMRML.scene.sample_pair import addSamplePair  # noqa: E402
from JointRegistrationMRML.scene.transaction import RunRecord, SceneTransaction  # noqa: E402
from Testing.Support.results import made_result  # noqa: E402

SIZE_IJK = (384, 384, 160)


def outputsOf(scene: object) -> RegistrationOutputs:
    """The sample pair on the large grid, with the map that made it."""
    pair = addSamplePair(scene)
    grid = imageFromVolume(pair.fixed).grid.resized(SIZE_IJK)

    def finer(node: object) -> object:
        return scene.AddNode(segmentationFromLabels(labelsFromSegmentation(node, grid), "labels"))  # type: ignore

    field = random_deformation(SEED).displacement_field_mm(grid)
    empty = np.zeros(grid.shape, np.float32)
    fixed, moving = (scene.AddNode(volumeFromImage(Image(empty, grid), name)) for name in ("Fixed", "Moving"))  # type: ignore
    result = made_result(grid, displacement_field_mm=field, inverse_displacement_field_mm=-field)
    inputs = InputNodes(
        fixed,
        moving,
        fixedSegmentation=finer(pair.fixedSegmentation),
        movingSegmentation=finer(pair.movingSegmentation),
    )
    return RegistrationOutputs(OutputNodes(), 0, result, inputs, RunRecord(SceneTransaction(scene)))


def timed(steps: Generator[tuple[float, str], None, Any]) -> Any:
    """Take all steps and print what each kind of them took; what they return."""
    times: list[tuple[float, str]] = []
    what, result = "", None
    while True:
        start = time.process_time()
        try:
            _, following = next(steps)
        except StopIteration as end:
            times.append((time.process_time() - start, what))
            result = end.value
            break
        times.append((time.process_time() - start, what))
        what = following
    for name in dict.fromkeys(name for _, name in times):
        some = [seconds for seconds, other in times if other == name]
        print(f"{sum(some):6.2f} s  {name}, longest of {len(some)} steps {max(some):.3f} s")  # noqa: T201
    print(f"all {sum(seconds for seconds, _ in times):.2f} s, longest step {max(times)[0]:.3f} s")  # noqa: T201
    return result


def main() -> None:
    headless = createHeadlessScene()
    outputs = outputsOf(headless.scene)
    figures = timed(measureSteps(outputs))
    with tempfile.TemporaryDirectory() as folder:
        timed(exportSteps(outputs, Path(folder) / "report.html", figures))
    print(f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.1f} GB")  # noqa: T201


if __name__ == "__main__":
    main()
