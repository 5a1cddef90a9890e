"""Views of a run: each leaves the scene, node by node, as it was."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace

import numpy as np
import pytest
import slicer

from JointRegistrationLib.core.image import Image
from JointRegistrationLib.core.lattices.segments import SegmentLayers
from JointRegistrationMRML.inspection.images import flick
from JointRegistrationMRML.inspection.session import VIEWS, Inspection
from JointRegistrationMRML.nodes.arrays import numpyView
from JointRegistrationMRML.nodes.segments.segmentations import segmentationFromLabels
from JointRegistrationMRML.run.register import registerVolumes
from JointRegistrationMRML.run.registration_nodes import OutputOptions
from JointRegistrationMRML.scene.transaction import nodesOf
from JointRegistrationMRML.scene.view_state import restoreViews
from Testing.Support.at_once import showComparison
from Testing.Support.examples import run_example
from Testing.Support.known_scene import FIXED_GRID, addVolume, latticePoints, sceneState

LIVE = OutputOptions(showMovingTransformed=True)
ONLY_NUMBERS = OutputOptions(
    inverseTransform=False, warpedVolume=False, warpedSegmentation=False, jacobian=False, folds=False
)


@pytest.fixture
def views(knee):
    """Slice views, a layout, a crosshair and a fixed segmentation of the user's own."""
    scene = knee.scene
    slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(scene, True)
    mine = addVolume(scene, np.zeros(FIXED_GRID.shape, np.float32), FIXED_GRID, "mine")
    for name in ("Red", "Green", "Yellow"):
        composite = scene.AddNewNodeByClass("vtkMRMLSliceCompositeNode", name)
        composite.SetLayoutName(name)
        composite.SetBackgroundVolumeID(mine.GetID())
        composite.SetForegroundOpacity(0.2)
        view = scene.AddNewNodeByClass("vtkMRMLSliceNode", name)
        view.SetLayoutName(name)
        view.SetOrientation({"Red": "Axial", "Green": "Coronal", "Yellow": "Sagittal"}[name])
    scene.AddNewNodeByClass("vtkMRMLLayoutNode", "Layout").SetViewArrangement(3)
    scene.AddNewNodeByClass("vtkMRMLCrosshairNode", "Crosshair")
    blob = np.square(latticePoints(FIXED_GRID) - FIXED_GRID.center_ras).sum(axis=-1)
    femur = Image((blob < 11.0**2).astype(np.uint8), FIXED_GRID)
    labels = SegmentLayers.of(femur, {1: ("Femur", (0.9, 0.8, 0.5))})
    fixed = scene.AddNode(segmentationFromLabels(labels, "fixed labels"))
    fixed.CreateDefaultDisplayNodes()
    knee.nodes = replace(knee.nodes, fixedSegmentation=fixed)
    return [node for node in nodesOf(scene) if node.IsA("vtkMRMLSliceCompositeNode")]


def _run(knee, options=None):
    return registerVolumes(knee.scene, knee.nodes, runner=knee.run, options=options)


def _everything(scene):
    """All nodes by id with all they are saved with: properties, references, matrices, windows."""
    scene.SetSaveToXMLString(1)
    scene.Commit()
    scene.SetSaveToXMLString(0)
    found = re.findall(r"<(\w+)\s+id=\"(\w+)\"(.*?)>", scene.GetSceneXMLString(), re.DOTALL)
    # The subject hierarchy numbers its items anew.
    return {
        identifier: text for tag, identifier, text in found if tag not in ("SubjectHierarchy", "SubjectHierarchyItem")
    }


def _contents(scene):
    """Checksums of what the user's and the run's nodes hold."""
    found = {}
    for node in nodesOf(scene):
        if node.IsA("vtkMRMLVolumeNode") and node.GetImageData():
            found[node.GetID()] = hashlib.md5(np.ascontiguousarray(numpyView(node.GetImageData()))).hexdigest()
        if node.IsA("vtkMRMLSegmentationNode"):
            segmentation = node.GetSegmentation()
            names = [segmentation.GetNthSegmentID(n) for n in range(segmentation.GetNumberOfSegments())]
            found[node.GetID()] = [
                (n, numpyView(segmentation.GetSegment(n).GetRepresentation("Binary labelmap")).sum()) for n in names
            ]
    return found


def test_the_example_of_the_docs_opens_views_and_closes_them(knee, views, capsys):
    outputs = _run(knee)
    before = _withoutPlace(knee.scene)
    names = run_example("docs/inspection.md", 0, scene=knee.scene, outputs=outputs)
    assert capsys.readouterr().out == names["view"].text + "\n"
    assert _withoutPlace(knee.scene) == before


def _withoutPlace(scene):
    """All but where the slices lie, which stay at the fold that was shown last."""
    return {key: text for key, text in _everything(scene).items() if not re.match("vtkMRML(Slice|Crosshair)Node", key)}


