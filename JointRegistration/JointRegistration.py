"""The Slicer module "Joint Registration": descriptor, logic for Slicer's Python console, and a self-test.

It only mounts what lies beside it: the scene layer (``JointRegistrationMRML``) and the library
(``JointRegistrationLib``). Nothing heavy is imported before a registration is asked for.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import slicer
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
)


def addLibraryToPath() -> None:
    """Make the library importable from a source checkout, where it lies beside this module's folder.

    In an installed extension it lies beside this file, and Slicer finds it without help.
    """
    checkout = Path(__file__).resolve().parent.parent
    if importlib.util.find_spec("JointRegistrationLib") is None and (checkout / "JointRegistrationLib").is_dir():
        sys.path.append(str(checkout))


addLibraryToPath()


class JointRegistration(ScriptedLoadableModule):
    """What Slicer lists about the module."""

    def __init__(self, parent: Any) -> None:
        super().__init__(parent)
        parent.title = "Joint Registration"
        parent.categories = ["Registration"]
        parent.dependencies = []
        parent.contributors = ["Joint Registration contributors"]
        parent.helpText = (
            "Registers one knee MR image to another, affine and deformation together, and shows whether to trust it. "
            "Use it from the Python console: JointRegistration.JointRegistrationLogic().register(fixed, moving)."
        )
        parent.acknowledgementText = (
            "Follows Shen, Han, Xu and Niethammer, Networks for Joint Affine and Non-parametric Image Registration, "
            "CVPR 2019."
        )
        # There is no panel yet. A module without one would open as an empty page, so it stays out of
        # the module list; its logic works all the same.
        parent.hidden = True


class JointRegistrationLogic(ScriptedLoadableModuleLogic):
    """Registration of nodes in a scene, for Slicer's Python console and for scripts.

    Example::

        import JointRegistration
        logic = JointRegistration.JointRegistrationLogic()
        outputs = logic.register(getNode("fixed"), getNode("moving"))
        outputs.nodes.warpedVolume, outputs.result.similarity_after
    """

    def register(
        self, fixedVolume: Any, movingVolume: Any, config: Any = None, *, scene: Any = None, **arguments: Any
    ) -> Any:
        """Register ``movingVolume`` to ``fixedVolume`` and add the results to the scene, all or none.

        Args:
            fixedVolume, movingVolume: scalar volume nodes.
            config: a ``RegistrationConfig``; defaults if None.
            scene: where the nodes are and the results go; Slicer's own scene if None.
            arguments: further input nodes (``fixedMask``, ``movingMask``, ``fixedLandmarks``,
                ``movingLandmarks``, ``movingSegmentation``), and what
                ``JointRegistrationMRML.logic.registerVolumes`` takes (``options``, ``reuse``,
                ``progress``, ``cancelled``).

        Returns:
            ``RegistrationOutputs``: the nodes, their subject-hierarchy folder, and the figures.

        Raises:
            InputError: an input cannot be used; the message says why, and nothing was run.
            RegistrationCancelled, ResourceError: the scene is as it was.
        """
        from JointRegistrationMRML.logic import registerVolumes
        from JointRegistrationMRML.publish import InputNodes

        further = {field.name for field in dataclasses.fields(InputNodes)}
        inputs = {name: arguments.pop(name) for name in further & set(arguments)}
        nodes = InputNodes(fixedVolume, movingVolume, **inputs)
        return registerVolumes(slicer.mrmlScene if scene is None else scene, nodes, config, **arguments)


class JointRegistrationTest(ScriptedLoadableModuleTest):
    """Registers a small synthetic pair in Slicer's scene; needs PyTorch."""

    def setUp(self) -> None:
        slicer.mrmlScene.Clear()

    def runTest(self) -> None:
        self.setUp()
        self.test_syntheticPairIsRegistered()

    def test_syntheticPairIsRegistered(self) -> None:
        """A bright ellipsoid, moved by 4 mm, comes back to where the fixed one is."""
        if importlib.util.find_spec("torch") is None:
            self.skipTest("PyTorch is not installed")
        from JointRegistrationLib.config import AffineConfig, RegistrationConfig

        fixed, moving = addEllipsoid("fixed", 0.0), addEllipsoid("moving", 4.0)
        config = RegistrationConfig(method="affine-opt", affine=AffineConfig(model="rigid", levels=(2, 1)))
        outputs = JointRegistrationLogic().register(fixed, moving, config)

        self.assertGreater(outputs.result.similarity_after, 0.99)
        self.assertEqual(outputs.result.folds.count, 0)
        for node in (outputs.nodes.transform, outputs.nodes.inverseTransform, outputs.nodes.warpedVolume):
            self.assertTrue(slicer.mrmlScene.IsNodePresent(node))
        moved = [0.0, 0.0, 0.0]
        outputs.nodes.transform.GetTransformFromParent().TransformPoint((0.0, 0.0, 0.0), moved)
        np.testing.assert_allclose(moved, (4.0, 0.0, 0.0), atol=0.2)


def addEllipsoid(name: str, centerR: float) -> Any:
    """A volume node in Slicer's scene with a smooth ellipsoid around (``centerR``, 0, 0) RAS."""
    from JointRegistrationLib.geometry import Grid
    from JointRegistrationLib.image import Image
    from JointRegistrationMRML.volumes import volumeFromImage

    grid = Grid((32, 32, 32), (2.0, 2.0, 2.0), (-31.0, -31.0, -31.0))
    s, a, r = np.meshgrid(*(np.arange(32) * 2.0 - 31.0,) * 3, indexing="ij")
    radius = np.sqrt(((r - centerR) / 12) ** 2 + (a / 15) ** 2 + (s / 18) ** 2)
    voxels = (100 / (1 + np.exp(6 * (radius - 1)))).astype(np.float32)
    return slicer.mrmlScene.AddNode(volumeFromImage(Image(voxels, grid, name), name))
