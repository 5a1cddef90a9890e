"""Runs without a record are found by their nodes: in scenes of earlier versions, and where it was deleted."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from JointRegistrationLib.core.config import RegistrationConfig
from JointRegistrationMRML.nodes.arrays import INPUT_ROLES
from JointRegistrationMRML.run.record import recordsOf
from JointRegistrationMRML.run.register import registerVolumes
from JointRegistrationMRML.run.registration_nodes import InputNodes, OutputOptions, RegistrationOutputs
from JointRegistrationMRML.run.saved_result import jacobianOf
from JointRegistrationMRML.run.saved_runs import findRuns, inputsOf, outputsOf
from JointRegistrationMRML.scene.headless import loadScene, saveScene
from Testing.Support.known_scene import FIXED_GRID, knownResult
from Testing.Support.results import made_result

#: A run of two computed blobs with segmentations, points and all results, saved by the last version that made no
#: record, and what that version read from it.
EARLIER = Path(__file__).with_name("saved_before_records.mrb")
READ = json.loads(EARLIER.with_suffix(".json").read_text(encoding="utf-8"))


def _run(knee: Any, options: OutputOptions | None = None) -> RegistrationOutputs:
    """A run whose record a person deletes."""
    outputs = registerVolumes(knee.scene, knee.nodes, runner=knee.run, options=options)
    for record in recordsOf(knee.scene):
        knee.scene.RemoveNode(record)
    return outputs


def _names(nodes: Any) -> dict[str, Any]:
    return {name: node.GetName() if hasattr(node, "GetName") else node for name, node in vars(nodes).items()}


def test_a_scene_of_an_earlier_version_says_what_it_said(scene: Any) -> None:
    loadScene(scene, EARLIER)
    assert recordsOf(scene) == []
    (run,) = findRuns(scene)
    outputs = outputsOf(scene, run)
    assert run.name == READ["run"]
    summary = outputs.result.summary()
    for name, value in READ["summary"].items():
        assert summary[name] == (pytest.approx(value) if isinstance(value, float) else value), name
    assert float(outputs.result.warped.mean()) == pytest.approx(READ["warped_mean"])
    assert _names(outputs.nodes) == READ["nodes"]
    assert _names(outputs.inputs) == READ["inputs"]
    assert bool(outputs.folderItem) is READ["folder"]


def test_a_run_in_a_scene_of_an_earlier_version_leaves_the_earlier_run_its_nodes(scene: Any) -> None:
    loadScene(scene, EARLIER)
    (earlier,) = findRuns(scene)
    before = outputsOf(scene, earlier)
    inputs = InputNodes(earlier.fixed, earlier.moving)
    result = made_result(before.result.fixed_grid, before.result.moving_grid, similarity_after=0.75)
    made = registerVolumes(scene, inputs, runner=lambda *_: result)
    found, again = findRuns(scene)
    assert (found.transform, again) == (made.nodes.transform, earlier)
    assert outputsOf(scene, found).result.similarity_after == 0.75
    assert outputsOf(scene, again).nodes == before.nodes


def test_a_run_whose_record_was_deleted_is_found_by_its_nodes(knee: Any, tmp_path: Any) -> None:
    made = _run(knee)
    loadScene(knee.scene, saveScene(knee.scene, tmp_path / "knee.mrb"))
    (run,) = findRuns(knee.scene)
    again = outputsOf(knee.scene, run)
    assert (again.result.similarity_before, again.result.similarity_after) == (0.5, 0.9)
    assert (again.result.inverse_error_mean_mm, again.result.inverse_error_max_mm) == (0.01, 0.1)
    assert again.result.affine_ras == pytest.approx(made.result.affine_ras)
    assert (again.result.timings_s, again.result.config) == ({}, RegistrationConfig()), "only the table is left"
    assert {kind for kind, node in vars(again.nodes).items() if node is None} == set()
    assert again.nodes.jacobian.GetName().endswith("(log2 Jacobian)")
    assert again.folderItem != 0


def test_it_is_found_once_though_its_inverse_looks_like_it(knee: Any) -> None:
    outputs = _run(knee)
    (found,) = findRuns(knee.scene)
    assert found.transform is outputs.nodes.transform
    assert (found.fixed, found.moving) == (knee.nodes.fixed, knee.nodes.moving)


def test_of_two_bare_transforms_the_first_one_is_the_run(knee: Any) -> None:
    wanted = {name: False for name in vars(OutputOptions()) if name not in ("transform", "inverseTransform")}
    outputs = _run(knee, OutputOptions(**wanted))
    assert [run.transform for run in findRuns(knee.scene)] == [outputs.nodes.transform]


def test_two_of_them_on_one_pair_keep_their_own_results(knee: Any) -> None:
    first, second = _run(knee), _run(knee)
    found = findRuns(knee.scene)
    assert [run.transform for run in found] == [first.nodes.transform, second.nodes.transform]
    for run, made in zip(found, (first, second), strict=True):
        assert outputsOf(knee.scene, run).nodes == made.nodes


def test_its_folds_are_counted_from_the_field(knee: Any) -> None:
    field = knownResult().displacement_field_mm.copy()
    field[10:13, 8:11, 8:11] += 30
    knee.result = replace(knee.result, displacement_field_mm=field)
    _run(knee)
    (run,) = findRuns(knee.scene)
    result = outputsOf(knee.scene, run).result
    assert result.folds.count == int((jacobianOf(field, FIXED_GRID) <= 0).sum()) > 0


def test_its_segmentations_are_known_from_notes_on_its_transform(knee: Any, tmp_path: Any) -> None:
    _run(knee)
    loadScene(knee.scene, saveScene(knee.scene, tmp_path / "knee.mrb"))
    (run,) = findRuns(knee.scene)
    inputs = outputsOf(knee.scene, run).inputs
    assert inputs.movingSegmentation.GetName() == "moving labels"
    assert inputs.fixedSegmentation is None


def test_without_a_note_the_warped_segmentation_and_the_voxels_tell(knee: Any) -> None:
    outputs = _run(knee)
    (run,) = findRuns(knee.scene)
    for role in INPUT_ROLES.values():
        run.transform.SetNodeReferenceID(role, None)
    assert inputsOf(knee.scene, run).movingSegmentation is knee.nodes.movingSegmentation
    knee.scene.RemoveNode(outputs.nodes.warpedSegmentation)
    assert inputsOf(knee.scene, run).movingSegmentation is knee.nodes.movingSegmentation  # on the moving voxels
    knee.nodes.movingSegmentation.SetNodeReferenceID(
        knee.nodes.movingSegmentation.GetReferenceImageGeometryReferenceRole(), knee.nodes.fixed.GetID()
    )
    assert inputsOf(knee.scene, run).movingSegmentation is None
    assert inputsOf(knee.scene, run).fixedSegmentation is knee.nodes.movingSegmentation
