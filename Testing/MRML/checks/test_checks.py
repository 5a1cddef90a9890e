"""What is found before a run: each problem, its way out, and nothing where there is nothing."""

from __future__ import annotations

import dataclasses
import tracemalloc

import numpy as np
import pytest
import slicer
import vtk

from JointRegistrationLib.core.config import NetworkConfig, RegistrationConfig
from JointRegistrationLib.core.errors import InputError
from JointRegistrationLib.core.geometry import Grid
from JointRegistrationLib.core.image import Image
from JointRegistrationLib.core.lattices.segments import SegmentLayers
from JointRegistrationLib.core.plan import MIN_WORKING_VOXELS, estimate_plan
from JointRegistrationMRML.checks import volumes
from JointRegistrationMRML.checks.find import findProblems
from JointRegistrationMRML.checks.problems import CENTRE, ERROR, RESOLUTION, WARNING
from JointRegistrationMRML.checks.remedies import applyRemedy
from JointRegistrationMRML.nodes.arrays import newNode, vtkMatrix
from JointRegistrationMRML.nodes.segments.segmentations import segmentationFromLabels
from JointRegistrationMRML.nodes.volumes import imageFromVolume
from JointRegistrationMRML.nodes.world import worldTransform
from JointRegistrationMRML.run.registration_nodes import InputNodes
from JointRegistrationMRML.scene.transaction import discard
from Testing.Support.known_scene import MOVING_GRID, addVolume, latticePoints, sceneState

CONFIG = RegistrationConfig()
#: A knee's field of view, 140 x 140 x 112 mm, centred on the origin.
KNEE = Grid((36, 36, 29), (4.0, 4.0, 4.0), (-70.0, -70.0, -56.0))


def _knee(scene, name, grid=KNEE, array=None):
    if array is None:
        array = np.square(latticePoints(grid) - grid.center_ras).sum(axis=-1).astype(np.float32)
    return addVolume(scene, array, grid, name)


def _moved(grid, offset):
    return dataclasses.replace(grid, origin_ras=tuple(np.asarray(grid.origin_ras) + offset))


@pytest.fixture
def pair(scene):
    return InputNodes(_knee(scene, "fixed"), _knee(scene, "moving"))


def _found(nodes, config=CONFIG, **options):
    return [(problem.severity, problem.text) for problem in findProblems(nodes, config, **options)]


def _one(nodes, config=CONFIG, **options):
    problems = findProblems(nodes, config, **options)
    assert len(problems) == 1, problems
    return problems[0]


def test_two_knees_have_no_problem(pair):
    assert _found(pair) == []
    assert _found(pair, availableMemoryBytes=10**11) == []


def test_a_negative_and_an_image_of_something_else_are_warned_of(scene, pair):
    shown = imageFromVolume(pair.fixed).array
    negative = _knee(scene, "negative", array=shown.max() - shown)
    problem = _one(InputNodes(pair.fixed, negative))
    assert (problem.severity, "negative looks like a negative of fixed" in problem.text) == (WARNING, True)
    noise = _knee(scene, "noise", array=np.random.default_rng(0).random(shown.shape).astype(np.float32))
    problem = _one(InputNodes(pair.fixed, noise))
    assert (problem.severity, "hardly look alike" in problem.text) == (WARNING, True)


def test_missing_and_equal_volumes(pair):
    assert _found(InputNodes(None, None)) == [
        (ERROR, "Choose a fixed volume."),
        (ERROR, "Choose a moving volume."),
    ]
    assert _found(InputNodes(pair.fixed, pair.fixed)) == [(ERROR, "Fixed and moving are the same volume: choose two.")]


def test_a_volume_without_voxels(scene, pair):
    empty = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty")
    problem = _one(InputNodes(pair.fixed, empty))
    assert problem.severity == ERROR
    assert problem.text.startswith("empty: the volume holds no voxels")


@pytest.mark.parametrize(("slices", "words"), [(1, "a single slice"), (3, "only 3 slices")])
def test_a_volume_of_few_slices(scene, pair, slices, words):
    flat = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "flat")
    image = vtk.vtkImageData()
    image.SetDimensions(36, 36, slices)
    image.AllocateScalars(vtk.VTK_SHORT, 1)
    flat.SetAndObserveImageData(image)
    problem = _one(InputNodes(pair.fixed, flat))
    assert (problem.severity, words in problem.text) == (ERROR, True)


@pytest.mark.parametrize(
    ("column", "words"), [((0.9, 2.0, 0.0), "not at right angles"), ((0.0, 0.0, 0.0), "no valid place in space")]
)
def test_axes_that_no_lattice_can_have(scene, pair, column, words):
    odd = _knee(scene, "odd")
    matrix = vtk.vtkMatrix4x4()
    odd.GetIJKToRASMatrix(matrix)
    for row, value in enumerate(column):
        matrix.SetElement(row, 1, value)
    odd.SetIJKToRASMatrix(matrix)
    problem = _one(InputNodes(pair.fixed, odd))
    assert problem.severity == ERROR and words in problem.text and "odd" in problem.text and "[" not in problem.text


