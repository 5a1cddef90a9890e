"""Surfaces become the label maps that Slicer makes of them, in short steps."""

from __future__ import annotations

import numpy as np
import pytest
import slicer
import vtk

from JointRegistrationLib.core.geometry import Grid
from JointRegistrationLib.core.progress import finished
from JointRegistrationMRML import pauses
from JointRegistrationMRML.nodes.arrays import numpyMatrix, numpyView
from JointRegistrationMRML.nodes.segments.layers import ownLayerSteps
from JointRegistrationMRML.nodes.segments.segmentations import labelsFromSegmentation, setReferenceGeometry
from JointRegistrationMRML.nodes.segments.surface_to_labels import canBeStepped, surfaceLabelSteps
from Testing.Support.known_scene import GRIDS


def _ball(center=(1.3, -7.7, 12.4), radius=13.0):
    """A closed surface of quadrangles and triangles, not centred on any voxel."""
    source = vtk.vtkSphereSource()
    source.SetThetaResolution(30)
    source.SetPhiResolution(20)
    source.LatLongTessellationOn()
    source.SetCenter(*center)
    source.SetRadius(radius)
    source.Update()
    return source.GetOutput()


def _segmentation(scene, surfaces, grid=None, **settings):
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "surfaces")
    node.SetSourceRepresentationToClosedSurface()
    for name, surface in surfaces.items():
        segment = slicer.vtkSegment()
        segment.SetName(name)
        segment.AddRepresentation("Closed surface", surface)
        node.GetSegmentation().AddSegment(segment, name)
    if grid is not None:
        setReferenceGeometry(node, grid)
    for name, value in settings.items():
        node.GetSegmentation().SetConversionParameter(name.replace("_", " "), value)
    return node


@pytest.mark.parametrize("lattice", [*GRIDS, None])
@pytest.mark.parametrize(
    "settings", [{}, {"Oversampling_factor": "2"}, {"Crop_to_reference_image_geometry": "1"}], ids="".join
)
def test_label_map_is_the_one_that_slicer_makes(scene, lattice, settings, monkeypatch):
    monkeypatch.setattr(pauses, "STEP_S", 0.0)  # a slice a step
    node = _segmentation(scene, {"ball": _ball()}, GRIDS.get(lattice), **settings)
    segmentation = node.GetSegmentation()
    assert canBeStepped(segmentation)
    image = finished(surfaceLabelSteps(segmentation, "ball"))
    assert not segmentation.ContainsRepresentation("Binary labelmap")
    segmentation.CreateRepresentation("Binary labelmap")
    expected = segmentation.GetSegment("ball").GetRepresentation("Binary labelmap")
    assert image.GetExtent() == expected.GetExtent()
    np.testing.assert_array_equal(numpyView(image), numpyView(expected))
    np.testing.assert_array_equal(_matrix(image), _matrix(expected))
    assert numpyView(image).sum() > 300


def _matrix(image):
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    return numpyMatrix(matrix)


def test_automatic_oversampling_is_left_to_slicer(scene):
    node = _segmentation(scene, {"ball": _ball()}, GRIDS["RAS"], Oversampling_factor="A")
    assert not canBeStepped(node.GetSegmentation())
    node.GetSegmentation().CreateRepresentation("Binary labelmap")
    expected = numpyView(node.GetSegmentation().GetSegment("ball").GetRepresentation("Binary labelmap"))
    node.GetSegmentation().RemoveRepresentation("Binary labelmap")
    (layer,) = finished(ownLayerSteps(node)).layers
    np.testing.assert_array_equal(layer.labels[1:-1, 1:-1, 1:-1], expected)


def test_surfaces_that_overlap_get_layers_of_their_own_and_others_share_one(scene):
    balls = {"a": _ball(radius=6.0), "b": _ball((5.3, -7.7, 12.4), 6.0), "c": _ball((-12.3, -20.0, 30.0), 4.0)}
    found = finished(ownLayerSteps(_segmentation(scene, balls, GRIDS["RAS"])))
    assert sorted(segment.layer for segment in found.segments) in ([0, 0, 1], [0, 1, 1])


def test_a_surface_of_many_triangles_is_not_converted_in_one_step(scene):
    grid = Grid((96, 96, 96), (0.4, 0.4, 0.4), (-19.0, -19.0, -19.0))
    node = _segmentation(scene, {"ball": _ball((0, 0, 0), 15.0)}, grid)
    steppings = sum(1 for _ in surfaceLabelSteps(node.GetSegmentation(), "ball"))
    assert steppings >= 6  # the lattice, four filters, and parts of the slices


def test_an_empty_surface_is_an_empty_segment_among_others(scene):
    node = _segmentation(scene, {"nothing": vtk.vtkPolyData(), "ball": _ball()}, GRIDS["RAS"])
    labels = labelsFromSegmentation(node, GRIDS["RAS"])
    assert [segment.name for segment in labels.segments] == ["nothing", "ball"]
    nothing, ball = labels.segments
    assert not labels.mask(nothing).any()
    assert labels.mask(ball).sum() > 300
