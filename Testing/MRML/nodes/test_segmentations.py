"""Segmentations as label maps, carried through maps, without hardening and without loss of identity."""

from __future__ import annotations

import numpy as np
import pytest
import slicer
import vtk

from JointRegistrationLib.core.errors import InputError
from JointRegistrationLib.core.geometry import Grid
from JointRegistrationLib.core.image import Image
from JointRegistrationLib.core.lattices.sampling import LabelMap
from JointRegistrationLib.core.lattices.segments import RunSegments, SegmentLabel, SegmentLayers
from JointRegistrationLib.core.progress import finished
from JointRegistrationMRML.nodes.arrays import vtkMatrix
from JointRegistrationMRML.nodes.segments.segmentations import (
    BINARY_LABELMAP,
    labelsFromSegmentation,
    labelSteps,
    segmentationFromLabels,
    segmentationSteps,
)
from JointRegistrationMRML.run.results_table import overlapSteps
from Testing.Support.at_once import gridTransformNode, maskSegmentation, segmentMasks
from Testing.Support.known_scene import FIXED_GRID, GRIDS, MOVING_GRID, latticePoints

FINE = Grid((48, 46, 44), (1.0, 1.0, 1.0), (-18.0, -32.0, -2.0))


def _ball(grid: Grid, centre: tuple[float, float, float], radius: float) -> np.ndarray:
    return np.linalg.norm(latticePoints(grid) - centre, axis=-1) < radius


def _mask(labels: SegmentLayers, segmentId: str) -> np.ndarray:
    return labels.mask(next(segment for segment in labels.segments if segment.segment_id == segmentId))


def _node(scene, grid: Grid = FINE):
    """Bone and cartilage touch each other; the lesion overlaps both."""
    centre = tuple(grid.center_ras)
    inner, outer = _ball(grid, centre, 9), _ball(grid, centre, 12)
    lesion = _ball(grid, (centre[0] + 9, centre[1], centre[2]), 6)
    maps = ((inner + 2 * (outer & ~inner)).astype(np.uint8), lesion.astype(np.uint8))
    labels = SegmentLayers(
        tuple(LabelMap(values, grid) for values in maps),
        (
            SegmentLabel("b", "Femur", (0.9, 0.8, 0.5), 0, 1),
            SegmentLabel("c", "Cartilage", (0.2, 0.6, 0.9), 0, 2),
            SegmentLabel("l", "Lesion", (0.9, 0.1, 0.1), 1, 1),
        ),
    )
    return scene.AddNode(segmentationFromLabels(labels, "labels")), labels


def test_labels_to_node_and_back_are_exact_with_overlapping_segments(scene, grid):
    node, labels = _node(scene, grid)
    back = labelsFromSegmentation(node, grid)
    assert [(s.segment_id, s.name) for s in back.segments] == [("b", "Femur"), ("c", "Cartilage"), ("l", "Lesion")]
    assert len(back.layers) == 2
    for segmentId in "bcl":
        np.testing.assert_array_equal(_mask(back, segmentId), _mask(labels, segmentId))


def test_only_the_segments_asked_for_are_read(scene):
    node, labels = _node(scene)
    back = labelsFromSegmentation(node, FINE, ["c"])
    assert [segment.segment_id for segment in back.segments] == ["c"]
    np.testing.assert_array_equal(_mask(back, "c"), _mask(labels, "c"))
    with pytest.raises(InputError, match=r"labels: there is no segment 'x'; known are b, c, l"):
        labelsFromSegmentation(node, FINE, ["x"])


def test_shift_by_whole_voxels_is_exact_and_does_not_change_the_moving_node(scene):
    node, labels = _node(scene)
    time = node.GetSegmentation().GetMTime()
    field = np.zeros((*FINE.shape, 3), np.float32)
    field[...] = (3.0, -2.0, 4.0)
    warped = finished(labelSteps(node, FINE, field))
    for segmentId in "bcl":
        expected = np.roll(_mask(labels, segmentId), (-4, 2, -3), axis=(0, 1, 2))
        np.testing.assert_array_equal(_mask(warped, segmentId), expected)
    assert node.GetSegmentation().GetMTime() == time


def test_warped_segments_keep_their_volume_on_another_lattice(scene):
    node, labels = _node(scene)
    target = GRIDS["oblique-anisotropic-left-handed"].resized((50, 50, 50))
    warped = finished(labelSteps(node, target, np.zeros((*target.shape, 3), np.float32)))
    for segmentId in "bcl":
        before = _mask(labels, segmentId).sum() * FINE.voxel_volume_mm3
        after = _mask(warped, segmentId).sum() * target.voxel_volume_mm3
        assert after == pytest.approx(before, rel=0.03)


def test_thin_plate_survives_a_half_voxel_shift_that_touching_neighbours_share(scene):
    plate = np.zeros(FINE.shape, np.uint8)
    plate[20:22], plate[22:26] = 1, 2
    labels = SegmentLayers.of(Image(plate, FINE), {1: ("a", (1, 0, 0)), 2: ("b", (0, 1, 0))})
    node = scene.AddNode(segmentationFromLabels(labels, "plates"))
    field = np.zeros((*FINE.shape, 3), np.float32)
    field[..., 2] = 0.4
    warped = finished(labelSteps(node, FINE, field))
    inside = (slice(None), slice(1, -1), slice(1, -1))
    np.testing.assert_array_equal(_mask(warped, "a")[inside], (plate == 1)[inside])
    both = _mask(warped, "a") | _mask(warped, "b")
    assert np.all(both[20:25][inside]), "there must be no gap where the two touch"