def test_a_start_that_cannot_be_refined(scene, pair):
    start = scene.AddNewNodeByClass("vtkMRMLTransformNode", "plain")
    problem = _one(InputNodes(pair.fixed, pair.moving, startTransform=start))
    assert problem.severity == ERROR and "plain holds no displacement grid" in problem.text


def test_constant_images_and_values_that_are_no_numbers(scene, pair):
    constant = _knee(scene, "constant", array=np.full(KNEE.shape, 7, np.int16))
    assert "the value 7 everywhere" in _one(InputNodes(constant, pair.moving)).text
    one = np.full(KNEE.shape, 7, np.int16)
    one[3, 5, 1] = 8  # not among the few voxels that are looked at
    assert ERROR not in dict(_found(InputNodes(_knee(scene, "one", array=one), pair.moving)))
    array = np.square(latticePoints(KNEE)).sum(axis=-1)
    array[10:] = np.nan
    problem = _one(InputNodes(pair.fixed, _knee(scene, "nan", array=array)))
    assert (problem.severity, "NaN" in problem.text) == (ERROR, True)


def test_colour_images_and_label_maps(scene, pair):
    colour = scene.AddNewNodeByClass("vtkMRMLVectorVolumeNode", "colour")
    image = vtk.vtkImageData()
    image.SetDimensions(*KNEE.size_ijk)
    image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 3)
    colour.SetAndObserveImageData(image)
    assert "one value per voxel is needed" in _one(InputNodes(pair.fixed, colour)).text
    labels = scene.AddNode(newNode("vtkMRMLLabelMapVolumeNode", "labels"))
    labels.CopyOrientation(pair.fixed)
    labels.SetAndObserveImageData(pair.fixed.GetImageData())
    problem = _one(InputNodes(pair.fixed, labels))
    assert (problem.severity, "is a label map" in problem.text) == (WARNING, True)


def test_spacing_that_was_lost_or_cannot_be(scene, pair):
    def text(grid):
        nodes = InputNodes(pair.fixed, _knee(scene, "odd", grid))
        return " ".join(problem.text for problem in findProblems(nodes, CONFIG))

    lost = Grid((40, 512, 512), (1.0, 1.0, 1.0), (-20.0, -256.0, -256.0))
    assert "exactly 1 x 1 x 1 mm" in text(lost)
    assert "unusual for a knee" in text(Grid((40, 40, 40), (0.2, 0.2, 0.2), (-4.0, -4.0, -4.0)))
    assert "between such slices" in text(Grid((100, 100, 10), (1.4, 1.4, 9.0), (-70.0, -70.0, -45.0)))
    assert text(Grid((140, 140, 112), (1.0, 1.0, 1.0), (-70.0, -70.0, -56.0))) == ""


def test_volumes_apart_can_be_centred_and_that_can_be_undone(scene, pair):
    nodes = dataclasses.replace(pair, moving=_knee(scene, "far", _moved(KNEE, (500.0, 0, 0))))
    problem = _one(nodes)
    assert (problem.severity, problem.remedy.kind) == (ERROR, CENTRE)
    before = sceneState(scene)
    done = applyRemedy(scene, problem, nodes)
    assert _found(nodes) == []
    np.testing.assert_allclose(imageFromVolume(nodes.moving).grid.center_ras, KNEE.center_ras, atol=1e-9)
    assert nodes.moving.GetImageData() is not None
    np.testing.assert_allclose(nodes.moving.GetOrigin()[0], KNEE.origin_ras[0] + 500)  # the volume is not changed
    discard(scene, done.record)
    assert sceneState(scene) == before
    assert nodes.moving.GetParentTransformNode() is None


def test_centring_works_below_other_transforms_and_takes_the_segmentation_along(scene, pair):
    above = scene.AddNewNodeByClass("vtkMRMLTransformNode", "above")
    turn = np.array([[0, -1, 0, 300], [1, 0, 0, 50], [0, 0, 1, -20], [0, 0, 0, 1.0]])
    above.SetMatrixTransformToParent(vtkMatrix(turn))
    segmentation = scene.AddNode(newNode("vtkMRMLSegmentationNode", "labels"))
    nodes = dataclasses.replace(pair, movingSegmentation=segmentation)
    for node in (nodes.moving, segmentation):
        node.SetAndObserveTransformNodeID(above.GetID())
    problem = next(p for p in findProblems(nodes, CONFIG) if p.remedy is not None)
    applyRemedy(scene, problem, nodes)
    np.testing.assert_allclose(imageFromVolume(nodes.moving).grid.center_ras, KNEE.center_ras, atol=1e-9)
    assert segmentation.GetParentTransformNode() is nodes.moving.GetParentTransformNode()
    assert nodes.moving.GetParentTransformNode().GetParentTransformNode() is above


