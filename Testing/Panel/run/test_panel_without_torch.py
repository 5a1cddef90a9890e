"""A run with every kind of input, and a search, in a process that cannot import PyTorch: Slicer's own never does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from Testing.Support.blocked_torch import BLOCKED_TORCH
from Testing.Support.patience import patient

ROOT = Path(__file__).resolve().parents[3]

RUN = (
    BLOCKED_TORCH
    + """
import slicer_host
host = slicer_host.install()
import vtk
from Testing.Support.panel_cases import Person, sceneContent
from JointRegistrationMRML.nodes.arrays import giveDisplay
from Testing.Support.at_once import maskSegmentation
from JointRegistrationLib.core.progress import finished
from JointRegistrationMRML.nodes.volumes import imageFromVolume
from JointRegistrationPanel.install import packages
from JointRegistrationMRML.nodes.transforms import gridTransformNodeSteps
import numpy as np

packages._isInstalled = lambda package: True  # the stub needs nothing
person = Person(host)
panel = person.open()
fixed, moving = person.addVolumes()

def segmentation(volume, name):
    image = imageFromVolume(volume)
    node = maskSegmentation(image.array > 50, image.grid, name, (1, 0, 0))
    giveDisplay(person.scene, node)
    return person.scene.AddNode(node)

p = person.parameters
p.fixedSegmentation, p.movingSegmentation = segmentation(fixed, "fixed bone"), segmentation(moving, "moving bone")
p.fixedMask, p.movingMask = segmentation(fixed, "fixed mask"), segmentation(moving, "moving mask")

grid = imageFromVolume(moving).grid
steps = gridTransformNodeSteps(np.full((*grid.shape, 3), 0.5, np.float32), grid, "non-linear")
bend = person.scene.AddNode(finished(steps))
for node in (moving, p.movingSegmentation, p.movingMask):
    node.SetAndObserveTransformNodeID(bend.GetID())
turn = vtk.vtkTransform()
turn.RotateX(5)
parent = person.scene.AddNewNodeByClass("vtkMRMLTransformNode", "parent")
parent.SetMatrixTransformToParent(turn.GetMatrix())
fixed.SetAndObserveTransformNodeID(parent.GetID())
p.initialTransform = person.scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "start")
for name in ("fixed", "moving"):
    points = person.scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", name + " points")
    for point in ((0, 0, 0), (9, 0, 0), (0, 9, 0), (0, 0, 9)):
        points.AddControlPoint(point)
    setattr(p, name + "Landmarks", points)
p.fixedVolume, p.movingVolume = fixed, moving
p.wantsAffine = p.wantsFolds = True

person.waitUntilReady()
before = sceneContent(person.scene)
outputs = person.register()
made = outputs.nodes
assert None not in (made.transform, made.inverseTransform, made.affine, made.warpedVolume, made.warpedSegmentation,
                    made.jacobian, made.folds, made.resultsTable), made
assert outputs.overlaps == ()  # of segments with the same name; there are none
assert moving.GetParentTransformNode().GetName() == "Moving knee before registration"
person.discard()
assert sceneContent(person.scene) == before

from pathlib import Path
from JointRegistrationPanel.run import findings
findings.SEGMENTER_WEIGHTS = Path(findings.__file__)  # the stub needs none
p.fixedSegmentation = p.movingSegmentation = None
host.wait(lambda: person.ui.findButton.enabled)
host.click(person.ui.findButton)
host.wait(lambda: not panel._running)
assert p.movingSegmentation.GetParentTransformNode() is moving.GetParentTransformNode() is bend
assert "torch" not in sys.modules
print("done")
host.uninstall()
"""
)


def test_a_run_with_every_kind_of_input_and_a_search_need_no_torch_in_this_process() -> None:
    path = [str(ROOT / folder) for folder in ("Testing/Host", "", "JointRegistration")]
    code = f"import sys; sys.path[:0] = {path!r}\n" + RUN
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=patient(30), check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.endswith("done\n")
