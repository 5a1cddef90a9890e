"""One segment of a segmentation as the mask of a registration: picked by id or name, followed through changes."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from JointRegistrationLib.core.config import RegistrationConfig
from JointRegistrationLib.core.errors import InputError
from JointRegistrationLib.core.progress import finished
from JointRegistrationMRML.checks.find import findProblems
from JointRegistrationMRML.checks.problems import ERROR
from JointRegistrationMRML.nodes.segments.masks import maskSteps, segmentIdOf
from JointRegistrationMRML.nodes.segments.segmentations import BINARY_LABELMAP, labelsFromSegmentation
from JointRegistrationMRML.run.inputs import readInputs
from JointRegistrationMRML.run.register import makeRequest, registerVolumes
from JointRegistrationMRML.run.registration_nodes import OutputOptions
from Testing.Support.known_scene import FIXED_GRID, MOVING_GRID


def _expected(node, grid, segmentId):
    return labelsFromSegmentation(node, grid, [segmentId]).layers[0].labels > 0


def _surfacesOnly(node):
    node.CreateClosedSurfaceRepresentation()
    node.SetSourceRepresentationToClosedSurface()
    node.GetSegmentation().RemoveRepresentation(BINARY_LABELMAP)


def _sentences(nodes):
    return [problem.text for problem in findProblems(nodes, RegistrationConfig()) if problem.severity == ERROR]


@pytest.mark.parametrize("given", ["cartilage", "Femoral cartilage"], ids=["id", "name"])
def test_the_mask_is_the_chosen_segment_and_nothing_else(knee, given):
    node = knee.nodes.movingSegmentation
    inputs = readInputs(dataclasses.replace(knee.nodes, movingMask=node, movingMaskSegment=given))
    np.testing.assert_array_equal(inputs.moving_mask.array, _expected(node, MOVING_GRID, "cartilage"))
    every = readInputs(dataclasses.replace(knee.nodes, movingMask=node)).moving_mask.array
    assert inputs.moving_mask.array.sum() < 0.8 * every.sum()


def test_each_image_has_a_segment_of_its_own(knee):
    node = knee.nodes.movingSegmentation
    chosen = {"fixedMask": node, "fixedMaskSegment": "bone", "movingMask": node, "movingMaskSegment": "lesion"}
    inputs = readInputs(dataclasses.replace(knee.nodes, **chosen))
    np.testing.assert_array_equal(inputs.fixed_mask.array, _expected(node, FIXED_GRID, "bone"))
    np.testing.assert_array_equal(inputs.moving_mask.array, _expected(node, MOVING_GRID, "lesion"))


def test_a_segment_of_surfaces_becomes_a_mask_and_the_node_stays_as_it_is(knee):
    node = knee.nodes.movingSegmentation
    voxels = _expected(node, MOVING_GRID, "bone")
    _surfacesOnly(node)
    mask = finished(maskSteps(node, MOVING_GRID, segment="Femur"))
    assert 2 * (mask & voxels).sum() / (mask.sum() + voxels.sum()) > 0.9
    assert not node.GetSegmentation().ContainsRepresentation(BINARY_LABELMAP)
    assert _sentences(dataclasses.replace(knee.nodes, movingMask=node, movingMaskSegment="bone")) == []


def test_a_segment_that_is_renamed_stays_chosen_by_its_id(knee):
    node = knee.nodes.movingSegmentation
    before = finished(maskSteps(node, MOVING_GRID, segment="bone"))
    node.GetSegmentation().GetSegment("bone").SetName("Distal femur")
    np.testing.assert_array_equal(finished(maskSteps(node, MOVING_GRID, segment="bone")), before)
    with pytest.raises(InputError, match=r"there is no segment Femur; it has Distal femur, Femoral cartilage, Lesion"):
        segmentIdOf(node, "Femur")


def test_a_segment_that_was_deleted_is_refused_before_anything_runs(knee):
    node = knee.nodes.movingSegmentation
    nodes = dataclasses.replace(knee.nodes, fixedMask=node, fixedMaskSegment="lesion")
    assert _sentences(nodes) == []
    node.GetSegmentation().RemoveSegment("lesion")
    with pytest.raises(InputError, match="moving labels: there is no segment lesion; it has Femur, Femoral cartilage"):
        readInputs(nodes)
    assert _sentences(nodes) == [
        "The segment that was chosen as fixed mask is not in moving labels any more: choose another, or all."
    ]


def test_an_empty_segment_is_told_from_a_full_segmentation(knee):
    node = knee.nodes.movingSegmentation
    nothing = node.GetSegmentation().AddEmptySegment("nothing", "Nothing")
    nodes = dataclasses.replace(knee.nodes, movingMask=node, movingMaskSegment=nothing)
    assert _sentences(nodes) == ["Nothing of moving labels is empty: choose another segment as moving mask, or all."]
    assert _sentences(dataclasses.replace(nodes, movingMaskSegment="")) == []


def test_a_name_that_two_segments_have_is_no_choice(knee):
    node = knee.nodes.movingSegmentation
    node.GetSegmentation().GetSegment("lesion").SetName("Femur")
    with pytest.raises(InputError, match="2 segments are called Femur; give the id of one: bone, lesion"):
        segmentIdOf(node, "Femur")


def test_the_console_takes_the_segment_and_refuses_one_of_a_label_map(knee):
    nodes = knee.nodes
    request = makeRequest(
        nodes.fixed, nodes.moving, None, {"fixedMask": nodes.movingSegmentation, "fixedMaskSegment": "Femur"}
    )
    assert readInputs(request.nodes).fixed_mask.array.any()
    request = makeRequest(nodes.fixed, nodes.moving, None, {"fixedMask": nodes.fixed, "fixedMaskSegment": "Femur"})
    with pytest.raises(InputError, match="a segmentation is needed"):
        readInputs(request.nodes)


def test_a_mask_that_is_shown_through_the_run_before_is_read_without_it(knee):
    live = OutputOptions(showMovingTransformed=True)
    first = registerVolumes(knee.scene, knee.nodes, options=live, runner=knee.run)
    node = knee.nodes.movingSegmentation
    assert node.GetParentTransformNode() is first.nodes.transform
    nodes = dataclasses.replace(knee.nodes, movingMask=node, movingMaskSegment="bone")
    again = readInputs(nodes, first.nodes).moving_mask.array
    node.SetAndObserveTransformNodeID(None)
    assert again.any()
    np.testing.assert_array_equal(again, _expected(node, MOVING_GRID, "bone"))
