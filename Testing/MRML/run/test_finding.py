"""Bones and cartilage found in a volume of the scene: the node that comes of it, and the job that makes it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import slicer
import vtk

from JointRegistrationLib.core.errors import InputError, JointRegistrationError, RegistrationCancelled
from JointRegistrationLib.core.progress import finished
from JointRegistrationLib.core.structures import LABELS
from JointRegistrationLib.worker.client import State
from JointRegistrationMRML.measure.cartilage import guessedPairs
from JointRegistrationMRML.nodes.segments.segmentations import labelsFromSegmentation
from JointRegistrationMRML.nodes.transforms import affineTransformNode
from JointRegistrationMRML.nodes.volumes import imageFromVolume
from JointRegistrationMRML.run.finding import FindingJob
from JointRegistrationMRML.run.found import PROPOSAL_ATTRIBUTE, foundSteps, imageToSegment
from JointRegistrationMRML.run.publish import publishResult
from JointRegistrationMRML.run.registration_nodes import OutputOptions
from JointRegistrationMRML.run.worker_job import JobState
from JointRegistrationMRML.scene.transaction import discard
from Testing.Support.at_once import gridTransformNode
from Testing.Support.grids import rotation
from Testing.Support.known_scene import FIXED_GRID, addVolume, sceneState
from Testing.Support.results import made_segmentation
from Testing.Support.worker_cases import JobBench, Recorder, idleWorker, stubWorker  # noqa: F401

NAMES = [name.capitalize() for name in LABELS]


def found(scene, volume):
    """What a search adds that finds the stub's slabs."""
    return finished(foundSteps(scene, volume, made_segmentation(imageToSegment(volume))))


def itemOf(scene, node):
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    return hierarchy, hierarchy.GetItemByDataNode(node)


# -- the node -------------------------------------------------------------------------------------------------


def test_segments_have_the_names_that_thickness_and_overlap_go_by(knee):
    node = found(knee.scene, knee.nodes.fixed).node
    segmentation = node.GetSegmentation()
    names = [segmentation.GetNthSegment(n).GetName() for n in range(segmentation.GetNumberOfSegments())]
    assert names == NAMES
    assert {(pair.cartilage, pair.bone) for pair in guessedPairs(names)} == {
        ("Femoral cartilage", "Femur"),
        ("Medial tibial cartilage", "Tibia"),
        ("Lateral tibial cartilage", "Tibia"),
        ("Patellar cartilage", "Patella"),
    }
    assert node.GetName() == "fixed knee segmentation"
    assert found(knee.scene, knee.nodes.fixed).node.GetName() == "fixed knee segmentation_1"


def test_segments_have_colours_of_their_own_and_terminology(knee):
    segmentation = found(knee.scene, knee.nodes.fixed).node.GetSegmentation()
    segments = [segmentation.GetNthSegment(n) for n in range(len(NAMES))]
    assert len({segment.GetColor() for segment in segments}) == len(NAMES)
    entries = {}
    for segment in segments:
        value = vtk.reference("")
        segment.GetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), value)
        entries[segment.GetName()] = str(value).split("~")
    for name, (context, category, kind, modifier, regions, region, further) in entries.items():
        assert context == "Segmentation category and type - 3D Slicer General Anatomy list"
        assert category == "SCT^85756007^Tissue"
        assert kind == ("SCT^309312004^Cartilage" if "cartilage" in name else "SCT^272673000^Bone")
        assert (modifier, regions, further) == ("^^", "Anatomic codes - DICOM master list", "^^")
        assert region == {"Femur": "SCT^71341001^Femur", "Patella": "SCT^64234005^Patella"}.get(name, "^^")


def test_it_says_that_it_is_a_proposal_and_where_it_is_unsure(knee):
    made = found(knee.scene, knee.nodes.fixed)
    assert made.unsure == ("patellar cartilage",)
    text = made.node.GetAttribute(PROPOSAL_ATTRIBUTE)
    assert "proposal" in text and "Unsure: patellar cartilage." in text


def _turned():
    matrix = np.eye(4)
    matrix[:3, :3] = rotation((3, 1, 2), 35)
    matrix[:3, 3] = (7.0, -4.0, 12.0)
    return affineTransformNode(matrix, "turned")


def _sheared():
    matrix = np.eye(4)
    matrix[0, 1] = 0.3
    return affineTransformNode(matrix, "sheared")


