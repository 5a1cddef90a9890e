"""The module's own tests, run inside Slicer (Reload and Test, ctest) and inside the test host, in seconds."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import qt
import slicer

from JointRegistrationLib.core.config import AffineConfig, RegistrationConfig
from JointRegistrationLib.core.geometry import Grid
from JointRegistrationLib.core.image import Image
from JointRegistrationLib.worker.process import WorkerCommand, worker_command
from JointRegistrationMRML.nodes.volumes import volumeFromImage

from ..install.packages import PACKAGES, missingPackages, missingText
from ..run.machine import Speed
from ..run.worker import Worker

_SIZE, _SPACING_MM = 32, 2.5
#: A guard against hanging, no measure of speed.
_HANGS_S = 600.0


def stubCommand(*options: str) -> WorkerCommand:
    """Return the command that starts :mod:`.stub_worker`."""
    real = worker_command()
    return real._replace(arguments=[str(Path(__file__).with_name("stub_worker.py")), *options])


def stubWorker(*options: str) -> Worker:
    """A worker that registers nothing and so needs nothing to be installed; the options are the stub's."""
    return Worker(stubCommand(*options), packages=())


def addEllipsoid(name: str, centerR: float) -> Any:
    """A volume node in Slicer's scene with a smooth ellipsoid around (``centerR``, 0, 0) RAS."""
    first = -_SPACING_MM * (_SIZE - 1) / 2
    grid = Grid((_SIZE,) * 3, (_SPACING_MM,) * 3, (first,) * 3)
    s, a, r = np.meshgrid(*(np.arange(_SIZE) * _SPACING_MM + first,) * 3, indexing="ij")
    radius = np.sqrt(((r - centerR) / 12) ** 2 + (a / 15) ** 2 + (s / 18) ** 2)
    voxels = (100 / (1 + np.exp(6 * (radius - 1)))).astype(np.float32)
    node = slicer.mrmlScene.AddNode(volumeFromImage(Image(voxels, grid, name), name))
    node.CreateDefaultDisplayNodes()
    return node


def chooseEllipsoids(panel: Any) -> None:
    """Two volumes to register. One is shown, so that the slice views have made their nodes before a run."""
    fixed, moving = addEllipsoid("fixed", 0.0), addEllipsoid("moving", 4.0)
    slicer.util.setSliceViewerLayers(background=fixed)
    panel.ui.fixedVolumeSelector.setCurrentNode(fixed)
    panel.ui.movingVolumeSelector.setCurrentNode(moving)


class _Nothing:
    """Settings that keep nothing: a test does not teach the panel how fast real runs are."""

    def value(self, key: str) -> None:
        return None

    def setValue(self, key: str, value: Any) -> None:
        pass


def skipWithoutPackages(test: Any) -> None:
    """Leave a test out where what registers is not installed: a test installs nothing."""
    missing = missingPackages(PACKAGES)
    if missing:
        test.skipTest(missingText(missing))


def waitFor(happened: Callable[[], object]) -> None:
    """Let the application go on until ``happened()``; AssertionError when that hangs, on however slow a machine."""
    deadline = time.monotonic() + _HANGS_S
    while not happened():
        if time.monotonic() > deadline:
            raise AssertionError(f"nothing happened within {_HANGS_S:.0f} s")
        loop = qt.QEventLoop()
        qt.QTimer.singleShot(10, loop.quit)
        loop.exec_()


def registersAndDiscards(test: Any, stub: bool) -> None:
    """Two volumes are chosen, Register and then Discard are pressed, and the scene follows."""
    from ..widget import Panel

    module = slicer.modules.jointregistration.path
    uiPath = Path(module).parent / "Resources" / "UI" / "JointRegistration.ui"
    logic = __import__("JointRegistration").JointRegistrationLogic()
    worker = stubWorker() if stub else Worker()
    panel = Panel(str(uiPath), logic.getParameterNode, slicer.mrmlScene, worker, speed=Speed(_Nothing()))
    try:
        chooseEllipsoids(panel)
        parameters = logic.getParameterNode()
        parameters.method, parameters.device = "affine-opt", "cpu"
        waitFor(lambda: panel.ui.registerButton.enabled)
        before = nodeIds()
        panel.ui.registerButton.click()
        waitFor(lambda: panel.results.outputs is not None and panel.ui.discardButton.enabled)
        outputs = panel.results.outputs
        assert outputs is not None
        nodes = outputs.nodes
        for node in (nodes.transform, nodes.inverseTransform, nodes.warpedVolume, nodes.jacobian, nodes.resultsTable):
            test.assertTrue(slicer.mrmlScene.IsNodePresent(node))
        test.assertIsNone(nodes.affine)
        if not stub:
            test.assertGreater(outputs.result.similarity_after, 0.99)
        panel.ui.discardButton.click()
        waitFor(lambda: not panel._run.running)
        test.assertEqual(nodeIds(), before)
    finally:
        panel.cleanup()
        worker.close()


def nodeIds() -> set[str]:
    """The ids of all nodes in Slicer's scene, without the subject hierarchy, which comes when it is first wanted."""
    nodes = slicer.mrmlScene.GetNodes()
    found = [nodes.GetItemAsObject(index) for index in range(nodes.GetNumberOfItems())]
    return {node.GetID() for node in found if not node.IsA("vtkMRMLSubjectHierarchyNode")}


def registersFromTheConsole(test: Any, logic: Any) -> None:
    """``JointRegistrationLogic.register`` with named nodes for its results."""
    fixed, moving = addEllipsoid("fixed", 0.0), addEllipsoid("moving", 4.0)
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTransformNode", "mine")
    config = RegistrationConfig(method="affine-opt", affine=AffineConfig(model="rigid", levels=(2, 1)))
    outputs = logic.register(fixed, moving, config, outputTransform=transform, device="cpu")

    test.assertGreater(outputs.result.similarity_after, 0.99)
    test.assertEqual(outputs.result.folds.count, 0)
    test.assertIs(outputs.nodes.transform, transform)
    moved = [0.0, 0.0, 0.0]
    transform.GetTransformFromParent().TransformPoint((0.0, 0.0, 0.0), moved)
    np.testing.assert_allclose(moved, (4.0, 0.0, 0.0), atol=0.2)
