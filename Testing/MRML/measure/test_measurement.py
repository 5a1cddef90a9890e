"""The numbers of a run against SimpleITK, SciPy and maps whose answer is known; their table and its file."""

from __future__ import annotations

import csv
import dataclasses

import numpy as np
import pytest
import SimpleITK as sitk
import slicer
import vtk
from scipy import ndimage

from JointRegistrationLib.core.errors import FileError, InputError
from JointRegistrationLib.core.figures.map_statistics import DisplacementStatistics, VolumeChange
from JointRegistrationLib.core.geometry import transform_points
from JointRegistrationMRML.measure.cartilage import CartilagePair, guessedPairs
from JointRegistrationMRML.measure.measurement import LandmarkError, measure, measureSteps
from JointRegistrationMRML.measure.segments import Agreement, SegmentFigures
from JointRegistrationMRML.measure.table import COLUMNS, figureRows, numbersTable, writeCsv
from JointRegistrationMRML.run.publish import publishResult
from JointRegistrationMRML.run.registration_nodes import OutputNodes, OutputOptions
from Testing.Support.at_once import gridTransformNode
from Testing.Support.known_scene import latticePoints
from Testing.Support.measured_run import GRID, NAMES, addPoints, linearResult, masks, outputsOf


def simpleItkDice(a, b) -> float:
    overlap = sitk.LabelOverlapMeasuresImageFilter()
    overlap.Execute(*(sitk.GetImageFromArray(mask.astype(np.uint8)) for mask in (a, b)))
    return overlap.GetDiceCoefficient()


def scipyDistances(a, b) -> np.ndarray:
    surfaces = [mask & ~ndimage.binary_erosion(mask) for mask in (a, b)]
    to = [ndimage.distance_transform_edt(~surface, sampling=GRID.spacing_mm[::-1]) for surface in surfaces]
    return np.concatenate([to[1][surfaces[0]], to[0][surfaces[1]]])


def test_agreement_before_and_after_equals_simpleitk_and_scipy(scene):
    fixedParts, movingParts = masks(), masks(shiftMm=(3, -1, 2))
    figures = measure(outputsOf(scene, linearResult(np.eye(3)), fixedParts, movingParts))
    assert [segment.name for segment in figures.segments] == list(NAMES)
    allDistances = []
    for segment, fixed, moving in zip(figures.segments, fixedParts, movingParts, strict=True):
        distances = scipyDistances(fixed, moving)
        allDistances.append(distances)
        for agreement in (segment.before, segment.after):  # the identity changes nothing
            assert agreement.dice == pytest.approx(simpleItkDice(fixed, moving), abs=1e-9)
            assert agreement.assdMm == pytest.approx(distances.mean(), abs=1e-5)
            assert agreement.hd95Mm == pytest.approx(np.percentile(distances, 95), abs=1e-5)
        voxel = GRID.voxel_volume_mm3
        assert segment.fixedMm3 == pytest.approx(fixed.sum() * voxel)
        assert segment.movingMm3 == segment.warpedMm3 == pytest.approx(moving.sum() * voxel)
    pooled = np.concatenate(allDistances)
    assert figures.overall.before.assdMm == pytest.approx(pooled.mean(), abs=1e-5)
    assert figures.overall.before.hd95Mm == pytest.approx(np.percentile(pooled, 95), abs=1e-5)
    common = sum((f & m).sum() for f, m in zip(fixedParts, movingParts, strict=True))
    sizes = sum(f.sum() + m.sum() for f, m in zip(fixedParts, movingParts, strict=True))
    assert figures.overall.before.dice == pytest.approx(2 * common / sizes)


def test_hausdorff_distance_of_simpleitk_bounds_ours(scene):
    fixedParts, movingParts = masks(), masks(shiftMm=(3, -1, 2))
    segment = measure(outputsOf(scene, linearResult(np.eye(3)), fixedParts, movingParts)).segments[0]
    images = [sitk.GetImageFromArray(mask.astype(np.uint8)) for mask in (fixedParts[0], movingParts[0])]
    for image in images:
        image.SetSpacing(GRID.spacing_mm)
    hausdorff = sitk.HausdorffDistanceImageFilter()
    hausdorff.Execute(*images)
    assert 0 < segment.before.assdMm < segment.before.hd95Mm <= hausdorff.GetHausdorffDistance() + 1e-5


