"""Outlines and agreement of fixed and warped structures, against the masks they were made of."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import slicer
import vtk

from JointRegistrationLib.core.errors import InputError
from JointRegistrationLib.core.geometry import Grid
from JointRegistrationLib.core.lattices.sampling import LabelMap
from JointRegistrationLib.core.lattices.segments import SegmentLabel, SegmentLayers
from JointRegistrationMRML.inspection.agreement import setPartShown
from JointRegistrationMRML.inspection.outlines import setOutlineShown
from JointRegistrationMRML.inspection.session import Inspection
from JointRegistrationMRML.nodes.arrays import numpyView
from JointRegistrationMRML.nodes.colors import FIXED_COLOR, WARPED_COLOR
from JointRegistrationMRML.nodes.segments.masks import SegmentMask, segmentMask
from JointRegistrationMRML.nodes.segments.segmentations import labelsFromSegmentation, segmentationFromLabels
from JointRegistrationMRML.run.register import registerVolumes
from JointRegistrationMRML.run.registration_nodes import OutputOptions
from Testing.Support.at_once import maskSegmentation, surfaceOf
from Testing.Support.known_scene import FIXED_GRID, GRIDS, MOVING_GRID, latticePoints


def _ball(grid, radiusMm, shiftMm=(0, 0, 0)):
    return np.square(latticePoints(grid) - grid.center_ras - np.asarray(shiftMm)).sum(axis=-1) < radiusMm**2


@pytest.fixture
def fixedLabels(knee):
    """A fixed segmentation whose names are partly those of the moving one."""
    segments = (
        SegmentLabel("a", "Femur", (0.9, 0.8, 0.5), 0, 1),
        SegmentLabel("b", "Femoral cartilage", (0.2, 0.6, 0.9), 0, 2),
        SegmentLabel("c", "Meniscus", (0.2, 0.9, 0.3), 0, 3),
    )
    femur, rim = _ball(FIXED_GRID, 11), _ball(FIXED_GRID, 15)
    array = (femur + 2 * (rim & ~femur)).astype(np.uint8)
    array[:2] = 3
    node = knee.scene.AddNode(
        segmentationFromLabels(SegmentLayers((LabelMap(array, FIXED_GRID),), segments), "fixed labels")
    )
    node.CreateDefaultDisplayNodes()
    knee.nodes = replace(knee.nodes, fixedSegmentation=node)
    return node


def _run(knee, options=None):
    return registerVolumes(knee.scene, knee.nodes, runner=knee.run, options=options)


def _whole(mask):
    result = np.zeros(FIXED_GRID.shape, bool)
    if not mask.isEmpty:
        result[mask.slices] = mask.voxels
    return result


@pytest.mark.parametrize("name", ["Femur", "Femoral cartilage"])
def test_agreement_segments_are_both_only_fixed_and_only_warped(knee, fixedLabels, name):
    outputs = _run(knee)
    node = Inspection(knee.scene, outputs).open("agreement").nodes["agreement"]
    fixed, warped = (
        labelsFromSegmentation(source, FIXED_GRID) for source in (fixedLabels, outputs.nodes.warpedSegmentation)
    )
    one, other = (labels.mask(labels.find(name)) for labels in (fixed, warped))
    assert (one & other).any() and (one & ~other).any() and (other & ~one).any()
    for part, expected in (("both", one & other), ("only fixed", one & ~other), ("only warped", other & ~one)):
        found = segmentMask(node, FIXED_GRID, f"{name}: {part}")
        np.testing.assert_array_equal(_whole(found), expected)


def test_only_structures_of_both_sides_are_compared_and_parts_can_be_hidden(knee, fixedLabels):
    view = Inspection(knee.scene, _run(knee)).open("agreement")
    node = view.nodes["agreement"]
    ids = list(node.GetSegmentation().GetSegmentIDs())
    assert {segmentId.partition(":")[0] for segmentId in ids} == {"Femur", "Femoral cartilage"}
    setPartShown(view, "both", False)
    shown = {segmentId for segmentId in ids if node.GetDisplayNode().GetSegmentVisibility(segmentId)}
    assert shown == {segmentId for segmentId in ids if not segmentId.endswith("both")}


def test_agreement_says_what_is_missing(knee, fixedLabels):
    inspection = Inspection(knee.scene, _run(knee, OutputOptions(warpedSegmentation=False)))
    with pytest.raises(InputError, match="no warped segmentation"):
        inspection.open("agreement")
    for index in range(3):
        fixedLabels.GetSegmentation().GetNthSegment(index).SetName(f"other {index}")
    with pytest.raises(InputError, match="rename them"):
        Inspection(knee.scene, _run(knee)).open("agreement")
    knee.scene.RemoveNode(fixedLabels)
    with pytest.raises(InputError, match="no fixed segmentation"):
        Inspection(knee.scene, _run(knee)).open("agreement")


@pytest.mark.parametrize("live", [False, True])
def test_contours_have_one_colour_a_side_and_lie_where_they_belong(knee, fixedLabels, live):
    outputs = _run(knee)
    view = Inspection(knee.scene, outputs).open("contours", live=live)
    for kind, color in (("fixed", FIXED_COLOR), ("warped", WARPED_COLOR)):
        node = view.nodes[kind]
        for segmentId in node.GetSegmentation().GetSegmentIDs():
            assert node.GetDisplayNode().GetSegmentColor(segmentId) == pytest.approx(color)
    assert view.nodes["fixed"].GetTransformNodeID() is None
    transform = outputs.nodes.transform.GetID() if live else None
    assert view.nodes["warped"].GetTransformNodeID() == transform
    assert knee.nodes.movingSegmentation.GetTransformNodeID() is None  # nothing is hardened or moved
    for node in (fixedLabels, knee.nodes.movingSegmentation, outputs.nodes.warpedSegmentation):
        assert not node.GetDisplayNode().GetVisibility()


def _content(segmentation):
    """Segments by id: name and voxels."""
    found = {}
    for segmentId in segmentation.GetSegmentIDs():
        segment = segmentation.GetSegment(segmentId)
        image = segment.GetRepresentation("Binary labelmap")
        found[segmentId] = (
            segment.GetName(),
            image.GetExtent(),
            (numpyView(image) == segment.GetLabelValue()).tobytes(),
        )
    return found


@pytest.fixture
def emptied(knee):
    """As in the application: the subject hierarchy takes the segments of a segmentation node that goes out of it."""

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def empty(scene, event, node):
        if node.IsA("vtkMRMLSegmentationNode") and scene is not None and not scene.IsClosing():
            for segmentId in list(node.GetSegmentation().GetSegmentIDs()):
                node.GetSegmentation().RemoveSegment(segmentId)

    knee.scene.AddObserver(knee.scene.NodeAboutToBeRemovedEvent, empty)


WAYS = ("closed", "deleted in the Data module", "scene closed")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name, options", [("contours", {}), ("contours", {"live": True}), ("agreement", {})])
def test_however_a_view_ends_the_segments_stay(knee, fixedLabels, emptied, name, options, way):
    outputs = _run(knee)
    nodes = (fixedLabels, knee.nodes.movingSegmentation, outputs.nodes.warpedSegmentation)
    segmentations = [node.GetSegmentation() for node in nodes]
    before = [_content(segmentation) for segmentation in segmentations]
    inspection = Inspection(knee.scene, outputs)
    view = inspection.open(name, **options)
    if way == "scene closed":
        knee.scene.Clear(False)
    elif way == "deleted in the Data module":
        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(knee.scene)
        for node in list(view.nodes.values()):
            item = hierarchy.GetItemByDataNode(node)
            assert hierarchy.RemoveItem(item, True, True) if item else knee.scene.RemoveNode(node) is None
        assert inspection.broken == [name]
    inspection.closeAll()
    assert [_content(segmentation) for segmentation in segmentations] == before
    displays = [node.GetDisplayNode() for node in nodes if way != "scene closed"]
    assert all(display.GetVisibility() and display.GetVisibility2D() for display in displays)


@pytest.mark.parametrize("live", [False, True])
def test_outlines_follow_an_edit_until_they_are_closed(knee, fixedLabels, live):
    outputs = _run(knee)
    inspection = Inspection(knee.scene, outputs)
    source = knee.nodes.movingSegmentation if live else outputs.nodes.warpedSegmentation
    view = inspection.open("contours", live=live, segments=["Femur", "New"])
    node = view.nodes["warped"]
    assert _content(node.GetSegmentation()) == _content(source.GetSegmentation())
    image = source.GetSegmentation().GetNthSegment(0).GetRepresentation("Binary labelmap")
    numpyView(image)[:3] = 1
    image.Modified()
    assert _content(node.GetSegmentation()) == _content(source.GetSegmentation())
    segment = slicer.vtkSegment()
    segment.SetName("New")
    source.GetSegmentation().AddSegment(segment, "new")
    assert list(node.GetSegmentation().GetSegmentIDs()) == list(source.GetSegmentation().GetSegmentIDs())
    assert node.GetDisplayNode().GetSegmentColor("new") == pytest.approx(WARPED_COLOR)
    assert node.GetDisplayNode().GetSegmentVisibility("new")
    assert not node.GetDisplayNode().GetSegmentVisibility("lesion")
    inspection.closeAll()
    source.GetSegmentation().RemoveSegment("new")  # nobody follows any more


@pytest.mark.parametrize("linear", [True, False])
def test_what_stood_above_the_moving_segmentation_comes_before_the_registration(knee, linear):
    above = knee.scene.AddNewNodeByClass("vtkMRMLTransformNode", "above")
    if linear:
        matrix = vtk.vtkMatrix4x4()
        matrix.SetElement(0, 3, 3.0)
        above.SetMatrixTransformToParent(matrix)
    else:
        spline = vtk.vtkThinPlateSplineTransform()
        places = [(0, 0, 0), (50, 0, 0), (0, 50, 0), (0, 0, 50), (9, 9, 9)]
        for setter, shift in ((spline.SetSourceLandmarks, 0), (spline.SetTargetLandmarks, 3)):
            points = vtk.vtkPoints()
            for x, y, z in places:
                points.InsertNextPoint(x + (shift if y else 0), y, z)
            setter(points)
        spline.SetBasisToR()
        above.SetAndObserveTransformToParent(spline)
    moving = knee.nodes.movingSegmentation
    moving.SetAndObserveTransformNodeID(above.GetID())
    outputs = _run(knee)
    view = Inspection(knee.scene, outputs).open("contours", live=True)
    toWorld = vtk.vtkGeneralTransform()
    view.nodes["warped"].GetParentTransformNode().GetTransformToWorld(toWorld)
    point = MOVING_GRID.center_ras + np.array([2, -3, 4])
    through = above.GetTransformToParent().TransformPoint(*point)
    expected = outputs.nodes.transform.GetTransformToParent().TransformPoint(*through)
    np.testing.assert_allclose(toWorld.TransformPoint(*point), expected, atol=1e-3)
    assert moving.GetTransformNodeID() == above.GetID()


def test_segments_can_be_chosen_and_parts_hidden(knee, fixedLabels):
    view = Inspection(knee.scene, _run(knee)).open("contours", segments=["Femur"], surfaces=True)
    for kind in ("fixed", "warped"):
        node = view.nodes[kind]
        shown = {
            node.GetSegmentation().GetSegment(segmentId).GetName()
            for segmentId in node.GetSegmentation().GetSegmentIDs()
            if node.GetDisplayNode().GetSegmentVisibility(segmentId)
        }
        assert shown == {"Femur"}
    for kind in ("fixed", "warped", "fixed surfaces", "warped surfaces"):
        setOutlineShown(view, kind, False)
        assert not view.nodes[kind].GetDisplayNode().GetVisibility()
        setOutlineShown(view, kind, True)
        assert view.nodes[kind].GetDisplayNode().GetVisibility()


def test_without_a_fixed_segmentation_the_blue_lines_stand_alone_and_the_text_says_so(knee):
    outputs = registerVolumes(knee.scene, knee.nodes, runner=knee.run)
    view = Inspection(knee.scene, outputs).open("contours")
    assert "fixed" not in view.nodes and "no segmentation of it" in view.text
    assert view.nodes["warped"].GetDisplayNode().GetSliceIntersectionThickness() == 2


def test_without_a_moving_segmentation_contours_say_so(knee):
    knee.nodes = replace(knee.nodes, movingSegmentation=None)
    with pytest.raises(InputError, match="no moving segmentation"):
        Inspection(knee.scene, _run(knee)).open("contours")


# -- masks and surfaces -------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["same lattice", "cropped", "larger", "other lattice", "moved"])
def test_a_mask_is_the_segment_on_the_lattice(scene, where):
    grid, ball = FIXED_GRID, _ball(FIXED_GRID, 9, (4, 0, 0))
    source, array = grid, ball
    if where == "cropped":
        source, array = grid.cropped((6, 3, 4), (14, 15, 18)), ball[4:22, 3:18, 6:20]
    if where == "larger":
        source = grid.padded((3, 4, 5))
        array = np.pad(ball, ((5, 5), (4, 4), (3, 3)), constant_values=False)
        array[0] = True  # outside the lattice that is asked for
    if where == "other lattice":
        source = GRIDS["RAS"]
        array = _ball(source, 9, (4, 0, 0))
    node = scene.AddNode(maskSegmentation(array, source, "ball", (1, 0, 0)))
    if where == "moved":
        parent = scene.AddNewNodeByClass("vtkMRMLTransformNode")
        node.SetAndObserveTransformNodeID(parent.GetID())
    found = _whole(segmentMask(node, grid, "ball"))
    if where == "other lattice":
        assert np.count_nonzero(found != ball) < 0.25 * ball.sum()
    else:
        expected = np.zeros_like(ball)
        expected[4:22, 3:18, 6:20] = ball[4:22, 3:18, 6:20]
        np.testing.assert_array_equal(found, expected if where == "cropped" else ball)


def test_a_segment_that_is_not_there_or_empty_is_told(scene):
    node = scene.AddNode(maskSegmentation(np.zeros(FIXED_GRID.shape, bool), FIXED_GRID, "nothing", (1, 0, 0)))
    assert segmentMask(node, FIXED_GRID, "nothing").isEmpty
    with pytest.raises(InputError, match="no segment 'liver'"):
        segmentMask(node, FIXED_GRID, "liver")


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.35, 0.35, 0.7)], ids=["as it is", "joined voxels"])
@pytest.mark.parametrize("name", ["oblique", "LAS-left-handed"])
def test_a_surface_encloses_its_segment(name, spacing):
    direction = GRIDS[name].direction_ras
    grid = Grid((45, 44, 46), spacing, (7.0, -3.0, 2.0), direction)
    radius = 0.35 * grid.extent_mm.min()
    ball = _ball(grid, radius)
    mask = SegmentMask("ball", "ball", (0, 0, 0), ball)
    surface = surfaceOf([mask], grid)
    measured = vtk.vtkMassProperties()
    measured.SetInputData(surface)
    volume = ball.sum() * grid.voxel_volume_mm3
    assert measured.GetVolume() == pytest.approx(volume, rel=0.06)
    np.testing.assert_allclose(np.reshape(surface.GetBounds(), (3, 2)).mean(axis=1), grid.center_ras, atol=0.3)
    normal = np.array(surface.GetPointData().GetNormals().GetTuple(0))
    assert normal @ (np.array(surface.GetPoint(0)) - grid.center_ras) > 0  # outwards


def test_no_segment_has_no_surface():
    empty = SegmentMask("e", "e", (0, 0, 0), np.zeros((0, 0, 0), bool))
    assert surfaceOf([empty], FIXED_GRID).GetNumberOfPoints() == 0
    assert surfaceOf([], FIXED_GRID).GetNumberOfPoints() == 0


def test_parts_of_the_agreement_are_shown_and_hidden_in_one_change(knee, fixedLabels):
    view = Inspection(knee.scene, _run(knee)).open("agreement")
    changes = []
    view.nodes["agreement"].GetDisplayNode().AddObserver("ModifiedEvent", lambda *_: changes.append(1))
    setPartShown(view, "both", False)
    assert len(changes) == 1  # views draw at each