def _bent():
    return gridTransformNode(np.full((*FIXED_GRID.shape, 3), 2.0, np.float32), FIXED_GRID, "bent")


@pytest.mark.parametrize("above", [None, _turned, _sheared, _bent])
def test_segments_lie_on_the_volumes_own_voxels_whatever_stands_above_it(knee, grid, rng, above):
    values = rng.integers(0, 100, grid.shape).astype(np.int16)
    volume = addVolume(knee.scene, values, grid, "knee")
    if above is not None:
        volume.SetAndObserveTransformNodeID(knee.scene.AddNode(above()).GetID())
    image = imageToSegment(volume)
    np.testing.assert_array_equal(image.array, values)
    made = found(knee.scene, volume).node
    assert made.GetTransformNodeID() == volume.GetTransformNodeID()
    assert made.GetNodeReference(made.GetReferenceImageGeometryReferenceRole()) is volume
    volume.SetAndObserveTransformNodeID(None)
    made.SetAndObserveTransformNodeID(None)
    (layer,) = labelsFromSegmentation(made, grid).layers
    numbers = np.array([0, *range(1, len(LABELS) + 1)])
    expected = made_segmentation(image).labels.array
    np.testing.assert_array_equal(numbers[layer.labels], np.searchsorted([0, *sorted(LABELS.values())], expected))
    parameter = slicer.vtkSegmentationConverter.GetReferenceImageGeometryParameterName()
    geometry = slicer.vtkOrientedImageData()
    text = made.GetSegmentation().GetConversionParameter(parameter)
    slicer.vtkSegmentationConverter.DeserializeImageGeometry(text, geometry, False)
    assert geometry.GetDimensions() == grid.size_ijk


def test_the_segmenter_sees_the_knee_as_it_lies_in_the_world(knee):
    volume = knee.nodes.fixed
    volume.SetAndObserveTransformNodeID(knee.scene.AddNode(_turned()).GetID())
    assert imageToSegment(volume).grid.is_close(imageFromVolume(volume).grid)


def test_it_stands_beside_its_volume_in_the_subject_hierarchy(knee):
    hierarchy, item = itemOf(knee.scene, knee.nodes.fixed)
    study = hierarchy.CreateFolderItem(hierarchy.GetSceneItemID(), "study")
    if item == hierarchy.GetInvalidItemID():
        item = hierarchy.CreateItem(study, knee.nodes.fixed)
    hierarchy.SetItemParent(item, study)
    made = found(knee.scene, knee.nodes.fixed)
    assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(made.node)) == study


def test_one_undo_takes_it_away(knee):
    before = sceneState(knee.scene)
    made = found(knee.scene, knee.nodes.fixed)
    assert discard(knee.scene, made.record) == []
    assert sceneState(knee.scene) == before


def test_what_is_found_in_a_volume_that_a_run_moved_starts_where_the_volume_does(knee):
    outputs = publishResult(knee.scene, knee.nodes, knee.result, OutputOptions(showMovingTransformed=True))
    moving = knee.nodes.moving
    assert moving.GetParentTransformNode() is outputs.nodes.transform
    made = found(knee.scene, moving).node
    assert made.GetParentTransformNode() is outputs.nodes.transform
    grid = imageFromVolume(moving).grid
    (layer,) = labelsFromSegmentation(made, grid).layers  # the run's transform does not count, as for the volume
    assert (np.unique(layer.labels, return_counts=True)[1] == np.unique(_slabs(grid), return_counts=True)[1]).all()


def _slabs(grid):
    return np.arange(grid.shape[0])[:, None, None] * 9 // grid.shape[0] % 8 + np.zeros(grid.shape)


def test_structures_that_were_not_found_have_no_segment(knee):
    volume = knee.nodes.fixed
    seen = made_segmentation(imageToSegment(volume))
    seen = dataclasses.replace(seen, confidence={**seen.confidence, "patella": 0.0})
    made = finished(foundSteps(knee.scene, volume, seen))
    assert made.node.GetSegmentation().GetSegment("Patella") is None
    assert made.node.GetSegmentation().GetNumberOfSegments() == len(LABELS) - 1