def test_new_node_has_shared_layers_reference_geometry_names_colours_and_terminology(scene):
    node, _ = _node(scene)
    tag = slicer.vtkSegment.GetTerminologyEntryTagName()
    node.GetSegmentation().GetSegment("b").SetTag(tag, "a term")
    warped = finished(labelSteps(node, FIXED_GRID, np.zeros((*FIXED_GRID.shape, 3), np.float32)))
    new = finished(segmentationSteps(warped, "new", like=node))
    segmentation = new.GetSegmentation()
    assert segmentation.GetNumberOfLayers(BINARY_LABELMAP) == 2
    for segmentId in "bcl":
        given, made = (n.GetSegmentation().GetSegment(segmentId) for n in (node, new))
        assert made.GetName() == given.GetName()
        assert made.GetColor() == given.GetColor()
    value = vtk.reference("")
    segmentation.GetSegment("b").GetTag(tag, value)
    assert str(value) == "a term"
    geometry = slicer.vtkOrientedImageData()
    name = slicer.vtkSegmentationConverter.GetReferenceImageGeometryParameterName()
    slicer.vtkSegmentationConverter.DeserializeImageGeometry(segmentation.GetConversionParameter(name), geometry)
    assert geometry.GetDimensions() == FIXED_GRID.size_ijk


def test_surface_only_segmentation_is_carried_without_being_changed(scene):
    node, labels = _node(scene)
    node.CreateClosedSurfaceRepresentation()
    node.SetSourceRepresentationToClosedSurface()
    node.GetSegmentation().RemoveRepresentation(BINARY_LABELMAP)
    back = labelsFromSegmentation(node, FINE)
    assert not node.GetSegmentation().ContainsRepresentation(BINARY_LABELMAP)
    for segmentId in "bl":  # of the cartilage, Slicer's surface smoothing takes more
        a, b = _mask(back, segmentId), _mask(labels, segmentId)
        assert 2 * (a & b).sum() / (a.sum() + b.sum()) > 0.93


@pytest.mark.parametrize("linear", [True, False], ids=["linear", "non-linear"])
def test_parent_transforms_are_respected(scene, linear):
    node, labels = _node(scene)
    offset = np.array([3.0, -2.0, 4.0])
    if linear:
        parent = scene.AddNewNodeByClass("vtkMRMLTransformNode", "parent")
        matrix = np.eye(4)
        matrix[:3, 3] = offset
        parent.SetMatrixTransformToParent(vtkMatrix(matrix))
    else:
        parent = scene.AddNode(gridTransformNode(np.zeros((*FINE.shape, 3)) - offset, FINE, "parent"))
    node.SetAndObserveTransformNodeID(parent.GetID())
    back = labelsFromSegmentation(node, FINE)
    for segmentId in "bcl":
        np.testing.assert_array_equal(_mask(back, segmentId), np.roll(_mask(labels, segmentId), (4, -2, 3), (0, 1, 2)))


def test_segments_cut_off_by_their_lattice_end_there(scene):
    mask = np.ones(MOVING_GRID.shape, bool)
    node = scene.AddNode(maskSegmentation(mask, MOVING_GRID, "all", (1, 0, 0)))
    wide = MOVING_GRID.padded((3, 3, 3))
    back = labelsFromSegmentation(node, wide).layers[0].labels > 0
    assert back.sum() == MOVING_GRID.num_voxels
    assert np.all(back[3:-3, 3:-3, 3:-3])


def test_what_is_no_segmentation_or_has_no_segments_is_refused(scene):
    empty = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "nothing")
    with pytest.raises(InputError, match="nothing: the segmentation has no segments"):
        labelsFromSegmentation(empty, FINE)
    with pytest.raises(InputError, match="a segmentation is needed"):
        labelsFromSegmentation(None, FINE)


def test_segments_of_one_name_stay_apart_in_tables_and_masks(scene):
    node, labels = _node(scene)
    for segmentId in "bc":
        node.GetSegmentation().GetSegment(segmentId).SetName("Cartilage")
    masks = segmentMasks(node, FINE)
    assert list(masks) == ["Cartilage", "Cartilage (2)", "Lesion"]
    assert [mask.segmentId for mask in masks.values()] == ["b", "c", "l"]
    np.testing.assert_array_equal(
        masks["Cartilage (2)"].over(tuple(slice(0, n) for n in FINE.shape)), _mask(labels, "c")
    )
    read = labelsFromSegmentation(node, FINE)
    overlaps = finished(overlapSteps(RunSegments(read, None, read, read)))
    assert [(overlap.name, overlap.after) for overlap in overlaps] == [
        ("Cartilage", 1.0),
        ("Cartilage (2)", 1.0),
        ("Lesion", 1.0),
    ]