def test_the_right_map_makes_the_segments_agree(scene):
    shift = np.array([3.0, -1, 2])
    result = linearResult(np.eye(3))
    field = np.broadcast_to(shift.astype(np.float32), (*GRID.shape, 3)).copy()
    result = dataclasses.replace(result, displacement_field_mm=field)
    figures = measure(outputsOf(scene, result, masks(), masks(shift)))
    for segment in figures.segments:  # balls of 8 and 13 mm in voxels of up to 3.6 mm
        assert segment.after.dice > max(0.85, segment.before.dice + 0.15)
        assert segment.after.assdMm < min(0.7, segment.before.assdMm / 2)
    length = np.linalg.norm(shift)
    found = figures.displacement
    assert (found.mean_mm, found.p95_mm, found.max_mm) == pytest.approx([length] * 3, rel=1e-6)


@pytest.mark.parametrize(
    ("matrix", "percent"),
    [(np.diag([1.1] * 3), 33.1), (np.array([[1, 0.2, 0], [0, 1, 0.1], [0, 0, 1]]), 0.0)],
    ids=["larger", "shear"],
)
def test_volume_change_is_that_of_the_linear_map_and_its_direction_that_of_the_volumes(scene, matrix, percent):
    scale = matrix[0, 0]
    figures = measure(outputsOf(scene, linearResult(matrix), masks(), masks(scale=scale)))
    for segment in (*figures.segments, figures.overall):
        assert segment.change.change_percent == pytest.approx(percent, abs=1e-3)
        assert segment.change.log2_mean == pytest.approx(np.log2(1 + percent / 100), abs=1e-5)
        assert segment.change.folds == 0
        counted = 100 * (segment.movingMm3 / segment.fixedMm3 - 1)
        assert counted == pytest.approx(percent, abs=8)  # of voxels of 8 mm^3