def test_transforms_above_and_initial_transforms_count_for_the_overlap(scene, pair):
    away = scene.AddNewNodeByClass("vtkMRMLTransformNode", "away")
    matrix = np.eye(4)
    matrix[1, 3] = 400
    away.SetMatrixTransformToParent(vtkMatrix(matrix))
    pair.moving.SetAndObserveTransformNodeID(away.GetID())
    assert _one(pair).remedy.kind == CENTRE
    assert _found(pair, leftOut=away) == []
    back = scene.AddNewNodeByClass("vtkMRMLTransformNode", "back")
    back.SetMatrixTransformToParent(vtkMatrix(np.linalg.inv(matrix)))
    assert _found(dataclasses.replace(pair, initialTransform=back)) == []
    half = np.eye(4)
    half[1, 3] = 0.9 * 140
    away.SetMatrixTransformToParent(vtkMatrix(half))
    problem = _one(pair)
    assert (problem.severity, "only" in problem.text) == (WARNING, True)


def test_an_initial_transform_that_was_only_just_made_changes_nothing(scene, pair):
    empty = scene.AddNewNodeByClass("vtkMRMLTransformNode", "new")
    assert empty.GetTransformFromParent() is None
    assert _found(dataclasses.replace(pair, initialTransform=empty)) == _found(pair)


def test_landmarks_or_a_chosen_start_make_overlap_unnecessary(scene, pair):
    nodes = dataclasses.replace(pair, moving=_knee(scene, "far", _moved(KNEE, (500.0, 0, 0))))
    centred = dataclasses.replace(CONFIG, affine=dataclasses.replace(CONFIG.affine, initialization="center"))
    assert _found(nodes, centred) == []
    points = {which: _points(scene, which, 3) for which in ("fixedLandmarks", "movingLandmarks")}
    assert _found(dataclasses.replace(nodes, **points)) == []


def test_a_non_linear_initial_transform_is_refused(scene, pair):
    node = scene.AddNewNodeByClass("vtkMRMLTransformNode", "bent")
    node.SetAndObserveTransformToParent(slicer.vtkOrientedBSplineTransform())
    problem = _one(dataclasses.replace(pair, initialTransform=node))
    assert (problem.severity, "bent is not linear" in problem.text) == (ERROR, True)


def _points(scene, name, count):
    node = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", name)
    for index in range(count):
        node.AddControlPoint(vtk.vtkVector3d(index, 2 * index, index**2))
    return node


def test_landmark_lists_that_do_not_fit(scene, pair):
    three, four, none = (_points(scene, f"{count} points", count) for count in (3, 4, 0))
    assert "Choose points for both" in _one(dataclasses.replace(pair, fixedLandmarks=three)).text
    text = _one(dataclasses.replace(pair, fixedLandmarks=three, movingLandmarks=four)).text
    assert "Points in 3 points: 3, in 4 points: 4." in text
    nodes = dataclasses.replace(pair, fixedLandmarks=none, movingLandmarks=none)
    assert all("has no points" in text for _, text in _found(nodes))
    three.UnsetNthControlPointPosition(1)
    nodes = dataclasses.replace(pair, fixedLandmarks=three, movingLandmarks=_points(scene, "other", 3))
    assert "not placed" in _one(nodes).text


def test_masks(scene, pair):
    def labelMap(name, grid, value):
        node = scene.AddNode(newNode("vtkMRMLLabelMapVolumeNode", name))
        node.SetIJKToRASMatrix(vtkMatrix(grid.ijk_to_ras))
        image = vtk.vtkImageData()
        image.SetDimensions(*grid.size_ijk)
        image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
        image.GetPointData().GetScalars().Fill(value)
        node.SetAndObserveImageData(image)
        return node

    assert _found(dataclasses.replace(pair, fixedMask=labelMap("full", KNEE, 1))) == []
    assert "empty is empty" in _one(dataclasses.replace(pair, fixedMask=labelMap("empty", KNEE, 0))).text
    assert _found(dataclasses.replace(pair, movingMask=labelMap("shifted", _moved(KNEE, (1.0, 0, 0)), 1))) == []
    other = labelMap("other", _moved(KNEE, (1000.0, 0, 0)), 1)
    assert "lies beside moving" in _one(dataclasses.replace(pair, movingMask=other)).text