def test_an_image_without_any_is_an_error_that_names_it(knee):
    seen = made_segmentation(imageToSegment(knee.nodes.fixed))
    seen = dataclasses.replace(seen, confidence=dict.fromkeys(LABELS, 0.0))
    before = sceneState(knee.scene)
    with pytest.raises(InputError, match="fixed knee: no bones or cartilage"):
        finished(foundSteps(knee.scene, knee.nodes.fixed, seen))
    assert sceneState(knee.scene) == before


# -- the job ----------------------------------------------------------------------------------------------------


class Bench(JobBench):
    """A volume whose name tells the stub worker what to do."""

    def __init__(self, knee, worker):
        super().__init__(knee.scene, worker)
        self.volume = knee.nodes.fixed

    def prepared(self, behaviour="", device="auto"):
        self.volume.SetName(behaviour)
        self.listener = Recorder()
        self.job = FindingJob(self.scene, self.volume, device, self.client, self.listener, lambda: None)
        return self.handedOver(self.job)

    def untilBusy(self):
        self.until(lambda: any(name == "progress" and told.stage == "affine" for name, told in self.listener.told))


@pytest.fixture
def bench(knee, idleWorker):  # noqa: F811
    return Bench(knee, idleWorker)


def test_a_job_adds_the_segmentation_and_nothing_else(bench):
    before = bench.scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode")
    bench.prepared("knee")
    bench.untilOver(bench.job)
    assert bench.job.state is JobState.FINISHED
    made = bench.listener.told[-1][1]
    assert made.volume is bench.volume and made.node.GetScene() is bench.scene
    assert bench.scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == before + 1
    fractions = [told.fraction for name, told in bench.listener.told if name == "progress"]
    assert fractions == sorted(fractions) and len(fractions) > 3


def test_a_cancel_leaves_the_scene_as_it_was(bench):
    bench.prepared("wait")
    before = sceneState(bench.scene)
    bench.untilBusy()
    bench.job.cancel()
    bench.untilOver(bench.job)
    assert bench.job.state is JobState.CANCELLED and sceneState(bench.scene) == before
    assert str(bench.listener.told[-1][1]) == "The search was cancelled. The scene is as it was."


def test_a_cancel_between_any_two_steps_of_adding_takes_everything_back(bench):
    bench.prepared("knee")
    bench.untilResult(bench.job)
    count = 1
    while bench.job.step():
        count += 1
    discard(bench.scene, bench.listener.told[-1][1].record)
    before = sceneState(bench.scene)
    for number in range(count):
        bench.prepared("knee")
        bench.untilResult(bench.job)
        for _ in range(number):
            assert bench.job.step()
        bench.job.cancel()
        assert bench.job.state is JobState.CANCELLED and sceneState(bench.scene) == before


@pytest.mark.parametrize("close", [False, True])
def test_a_removed_volume_or_a_closed_scene_ends_the_job(bench, close):
    bench.prepared("wait")
    bench.untilBusy()
    if close:
        bench.scene.Clear(0)
    else:
        bench.scene.RemoveNode(bench.volume)
    bench.untilOver(bench.job)
    error = bench.listener.told[-1][1]
    assert isinstance(error, RegistrationCancelled)
    assert str(error) == (
        "The scene was closed, so the search was cancelled."
        if close
        else "wait was removed from the scene, so the search was cancelled."
    )
    assert bench.scene.GetFirstNodeByName("wait segmentation") is None


@pytest.mark.parametrize("behaviour", ["refuse", "fail", "die"])
def test_a_failure_leaves_the_scene_as_it_was(bench, behaviour):
    bench.prepared(behaviour)
    before = sceneState(bench.scene)
    bench.untilOver(bench.job)
    assert bench.job.state is JobState.FAILED and sceneState(bench.scene) == before
    assert isinstance(bench.listener.told[-1][1], JointRegistrationError)


def test_another_volume_that_goes_does_not_end_the_job(bench, knee):
    bench.prepared("wait")
    bench.untilBusy()
    knee.scene.RemoveNode(knee.nodes.moving)
    assert bench.job.active
    bench.job.cancel()


def test_a_volume_without_voxels_is_refused_before_anything_is_started(bench):
    empty = bench.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty")
    bench.listener = Recorder()
    job = FindingJob(bench.scene, empty, "auto", bench.client, bench.listener, lambda: None)
    with pytest.raises(InputError, match="empty: the volume holds no voxels"):
        job.start()
    assert job.state is JobState.NEW and bench.client.state in (State.STOPPED, State.READY)