def test_the_moving_volume_is_counted_on_the_moving_grid(scene):
    outputs = outputsOf(scene, linearResult(np.eye(3)), masks(), masks())
    coarse = GRID.resized(tuple(n // 2 for n in GRID.size_ijk))
    result = dataclasses.replace(outputs.result, moving_grid=coarse)
    figures = measure(dataclasses.replace(outputs, result=result))
    ball = 4 / 3 * np.pi * 13.0**3
    assert figures.overall.fixedMm3 == pytest.approx(ball, rel=0.02)
    assert figures.overall.movingMm3 == pytest.approx(ball, rel=0.2)  # in voxels of eight times the volume


def test_the_change_is_that_inside_the_fixed_segment_not_the_warped_one(scene):
    away = np.array([0.0, 0.0, 20.0])
    result = linearResult(np.eye(3))
    determinant = np.where(latticePoints(GRID)[..., 2] > GRID.center_ras[2] + 10, 1.5, 0.8).astype(np.float32)
    result = dataclasses.replace(result, jacobian_determinant=determinant)
    bone = masks()[0], np.zeros(GRID.shape, bool)
    figures = measure(outputsOf(scene, result, bone, (masks(away)[0], bone[1])))
    assert figures.segments[0].change.change_percent == pytest.approx(-20, abs=1e-3)


def test_folds_are_counted_where_they_are(scene):
    result = linearResult(np.eye(3))
    determinant = result.jacobian_determinant.copy()
    bone, cartilage = masks()
    planted = np.argwhere(bone)[::50]
    determinant[tuple(planted.T)] = -0.1
    result = dataclasses.replace(result, jacobian_determinant=determinant)
    figures = measure(outputsOf(scene, result, (bone, cartilage), None))
    assert [segment.change.folds for segment in figures.segments] == [len(planted), 0]
    assert figures.overall.change.folds == len(planted)
    assert np.isnan(figures.segments[0].after.dice) and np.isnan(figures.segments[0].warpedMm3)


def test_without_a_fixed_segmentation_the_change_is_that_inside_the_warped_segment(scene):
    figures = measure(outputsOf(scene, linearResult(np.diag([1.1] * 3)), None, masks()))
    assert [segment.name for segment in figures.segments] == list(NAMES)
    assert figures.overall.change.change_percent == pytest.approx(33.1, abs=1e-3)
    assert np.isnan(figures.overall.fixedMm3) and figures.cartilage[0].change is None
    assert figures.cartilage[0].movingMeanMm == pytest.approx(5, abs=0.4)


def test_without_segments_and_landmarks_the_whole_image_is_left(scene):
    figures = measure(outputsOf(scene, linearResult(np.eye(3)), None, None))
    assert (figures.segments, figures.overall, figures.cartilage, figures.landmarks) == ((), None, (), ())
    assert (figures.nccBefore, figures.nccAfter) == (0.5, 0.9)
    assert (figures.inverseMeanMm, figures.inverseMaxMm) == (0.01, 0.1)


def test_the_runs_own_transform_above_the_moving_segments_is_left_out(scene):
    result = linearResult(np.diag([1.05] * 3))
    outputs = outputsOf(scene, result, masks(), masks(scale=1.05))
    expected = measure(outputs)
    transform = scene.AddNode(gridTransformNode(result.displacement_field_mm, GRID, "result"))
    outputs.inputs.movingSegmentation.SetAndObserveTransformNodeID(transform.GetID())
    live = dataclasses.replace(outputs, nodes=OutputNodes(transform=transform))
    assert figureRows(measure(live)) == figureRows(expected)


def test_landmark_errors_are_the_distances_before_and_after(scene, rng):
    matrix = np.diag([1.1, 1.0, 0.9])
    fixed = transform_points(GRID.unit_to_ras, rng.uniform(0.2, 0.8, (4, 3)))
    exact = (fixed - GRID.center_ras) @ matrix.T + GRID.center_ras
    moving = exact + np.array([[0, 0, 0], [3, 0, 0], [0, 4, 0], [0, 3, 4]])
    nodes = {"fixedLandmarks": addPoints(scene, fixed, "F"), "movingLandmarks": addPoints(scene, moving, "M")}
    outputs = outputsOf(scene, linearResult(matrix), None, None, **nodes)
    figures = measure(outputs)
    assert [error.name for error in figures.landmarks] == ["P1", "P2", "P3", "P4"]
    assert [error.afterMm for error in figures.landmarks] == pytest.approx([0, 3, 4, 5], abs=1e-4)
    before = np.linalg.norm(fixed - moving, axis=1)
    assert [error.beforeMm for error in figures.landmarks] == pytest.approx(before, abs=1e-9)
    mean = figureRows(figures)[-1]
    assert (mean["Of"], mean["TRE after (mm)"]) == ("All landmarks, mean", "3.000")
    outputs.inputs.movingLandmarks.RemoveNthControlPoint(0)
    broken = measure(outputs)
    assert broken.landmarks == () and "M: 3 landmarks, but F has 4" in broken.notes[0]


def test_steps_say_how_far_they_are_and_what_they_do(scene):
    steps = list(measureSteps(outputsOf(scene, linearResult(np.eye(3)), masks(), masks())))
    fractions = [fraction for fraction, _ in steps]
    assert fractions == sorted(fractions) and fractions[0] == 0 and fractions[-1] < 1
    assert {"Femur", "thickness of Femoral cartilage"} <= {what for _, what in steps}


def test_cartilage_is_paired_with_its_bone_by_name(scene):
    names = ("femur", "Femoral Cartilage", "Medial tibial cartilage", "Tibial bone", "Patellar cartilage", "Meniscus")
    assert guessedPairs(names) == (
        CartilagePair("Femoral Cartilage", "femur"),
        CartilagePair("Medial tibial cartilage", "Tibial bone"),
        CartilagePair("Patellar cartilage", None),
    )
    outputs = outputsOf(scene, linearResult(np.eye(3)), masks(), masks())
    with pytest.raises(InputError, match="no segment 'Tibia'; known are Femur, Femoral cartilage"):
        measure(outputs, [CartilagePair("Femoral cartilage", "Tibia")])
    found = measure(outputs, [CartilagePair("Femur")]).cartilage
    assert [item.pair for item in found] == [CartilagePair("Femur")]


def test_table_has_a_row_for_each_and_its_file_reads_back(scene, tmp_path):
    outputs = outputsOf(scene, linearResult(np.diag([1.1] * 3)), masks(), masks(scale=1.1))
    figures = measure(outputs)
    table = scene.AddNode(numbersTable(figures, "numbers"))
    path = tmp_path / "numbers.csv"
    writeCsv(table, path)
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["Of"], row["Kind"]) for row in rows] == [
        ("Femur", "segment"),
        ("Femoral cartilage", "segment"),
        ("All segments", "all segments"),
        ("Whole image", "image"),
    ]
    assert rows[0]["Moving larger than fixed, by the map (%)"] == "33.10"
    assert float(rows[1]["Thickness, moving minus fixed, mean (mm)"]) == pytest.approx(0.5, abs=0.3)
    assert rows[0]["Thickness, fixed (mm)"] == "" and rows[3]["Dice after"] == ""
    assert rows[3]["NCC after"] == "0.9000"
    with pytest.raises(FileError, match="cannot be written"):
        writeCsv(table, tmp_path / "missing" / "numbers.csv")


