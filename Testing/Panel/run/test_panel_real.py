"""The panel with the process that registers: what it adds to the library's own time, and where things end up."""

from __future__ import annotations

import unittest

import numpy as np
import pytest
import slicer
import vtk

from JointRegistrationMRML.nodes.arrays import giveDisplay
from JointRegistrationMRML.nodes.volumes import imageFromVolume
from Testing.Support.at_once import maskSegmentation
from Testing.Support.panel_cases import Person, sceneContent

pytest.importorskip("torch")


def _turned(person: Person, node: object, name: str) -> None:
    """Put a volume on turned and stretched voxels, under a transform that puts it back."""
    turn = vtk.vtkTransform()
    turn.RotateZ(90)
    turn.Translate(3, 0, 0)
    parent = person.scene.AddNewNodeByClass("vtkMRMLTransformNode", name)
    parent.SetMatrixTransformToParent(turn.GetMatrix())
    ijkToRas, back = vtk.vtkMatrix4x4(), vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(ijkToRas)
    vtk.vtkMatrix4x4.Invert(turn.GetMatrix(), back)
    vtk.vtkMatrix4x4.Multiply4x4(back, ijkToRas, ijkToRas)
    node.SetIJKToRASMatrix(ijkToRas)
    node.SetAndObserveTransformNodeID(parent.GetID())


def chooseTurnedPair(person: Person) -> tuple[object, object]:
    """Open the panel with the real worker, which is not running yet, and choose a fixed and a turned moving volume."""
    panel = person.open(real=True)
    fixed, moving = person.addVolumes()
    _turned(person, moving, "how the scanner saw it")
    parameters = person.parameters
    parameters.fixedVolume, parameters.movingVolume = fixed, moving
    parameters.method, parameters.device, parameters.workingMillions = "affine-opt", "cpu", 0.05
    person.waitUntilReady()
    panel._worker.client.close()  # the first run is a cold one
    return fixed, moving


def test_volumes_on_other_voxels_under_transforms_are_registered_and_the_second_run_is_warm(person: Person) -> None:
    fixed, moving = chooseTurnedPair(person)
    parameters = person.parameters
    processes = set()
    for _ in range(2):
        outputs = person.register()
        processes.add(person.panel._worker.client.ready.pid)
    assert len(processes) == 1
    assert outputs.result.similarity_after > 0.98

    moved = [0.0, 0.0, 0.0]
    outputs.nodes.transform.GetTransformFromParent().TransformPoint((0.0, 0.0, 0.0), moved)
    np.testing.assert_allclose(moved, (4.0, 0.0, 0.0), atol=0.6)
    chain = moving.GetParentTransformNode()
    assert chain.GetName() == "Moving knee before registration"
    assert chain.GetParentTransformNode() is outputs.nodes.transform

    # Segmentations along with it; the first time, this process imports PyTorch too.
    segments = [_brightSegment(person, volume, outputs.nodes.transform) for volume in (fixed, moving)]
    parameters.fixedSegmentation, parameters.movingSegmentation = segments
    before = sceneContent(person.scene)
    outputs = person.register()
    assert outputs.nodes.warpedSegmentation is not None
    (overlap,) = outputs.overlaps
    assert overlap.before < 0.8
    assert overlap.after > 0.9
    assert f"{overlap.after:.3f}" in person.ui.summaryLabel.text
    person.picture("dice")
    person.discard()
    assert sceneContent(person.scene) == before


def _brightSegment(person: Person, volume: object, below: object) -> object:
    """The bright part of a volume as a segmentation in the world; ``below`` does not count as above the volume."""
    image = imageFromVolume(volume, below)
    node = maskSegmentation(image.array > 50, image.grid, "Femur", (0.9, 0.8, 0.5))
    giveDisplay(person.scene, node)
    person.scene.AddNode(node)
    node.CreateDefaultDisplayNodes()
    return node


def test_the_modules_own_tests_pass_here_too(person: Person) -> None:
    module = person.host.loadModule("JointRegistration")
    for name in ("test_panelWithAStubWorker", "test_syntheticPairIsRegistered"):  # the real worker: see above
        result = unittest.TestResult()
        module.JointRegistrationTest(name).run(result)
        assert result.wasSuccessful(), result.failures + result.errors
        assert not result.skipped
    assert slicer.mrmlScene is person.scene
