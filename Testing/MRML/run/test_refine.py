"""Refine further: an earlier run's transform is the start, its nodes get the result, Discard brings it back."""

from __future__ import annotations

import dataclasses
from dataclasses import fields

import numpy as np
import pytest
from slicer import vtkOrientedGridTransform

from JointRegistrationLib.core.config import RegistrationConfig
from JointRegistrationLib.core.errors import InputError
from JointRegistrationLib.core.progress import finished
from JointRegistrationMRML import pauses
from JointRegistrationMRML.nodes.arrays import numpyView
from JointRegistrationMRML.nodes.transforms import displacementFromNode, startSteps
from JointRegistrationMRML.run.inputs import checkInputs, readInputs
from JointRegistrationMRML.run.register import furtherNodes, refineFurther, registerVolumes
from JointRegistrationMRML.run.registration_nodes import OutputNodes, OutputOptions
from JointRegistrationMRML.scene.transaction import discard
from Testing.Support.at_once import gridTransformNode
from Testing.Support.known_scene import FIXED_GRID, knownResult, sceneState, smoothField

KINDS = [field.name for field in fields(OutputNodes)]
CONFIG = RegistrationConfig(method="vsvf-opt")


class Runner:
    """Knows the answer, and remembers what it was given."""

    def __init__(self, result):
        self.result, self.inputs, self.config = result, None, None

    def __call__(self, inputs, config, progress=None, cancelled=None):
        self.inputs, self.config = inputs, config
        return self.result


def _further(knee, first, **options):
    better = dataclasses.replace(
        knownResult(folded=False), displacement_field_mm=(1.5 * smoothField(FIXED_GRID)).astype(np.float32)
    )
    runner = Runner(better)
    return refineFurther(knee.scene, first, CONFIG, runner=runner, **options), runner


def _content(outputs):
    """What each result node holds."""
    nodes = outputs.nodes
    return {
        "transform": displacementFromNode(nodes.transform)[0].copy(),
        "inverseTransform": displacementFromNode(nodes.inverseTransform)[0].copy(),
        "warpedVolume": numpyView(nodes.warpedVolume.GetImageData()).copy(),
        "jacobian": numpyView(nodes.jacobian.GetImageData()).copy(),
        "folds": np.array(nodes.folds.GetSegmentation().GetNumberOfSegments()),
        "resultsTable": np.array([nodes.resultsTable.GetCellText(row, 1) for row in range(5)]),
    }


@pytest.mark.parametrize("options", [OutputOptions(), OutputOptions(showMovingTransformed=True)], ids=["plain", "live"])
def test_the_earlier_map_is_the_start_and_its_nodes_get_the_result(knee, options):
    first = registerVolumes(knee.scene, knee.nodes, runner=knee.run, options=options)
    before = sceneState(knee.scene)
    second, runner = _further(knee, first)
    np.testing.assert_allclose(runner.inputs.initial.displacement_field_mm, first.result.displacement_field_mm)
    assert runner.inputs.initial.grid.is_close(FIXED_GRID)
    assert runner.inputs.moving.grid.is_close(first.result.moving_grid), "without the run's own transform"
    assert runner.config is CONFIG
    assert sceneState(knee.scene) == before
    for kind in KINDS:
        assert getattr(second.nodes, kind) is getattr(first.nodes, kind), kind
    np.testing.assert_allclose(_content(second)["transform"], 1.5 * smoothField(FIXED_GRID), atol=1e-5)


def test_discard_brings_the_earlier_run_back_node_by_node_and_then_takes_that(knee):
    sceneState(knee.scene)
    first = registerVolumes(knee.scene, knee.nodes, runner=knee.run)
    scene, content = sceneState(knee.scene), _content(first)
    second, _ = _further(knee, first)
    changed = _content(second)
    assert any(not np.array_equal(content[kind], changed[kind]) for kind in content)
    assert discard(knee.scene, second.record) == []
    for kind, values in _content(first).items():
        np.testing.assert_array_equal(values, content[kind], err_msg=kind)
    assert sceneState(knee.scene) == scene
    assert discard(knee.scene, first.record) == [], "nothing counts as edited"
    assert first.nodes.transform.GetScene() is None