@pytest.mark.parametrize("options", [OutputOptions(), LIVE, ONLY_NUMBERS], ids=["plain", "live", "few results"])
@pytest.mark.parametrize("name", list(VIEWS))
def test_a_view_that_was_opened_and_closed_leaves_every_node_as_it_was(knee, views, name, options):
    outputs = _run(knee, options)
    if name == "agreement" and options is ONLY_NUMBERS:
        pytest.skip("agreement needs the warped segmentation, which this run did not make")
    before = (sceneState(knee.scene), _everything(knee.scene), _contents(knee.scene))
    inspection = Inspection(knee.scene, outputs)
    view = inspection.open(name)
    assert (sceneState(knee.scene), _everything(knee.scene)) != before[:2]  # it does show something
    assert view.text
    inspection.close(name)
    after = (sceneState(knee.scene), _everything(knee.scene), _contents(knee.scene))
    assert len(before[1]) > 20
    assert after == before


@pytest.mark.parametrize("names", [("checkerboard", "contours"), ("contours", "grid")])
@pytest.mark.parametrize("firstOut", [0, 1])
def test_segmentations_do_not_cover_a_view_in_the_slices_until_the_last_one_is_closed(knee, views, names, firstOut):
    outputs = _run(knee)
    nodes = (knee.nodes.fixedSegmentation, knee.nodes.movingSegmentation, outputs.nodes.warpedSegmentation)
    before = [(node.GetDisplayNode().GetVisibility(), node.GetDisplayNode().GetVisibility2D()) for node in nodes]
    inspection = Inspection(knee.scene, outputs)
    for name in names:
        inspection.open(name)
    inspection.close(names[firstOut])
    assert [node.GetDisplayNode().GetVisibility2D() for node in nodes] == [0, 0, 0]
    inspection.close(names[1 - firstOut])
    after = [(node.GetDisplayNode().GetVisibility(), node.GetDisplayNode().GetVisibility2D()) for node in nodes]
    assert after == before


@pytest.mark.parametrize("options", [OutputOptions(), ONLY_NUMBERS], ids=["the run's volume", "the view's own"])
def test_volume_change_is_more_than_0_where_the_moving_tissue_is_larger(knee, views, options):
    outputs = _run(knee, options)
    inspection = Inspection(knee.scene, outputs)
    volume = inspection.open("jacobian").subject
    determinant = outputs.result.jacobian_determinant
    shown = numpyView(volume.GetImageData())
    unfolded = determinant > 0
    np.testing.assert_allclose(shown[unfolded], np.log2(determinant[unfolded]), atol=1e-5)
    assert (shown[determinant > 1] > 0).all()

    part = numpyView(inspection.open("jacobian", inside=(knee.nodes.fixedSegmentation, "Femur")).subject.GetImageData())
    inside = part[part > -900]
    femur = np.square(latticePoints(FIXED_GRID) - FIXED_GRID.center_ras).sum(axis=-1) < 11.0**2
    assert inside.size == femur.sum()
    np.testing.assert_allclose(inside[inside > -3], np.log2(determinant[femur & unfolded]), atol=1e-5)


def test_flicker_begins_with_the_fixed_image_and_says_which_one_is_shown(knee, views):
    view = Inspection(knee.scene, _run(knee)).open("flicker")
    opacities = [views[0].GetForegroundOpacity()]
    names = []
    for _ in range(3):
        names.append(flick(view))
        opacities.append(views[0].GetForegroundOpacity())
    assert names == ["warped", "fixed", "warped"]
    assert opacities == [0.0, 1.0, 0.0, 1.0], "the warped image lies over the fixed one"


def test_side_by_side_shows_the_whole_image_in_both_views_whatever_their_shape(knee, views):
    nodes = [node for node in nodesOf(knee.scene) if node.IsA("vtkMRMLSliceNode") and node.GetLayoutName() != "Green"]
    for node, size in zip(nodes, ((300, 500), (280, 500)), strict=True):
        node.SetDimensions(*size, 1)
        node.SetFieldOfView(10, 10, 1)
    Inspection(knee.scene, _run(knee)).open("sideBySide")
    corners = np.asarray(FIXED_GRID.corners_ras)
    for node in nodes:
        toView = node.GetXYToRAS()
        toView.Invert()
        pixels = np.array([toView.MultiplyPoint((*corner, 1))[:2] for corner in corners])
        toView.Invert()
        size = np.array(node.GetDimensions()[:2])
        assert (pixels > -2).all() and (pixels < size + 2).all()
        assert (np.ptp(pixels, axis=0) / size).max() > 0.85, "as large as it can be"


def test_results_are_outlined_not_filled_until_the_views_are_given_back(knee, views):
    outputs = _run(knee)
    displays = [n.GetDisplayNode() for n in (knee.nodes.fixedSegmentation, outputs.nodes.warpedSegmentation)]
    assert all(display.GetVisibility2DFill() for display in displays)
    record = showComparison(knee.scene, outputs, "warped")
    assert [(d.GetVisibility2DFill(), d.GetVisibility2DOutline(), d.GetVisibility()) for d in displays] == [
        (0, 1, 1)
    ] * 2
    restoreViews(knee.scene, record)
    assert all(display.GetVisibility2DFill() for display in displays)