def test_names_do_not_become_formulas_in_a_spreadsheet_and_numbers_stay_numbers(tmp_path):
    cells = {"=HYPERLINK(1)": "'=HYPERLINK(1)", "+a": "'+a", "-a": "'-a", "@a": "'@a", "-0.5": "-0.5", "1e-3": "1e-3"}
    column = vtk.vtkStringArray()
    column.SetName("-Of")
    for text in cells:
        column.InsertNextValue(text)
    table = vtk.vtkTable()
    table.AddColumn(column)
    node = slicer.vtkMRMLTableNode()
    node.SetAndObserveTable(table)
    writeCsv(node, tmp_path / "a.csv")
    with (tmp_path / "a.csv").open(newline="") as stream:
        assert [row[0] for row in csv.reader(stream)] == ["'-Of", *cells.values()]


def test_every_number_stands_in_its_own_column(scene):
    measured = measure(outputsOf(scene, linearResult(np.eye(3)), masks(), masks()))
    change = VolumeChange(7.0, 8.0, 9.0, 10.0, 11.0, 12, ())
    segment = SegmentFigures(
        "Femoral cartilage", (0, 0, 0), Agreement(0.1, 1, 2), Agreement(0.2, 3, 4), 5, 6, 6.5, change
    )
    cartilage = dataclasses.replace(
        measured.cartilage[0], fixedMeanMm=21, movingMeanMm=22, warpedMeanMm=23, change=None
    )
    figures = dataclasses.replace(
        measured,
        segments=(segment,),
        overall=None,
        nccBefore=0.31,
        nccAfter=0.32,
        inverseMeanMm=33,
        inverseMaxMm=34,
        folds=35,
        displacement=DisplacementStatistics(36, 37, 38),
        cartilage=(cartilage,),
        landmarks=(LandmarkError("1", 41, 42), LandmarkError("2", 45, 44)),
    )
    rows = [{title: float(text) for title, text in row.items() if title in COLUMNS} for row in figureRows(figures)]
    ofSegment = dict(zip(COLUMNS, (0.1, 0.2, 1, 3, 2, 4, 5, 6, 6.5, 7, 8, 9, 10, 11, 12, 21, 22, 23), strict=False))
    assert rows[0] == ofSegment
    image = ("Folds (voxels)", "NCC before", "NCC after", "Inverse error, mean (mm)", "Inverse error, max (mm)")
    moved = ("Displacement, mean (mm)", "Displacement, 95 % (mm)", "Displacement, max (mm)")
    assert rows[1] == dict(zip((*image, *moved), (35, 0.31, 0.32, 33, 34, 36, 37, 38), strict=True))
    errors = [[row["TRE before (mm)"], row["TRE after (mm)"]] for row in rows[2:]]
    assert errors == [[41, 42], [45, 44], [43, 43]]


def test_slicers_own_table_file_holds_the_same(scene, tmp_path):
    figures = measure(outputsOf(scene, linearResult(np.eye(3)), masks(), masks()))
    table = scene.AddNode(numbersTable(figures, "numbers"))
    storage = scene.AddNewNodeByClass("vtkMRMLTableStorageNode")
    storage.SetFileName(str(tmp_path / "slicer.csv"))
    assert storage.WriteData(table)
    loaded = slicer.vtkMRMLTableNode()
    scene.AddNode(loaded)
    assert storage.ReadData(loaded)
    writeCsv(table, tmp_path / "ours.csv")
    writeCsv(loaded, tmp_path / "loaded.csv")
    assert (tmp_path / "loaded.csv").read_text() == (tmp_path / "ours.csv").read_text()


def test_a_published_run_is_measured(knee):
    outputs = publishResult(knee.scene, knee.nodes, knee.result, OutputOptions(showMovingTransformed=True))
    figures = measure(outputs)
    assert [segment.name for segment in figures.segments] == ["Femur", "Femoral cartilage", "Lesion"]
    assert figures.folds == 8
