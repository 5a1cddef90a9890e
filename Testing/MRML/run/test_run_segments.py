"""A run's segments: what the worker carries is, voxel by voxel, what is carried without it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from JointRegistrationLib.core.lattices.segments import RunSegments
from JointRegistrationLib.core.progress import finished
from JointRegistrationLib.worker.segments import warp_segments
from JointRegistrationMRML.nodes.segments.segmentations import labelsFromSegmentation, segmentationFromLabels
from JointRegistrationMRML.nodes.transforms import affineTransformNode
from JointRegistrationMRML.run.registration_nodes import OutputOptions
from JointRegistrationMRML.run.segments import areSegmentsWarped, warpSegmentsSteps, workerSteps
from Testing.Support.at_once import gridTransformNode
from Testing.Support.known_scene import FIXED_GRID, smoothField

SHEARED = np.array([[1, 0.2, 0, 3], [0, 1.1, 0, -2], [0.1, 0, 0.9, 4], [0, 0, 0, 1.0]])


def _withFixed(knee):
    """The knee's nodes with a fixed segmentation on the fixed lattice."""
    labels = labelsFromSegmentation(knee.nodes.movingSegmentation, FIXED_GRID)
    node = knee.scene.AddNode(segmentationFromLabels(labels, "fixed labels"))
    return dataclasses.replace(knee.nodes, fixedSegmentation=node)


def _turnIntoSurfaces(node):
    node.CreateClosedSurfaceRepresentation()
    node.SetSourceRepresentationToClosedSurface()
    node.GetSegmentation().RemoveRepresentation("Binary labelmap")


def _byWorker(nodes, result, options=None):
    own = finished(workerSteps(nodes, options or OutputOptions()))
    return warp_segments(own, FIXED_GRID, result.displacement_field_mm, 2, lambda: False)


def _assertEqual(first: RunSegments, second: RunSegments) -> None:
    for field in dataclasses.fields(RunSegments):
        here, there = getattr(first, field.name), getattr(second, field.name)
        assert (here is None) == (there is None), field.name
        if here is not None:
            assert here.segments == there.segments
            for one, other in zip(here.layers, there.layers, strict=True):
                np.testing.assert_array_equal(one.labels, other.labels)
                assert one.labels.dtype == other.labels.dtype and (one.labels > 0).sum() > 50
                assert one.grid == other.grid == FIXED_GRID


@pytest.mark.parametrize("compared", [False, True], ids=["moving alone", "with fixed segments"])
@pytest.mark.parametrize("surfaces", [False, True], ids=["label maps", "surfaces"])
@pytest.mark.parametrize("moved", [False, True], ids=["in the world", "under a linear transform"])
def test_the_worker_carries_as_the_window_would(knee, compared, surfaces, moved):
    nodes = _withFixed(knee) if compared else knee.nodes
    if surfaces:
        _turnIntoSurfaces(nodes.movingSegmentation)
    if moved:
        parent = knee.scene.AddNode(affineTransformNode(SHEARED, "sheared"))
        nodes.movingSegmentation.SetAndObserveTransformNodeID(parent.GetID())
    expected = finished(warpSegmentsSteps(nodes, OutputOptions(), knee.result))
    _assertEqual(_byWorker(nodes, knee.result), expected)
    assert (expected.fixed is not None) == (expected.before is not None) == compared


def test_a_bent_transform_above_the_segments_is_left_to_the_window(knee):
    bend = knee.scene.AddNode(gridTransformNode(smoothField(FIXED_GRID), FIXED_GRID, "bend"))
    for name in ("movingSegmentation", "fixedSegmentation"):
        nodes = _withFixed(knee)
        getattr(nodes, name).SetAndObserveTransformNodeID(bend.GetID())
        assert finished(workerSteps(nodes, OutputOptions())) is None
        nodes.movingSegmentation.SetAndObserveTransformNodeID(None)


def test_segments_that_nobody_asked_for_are_not_read(knee):
    unwanted = OutputOptions(warpedSegmentation=False)
    assert finished(workerSteps(knee.nodes, unwanted)) is None
    assert finished(warpSegmentsSteps(knee.nodes, unwanted, knee.result)) == RunSegments()
    assert areSegmentsWarped(_withFixed(knee), unwanted)
    assert not areSegmentsWarped(dataclasses.replace(_withFixed(knee), movingSegmentation=None), OutputOptions())