def test_segmentations_without_segments_or_voxels(scene, pair):
    bare = scene.AddNode(newNode("vtkMRMLSegmentationNode", "bare"))
    assert "bare has no segments" in _one(dataclasses.replace(pair, movingSegmentation=bare)).text
    labels = np.zeros(MOVING_GRID.shape, np.uint8)
    bone = SegmentLayers.of(Image(labels, MOVING_GRID), {1: ("bone", (1.0, 0.0, 0.0))})
    empty = scene.AddNode(segmentationFromLabels(bone, "empty"))
    assert "segments of empty are empty" in _one(dataclasses.replace(pair, fixedMask=empty)).text
    labels[3, 3, 3] = 1
    full = scene.AddNode(segmentationFromLabels(bone, "full"))
    assert _found(dataclasses.replace(pair, fixedMask=full, fixedSegmentation=full)) == []
    assert "is no segmentation" in _one(dataclasses.replace(pair, fixedSegmentation=pair.fixed)).text


@pytest.mark.parametrize(
    ("fixed", "moving", "warned"),
    [
        ("knee left", "knee right", True),
        ("LeftKnee_DESS", "SAG_3D_DESS_RIGHT", True),
        ("knee_L", "R knee", True),
        ("left knee", "left knee follow-up", False),
        ("T1 L", "T2 R", False),  # a letter without the joint says nothing
        ("brightness", "left", False),
        ("left and right", "right", False),
    ],
)
def test_names_that_speak_of_sides(pair, fixed, moving, warned):
    pair.fixed.SetName(fixed)
    pair.moving.SetName(moving)
    found = _found(pair)
    assert [severity for severity, _ in found] == [WARNING] * warned
    assert all("a left knee cannot be laid onto a right one" in text for _, text in found)


def test_laterality_attributes_say_more_than_names(pair):
    pair.fixed.SetName("left knee")
    pair.fixed.SetAttribute("DICOM.Laterality", "R")
    pair.moving.SetAttribute("DICOM.ImageLaterality", "L")
    assert "called a right knee" in _one(pair).text


def test_a_chosen_side_that_the_name_contradicts(pair):
    pair.fixed.SetName("left knee")
    config = RegistrationConfig(network=NetworkConfig(side="right"))
    assert "but the settings say right" in _one(pair, config).text


def test_too_little_memory_offers_a_resolution_that_fits(scene):
    grid = Grid((200, 200, 100), (0.7, 0.7, 1.1), (-70.0, -70.0, -55.0))
    array = np.arange(grid.num_voxels, dtype=np.int16).reshape(grid.shape)
    nodes = InputNodes(_knee(scene, "a", grid, array), _knee(scene, "b", grid, array))
    config = RegistrationConfig(method="vsvf-opt")
    needed = estimate_plan(grid, grid, config).memory_bytes
    coarse = dataclasses.replace(config.preprocess, max_working_voxels=MIN_WORKING_VOXELS)
    least = estimate_plan(grid, grid, dataclasses.replace(config, preprocess=coarse)).memory_bytes
    assert _found(nodes, config, availableMemoryBytes=needed) == []
    free = (needed + least) // 2
    problem = _one(nodes, config, availableMemoryBytes=free)
    assert (problem.severity, problem.remedy.kind) == (WARNING, RESOLUTION)
    smaller = applyRemedy(scene, problem, nodes).config
    assert _found(nodes, smaller, availableMemoryBytes=free) == []
    problem = _one(nodes, config, availableMemoryBytes=least // 2)
    assert (problem.remedy, "crop the volumes" in problem.text) == (None, True)
    with pytest.raises(InputError, match="no remedy"):
        applyRemedy(scene, problem, nodes)


def test_errors_come_first_and_all_are_told(scene, pair):
    nodes = InputNodes(pair.fixed, _knee(scene, "far", _moved(KNEE, (500.0, 0, 0))), fixedLandmarks=None)
    nodes.fixed.SetName("left knee")
    nodes.moving.SetName("right knee")
    assert [severity for severity, _ in _found(nodes)] == [ERROR, WARNING]


def test_checking_large_volumes_looks_at_few_voxels_and_copies_none(scene, monkeypatch):
    looked = []
    few = volumes._fewVoxels
    monkeypatch.setattr(volumes, "_fewVoxels", lambda image: looked.append(few(image)) or looked[-1])
    grid = Grid((384, 384, 160), (0.36, 0.36, 0.7), (-69.0, -69.0, -56.0))
    array = np.zeros(grid.shape, np.int16)
    array[::2] = 100
    nodes = InputNodes(_knee(scene, "a", grid, array), _knee(scene, "b", grid, array))
    assert worldTransform(nodes.moving) is None
    tracemalloc.start()
    try:
        assert _found(nodes, availableMemoryBytes=10**11) == []
        copied = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(looked) == 2
    assert sum(voxels.size for voxels in looked) < 0.01 * array.size
    assert copied < 0.02 * array.nbytes