def test_twice_further_goes_back_step_by_step(knee):
    first = registerVolumes(knee.scene, knee.nodes, runner=knee.run)
    second, _ = _further(knee, first)
    field = _content(second)["transform"]
    third, runner = _further(knee, second)
    np.testing.assert_allclose(runner.inputs.initial.displacement_field_mm, field, atol=1e-6)
    discard(knee.scene, third.record)
    np.testing.assert_array_equal(_content(second)["transform"], field)
    discard(knee.scene, second.record)
    np.testing.assert_allclose(_content(first)["transform"], smoothField(FIXED_GRID), atol=1e-5)


def test_results_that_were_removed_are_made_anew(knee):
    first = registerVolumes(knee.scene, knee.nodes, runner=knee.run)
    knee.scene.RemoveNode(first.nodes.jacobian)
    second, _ = _further(knee, first)
    assert second.nodes.jacobian is not first.nodes.jacobian
    assert second.nodes.jacobian.GetScene() is knee.scene


def test_a_start_that_cannot_be_used_is_refused(knee):
    first = registerVolumes(knee.scene, knee.nodes, runner=knee.run)
    inverse = dataclasses.replace(knee.nodes, startTransform=first.nodes.affine)
    with pytest.raises(InputError, match="holds no displacement grid"):
        readInputs(inverse)
    with pytest.raises(InputError, match="holds no displacement grid"):
        checkInputs(inverse)
    opposite = vtkOrientedGridTransform()
    opposite.SetDisplacementGridData(first.nodes.transform.GetTransformFromParent().GetDisplacementGrid())
    wrong = knee.scene.AddNewNodeByClass("vtkMRMLTransformNode", "wrong way")
    wrong.SetAndObserveTransformToParent(opposite)
    with pytest.raises(InputError, match="wrong way holds the opposite direction"):
        checkInputs(dataclasses.replace(knee.nodes, startTransform=wrong))
    above = knee.scene.AddNewNodeByClass("vtkMRMLTransformNode", "above")
    first.nodes.transform.SetAndObserveTransformNodeID(above.GetID())
    with pytest.raises(InputError, match="stands under above"):
        readInputs(dataclasses.replace(knee.nodes, startTransform=first.nodes.transform))
    knee.scene.RemoveNode(first.nodes.transform)
    with pytest.raises(InputError, match="not in the scene any more"):
        furtherNodes(knee.scene, first)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_a_start_is_read_in_steps_and_as_it_is(knee, kind, monkeypatch):
    monkeypatch.setattr(pauses, "STEP_S", 0.0)
    field = smoothField(FIXED_GRID).astype(kind)
    node = knee.scene.AddNode(gridTransformNode(field, FIXED_GRID, "start"))
    taken = []
    start = finished(startSteps(node), after=lambda: taken.append(1))
    assert len(taken) == (0 if kind is np.float32 else len(field))
    assert start.displacement_field_mm.dtype == np.float32
    np.testing.assert_allclose(start.displacement_field_mm, field, atol=1e-6)
    assert start.grid.is_close(FIXED_GRID)


def test_masks_and_landmarks_that_are_chosen_by_now_steer_the_refinement(knee):
    first = registerVolumes(knee.scene, knee.nodes, runner=knee.run)
    lists = [knee.scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", name) for name in ("fixed", "moving")]
    chosen = dataclasses.replace(
        knee.nodes,
        movingMask=knee.nodes.movingSegmentation,
        movingMaskSegment="bone",
        fixedLandmarks=lists[0],
        movingLandmarks=lists[1],
    )
    nodes, _reuse = furtherNodes(knee.scene, first, chosen)
    assert (nodes.movingMask, nodes.movingMaskSegment) == (knee.nodes.movingSegmentation, "bone")
    assert (nodes.fixedLandmarks, nodes.movingLandmarks) == tuple(lists)
    assert nodes.startTransform is first.nodes.transform
    other = dataclasses.replace(chosen, fixed=knee.nodes.moving, moving=knee.nodes.fixed)
    assert furtherNodes(knee.scene, first, other)[0].fixedLandmarks is None, "those of another pair"
