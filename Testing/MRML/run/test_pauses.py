"""Long work in short steps: all of it is done, in order, and each step is short."""

from __future__ import annotations

import time

import numpy as np
import pytest

from JointRegistrationLib.core.progress import finished
from JointRegistrationMRML import pauses
from JointRegistrationMRML.nodes.segments.masks import maskSteps
from JointRegistrationMRML.nodes.segments.segmentations import labelsFromSegmentation
from JointRegistrationMRML.nodes.volumes import imageFromVolume, imageSteps
from JointRegistrationMRML.pauses import inSteps
from Testing.Support.at_once import gridTransformNode, maskSegmentation
from Testing.Support.known_scene import FIXED_GRID, GRIDS, addVolume, smoothField


class Clock:
    """A clock that stands still but for the work done."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(pauses.time, "perf_counter", lambda: self.now)


def test_every_part_is_done_once_and_in_order():
    done = []
    for _ in inSteps(1000, lambda part: done.extend(range(part.start, part.stop)), 7):
        pass
    assert done == list(range(1000))
    assert list(inSteps(0, done.append)) == []


@pytest.mark.parametrize("secondsEach", [1e-5, 1e-3, 0.02])
def test_steps_come_to_the_same_length_however_fast_the_work_is(monkeypatch, secondsEach):
    clock, lengths = Clock(monkeypatch), []

    def work(part: slice) -> None:
        clock.now += secondsEach * (part.stop - part.start)
        lengths.append(part.stop - part.start)

    for _ in inSteps(20_000 if secondsEach < 0.01 else 50, work):
        clock.now += 5.0  # what a window does in a pause does not count
    assert max(lengths) * secondsEach < 1.5 * pauses.STEP_S
    assert lengths[-2] * secondsEach > 0.5 * pauses.STEP_S


def test_a_generator_taken_at_once_gives_its_result():
    def adding():
        yield
        yield
        return 3

    assert finished(adding()) == 3


def _counted(generator):
    taken = []
    result = finished(generator, after=lambda: taken.append(1))
    return len(taken), result


def _bend(scene):
    return scene.AddNode(gridTransformNode(smoothField(FIXED_GRID), FIXED_GRID, "bend"))


def test_a_volume_under_a_non_linear_transform_is_resampled_row_by_row(scene, rng, monkeypatch):
    node = addVolume(scene, rng.random(FIXED_GRID.shape).astype(np.float32), FIXED_GRID, "knee")
    node.SetAndObserveTransformNodeID(_bend(scene).GetID())
    whole = imageFromVolume(node)
    monkeypatch.setattr(pauses, "STEP_S", 0.0)
    count, image = _counted(imageSteps(node))
    assert count == whole.grid.size_ijk[1] * whole.grid.size_ijk[2]
    np.testing.assert_array_equal(image.array, whole.array)
    assert whole.array.std() > 0.05


def _segmentation(scene, kind):
    """Two segments that touch, on another lattice than the one they are asked for on."""
    grid = GRIDS["LPS"]
    labels = np.zeros((2, *grid.shape), bool)
    labels[0, 4:12, 5:12, 5:12], labels[1, 12:18, 5:12, 5:12] = True, True
    node = scene.AddNode(maskSegmentation(labels[0], grid, "lower", (1, 0, 0)))
    upper = maskSegmentation(labels[1], grid, "upper", (0, 1, 0)).GetSegmentation().GetSegment("upper")
    node.GetSegmentation().AddSegment(upper, "upper")
    if kind == "surfaces":
        node.GetSegmentation().CreateRepresentation("Closed surface")
        node.GetSegmentation().SetSourceRepresentationName("Closed surface")
        node.GetSegmentation().RemoveRepresentation("Binary labelmap")
    return node


@pytest.mark.parametrize("kind", ["label maps", "surfaces"])
@pytest.mark.parametrize("moved", [False, True], ids=["in the world", "under a non-linear transform"])
def test_a_mask_is_read_row_by_row(scene, kind, moved, monkeypatch):
    node = _segmentation(scene, kind)
    if moved:
        node.SetAndObserveTransformNodeID(_bend(scene).GetID())
    layers = labelsFromSegmentation(node, FIXED_GRID).layers
    monkeypatch.setattr(pauses, "STEP_S", 0.0)
    count, mask = _counted(maskSteps(node, FIXED_GRID))
    assert count > 100
    expected = np.any([layer.labels > 0 for layer in layers], axis=0)
    assert expected.sum() > 200
    assert (mask != expected).sum() <= (0 if kind == "label maps" else 0.03 * expected.sum())


def test_a_segmentation_on_the_lattice_itself_is_copied_not_interpolated(scene, rng, monkeypatch):
    from JointRegistrationLib.core.lattices import sampling

    monkeypatch.setattr(sampling, "_interpolated", None)
    box = np.zeros(FIXED_GRID.shape, bool)
    box[2:9, 3:8, 4:11] = rng.random((7, 5, 7)) > 0.5
    node = scene.AddNode(maskSegmentation(box, FIXED_GRID, "part", (1, 0, 0)))
    before = node.GetSegmentation().GetMTime()
    np.testing.assert_array_equal(finished(maskSteps(node, FIXED_GRID)), box)
    beyond = FIXED_GRID.cropped((5, 4, 3), (6, 5, 4))
    np.testing.assert_array_equal(finished(maskSteps(node, beyond)), box[3:7, 4:9, 5:11])
    assert node.GetSegmentation().GetMTime() == before
    assert node.GetSegmentation().GetSegment("part").GetRepresentation("Binary labelmap").IsA("vtkOrientedImageData")


def test_no_part_is_shorter_than_the_least_but_the_last():
    parts = []

    def slow(part):
        parts.append(part.stop - part.start)
        time.sleep(0.05)

    finished(inSteps(25, slow, least=10))
    assert parts == [10, 10, 5]
