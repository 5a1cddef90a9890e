"""The report that desktop Slicer can write: one file, all numbers and pictures, the right way round."""

from __future__ import annotations

import base64
import dataclasses
import io
import re

import numpy as np
import pytest
from PIL import Image as PillowImage
from scipy import ndimage

from JointRegistrationLib.core.errors import FileError
from JointRegistrationLib.core.geometry import transform_points
from JointRegistrationMRML import pauses
from JointRegistrationMRML.measure.measurement import measure
from JointRegistrationMRML.measure.table import figureRows
from JointRegistrationMRML.nodes.colors import FIXED_COLOR, WARPED_COLOR
from JointRegistrationMRML.nodes.jacobian import FOLDS_COLOR
from JointRegistrationMRML.nodes.segments.segmentations import labelsFromSegmentation
from JointRegistrationMRML.report import export, page
from JointRegistrationMRML.report.export import exportReport, exportSteps
from JointRegistrationMRML.report.marks import marked
from JointRegistrationMRML.report.pictures import LONG_SIDE_PX, reportPictures
from JointRegistrationMRML.report.slices import covered, insideSegments, planesThrough, sampled
from JointRegistrationMRML.run.register import registerVolumes
from Testing.Support.known_scene import GRIDS, addVolume, latticePoints
from Testing.Support.measured_run import GRID, addPoints, linearResult, masks, outputsOf

KEYS = (
    "fixed", "moving", "warped", "outlines_before", "outlines_after", "difference_before", "difference_after",
    "checkerboard_before", "checkerboard_after", "grid", "jacobian",
)  # fmt: skip
SHIFT = np.array([3.0, -1.0, 2.0])


def decoded(text):
    return np.asarray(PillowImage.open(io.BytesIO(base64.b64decode(text))))


def shifted(folded=False):
    """A run by the right shift, and whether five voxels are folded."""
    result = linearResult(np.eye(3))
    determinant = result.jacobian_determinant.copy()
    if folded:
        determinant[5, 10, 12:17] = -0.25
    field = np.broadcast_to(SHIFT.astype(np.float32), (*GRID.shape, 3)).copy()
    return dataclasses.replace(result, displacement_field_mm=field, jacobian_determinant=determinant)


@pytest.fixture
def outputs(scene):
    points = latticePoints(GRID).reshape(-1, 3)[[1000, 4000, 7000]]
    nodes = {"fixedLandmarks": addPoints(scene, points, "F"), "movingLandmarks": addPoints(scene, points + 1, "M")}
    return outputsOf(scene, shifted(folded=True), masks(), masks(SHIFT), **nodes)


PLOTS = ("jacobianPlot", "thicknessPlot", "depthMovedPlot", "depthJacobianPlot")


def test_the_report_holds_every_number_of_the_table_the_folds_all_plots_and_pictures(outputs, tmp_path):
    path = tmp_path / "report.html"
    exportReport(outputs, path)
    text = path.read_text(encoding="utf-8")
    for row in figureRows(measure(outputs)):
        if row["Kind"] != "image":
            cells = [value for title, value in row.items() if title not in ("Of", "Kind")]
            assert all(f">{cell}</td>" in text for cell in cells), row["Of"]
    assert f"<td>{row['Of']}</td>" in text
    assert "<h2>Folds</h2>" in text and '<td class="n">5</td>' in text and '<td class="n">-0.250</td>' in text
    for key in (*KEYS, *PLOTS, "thickness"):
        assert f'id="{key}"' in text
    assert text.count("<svg ") == len(PLOTS)
    pictures = re.findall(r"base64,([^\"]+)", text)
    assert len(pictures) == 3 * len(KEYS) + 2  # the femoral cartilage from two sides
    assert min(decoded(picture).shape[0] for picture in pictures) > 100
    assert not re.search("http|<script", re.sub(r"base64,[^\"]+", "", text))
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.html"]


def test_a_run_without_segments_and_points_has_the_other_pictures_and_tables(knee, tmp_path):
    nodes = dataclasses.replace(knee.nodes, movingSegmentation=None)
    outputs = registerVolumes(knee.scene, nodes, runner=knee.run)
    path = tmp_path / "report.html"
    exportReport(outputs, path)
    text = path.read_text(encoding="utf-8")
    assert 'id="outlines_after"' not in text and 'id="jacobian"' in text and 'id="thickness"' not in text
    assert "Agreement of segments" not in text and "Similarity (NCC)" in text
    assert "fixed knee" in text and "moving knee" in text


def test_the_grid_of_a_pair_far_off_leaves_the_affine_part_out_and_says_so(outputs, tmp_path):
    affine = np.eye(4)
    affine[:3, 3] = (30, -10, 20)
    field = outputs.result.displacement_field_mm - SHIFT + affine[:3, 3]
    far = dataclasses.replace(outputs.result, affine_ras=affine, displacement_field_mm=field.astype(np.float32))
    drawn = reportPictures(dataclasses.replace(outputs, result=far))
    row = next(row for row in drawn.rows if row.key == "grid")
    assert "The affine part is left out; with it, tissue was moved by 37 mm on average." in row.caption
    assert drawn.bars["grid"].high == "0.5 mm or more"  # nothing is bent
    near = reportPictures(outputs)
    assert "left out" not in next(row for row in near.rows if row.key == "grid").caption
    assert drawn.bars["grid"].high != near.bars["grid"].high


def test_what_a_reopened_scene_does_not_know_is_left_out(outputs, tmp_path):
    nan = float("nan")
    unknown = {"similarity_before": nan, "similarity_after": nan, "inverse_error_mean_mm": nan, "timings_s": {}}
    outputs = dataclasses.replace(outputs, result=dataclasses.replace(outputs.result, **unknown))
    exportReport(outputs, tmp_path / "report.html")
    text = re.sub(r"base64,[^\"]+", "", (tmp_path / "report.html").read_text(encoding="utf-8"))
    assert not re.search(r"\bnan\b", text)
    assert "Similarity" not in text
    assert "The map folds at" in text


def test_outlines_show_fixed_and_moving_segments_apart_before_and_together_after(outputs):
    rows = {row.key: row.pictures for row in reportPictures(outputs).rows}
    yellow, blue = ([round(255 * channel) for channel in color] for color in (FIXED_COLOR, WARPED_COLOR))
    for orientation in ("Sagittal", "Coronal", "Axial"):
        strays = []
        for key in ("outlines_before", "outlines_after"):
            picture = rows[key][orientation]
            fixed, moved = ((picture == color).all(axis=-1) for color in (yellow, blue))
            assert fixed.sum() > 100 and moved.sum() > 100
            strays.append((moved & ~ndimage.binary_dilation(fixed, iterations=6)).sum() / moved.sum())  # 1.8 mm
        assert strays[1] < 0.1, orientation
        assert strays[0] > strays[1] + 0.1, (orientation, strays)  # of 2 to 4 mm; voxels are up to 3.6 mm


def test_folds_are_yellow_in_the_picture_of_volume_change(outputs):
    inputs = dataclasses.replace(outputs.inputs, movingSegmentation=None)  # slices go through the centre
    result = shifted()
    result.jacobian_determinant[4:8, 10:14, 13:17] = -0.25
    yellow = [round(255 * channel) for channel in FOLDS_COLOR]
    for run, expected in ((result, True), (shifted(), False)):
        rows = reportPictures(dataclasses.replace(outputs, inputs=inputs, result=run)).rows
        for picture in next(row.pictures for row in rows if row.key == "jacobian").values():
            assert (picture == yellow).all(axis=-1).any() == expected


def rowsOf(outputs, result, fixed, warped):
    """The rows of a run without segments: slices go through the centre. ``fixed`` and ``warped``: brightness there."""
    scene = outputs.inputs.fixed.GetScene()
    inputs = dataclasses.replace(
        outputs.inputs,
        fixed=addVolume(scene, fixed, GRID, "fixed knee"),
        moving=addVolume(scene, warped, GRID, "moving knee"),
        fixedSegmentation=None,
        movingSegmentation=None,
    )
    run = dataclasses.replace(outputs, inputs=inputs, result=dataclasses.replace(result, warped=warped))
    return {row.key: row.pictures for row in reportPictures(run).rows}


def planesOf(longSidePx):
    """Through the centre of GRID."""
    return planesThrough(GRID, dict(enumerate(GRID.center_ras)), longSidePx)


def halves(orientation="Axial"):
    """Where pixels of a picture are well to the patient's right and left of the middle, R > 0 and R < 0."""
    (plane,) = [
        p for p in planesThrough(GRID, dict(enumerate(GRID.center_ras)), LONG_SIDE_PX) if p.orientation == orientation
    ]
    away = plane.points_ras[..., 0] - GRID.center_ras[0]
    index = transform_points(GRID.ras_to_ijk, plane.points_ras.reshape(-1, 3)).reshape(plane.points_ras.shape)
    inside = ((index > 1) & (index < np.asarray(GRID.size_ijk) - 2)).all(axis=-1)
    return plane, inside & (away > 4), inside & (away < -4)


def test_larger_is_red_and_smaller_blue_in_the_picture_of_volume_change(outputs):
    toTheRight = latticePoints(GRID)[..., 0] > GRID.center_ras[0]
    determinant = np.where(toTheRight, 1.6, 0.6).astype(np.float32)
    result = dataclasses.replace(linearResult(np.eye(3)), jacobian_determinant=determinant)
    plain = np.zeros(GRID.shape, np.float32)
    picture = rowsOf(outputs, result, plain, plain)["jacobian"]["Axial"].astype(int)
    _plane, right, left = halves()
    assert (picture[right][:, 0] > picture[right][:, 2] + 20).all()
    assert (picture[left][:, 2] > picture[left][:, 0] + 20).all()


def test_where_the_fixed_image_is_brighter_the_difference_is_orange_and_blue_where_the_warped_is(outputs):
    toTheRight = latticePoints(GRID)[..., 0] > GRID.center_ras[0]
    fixed, warped = (np.where(side, 100, 0).astype(np.float32) for side in (toTheRight, ~toTheRight))
    rows = rowsOf(outputs, linearResult(np.eye(3)), fixed, warped)
    _plane, right, left = halves()
    for key in ("difference_before", "difference_after"):
        picture = rows[key]["Axial"].astype(int)
        assert (picture[right][:, 0] > picture[right][:, 2] + 60).all(), key
        assert (picture[left][:, 2] > picture[left][:, 0] + 60).all(), key


def test_grid_lines_are_drawn_where_the_moving_image_has_them(outputs):
    plain = np.zeros(GRID.shape, np.float32)
    field = np.broadcast_to(np.array([2.0, 0.0, 0.0], np.float32), (*GRID.shape, 3)).copy()
    result = dataclasses.replace(linearResult(np.eye(3)), displacement_field_mm=field)
    picture = rowsOf(outputs, result, plain, plain)["grid"]["Axial"]
    plane, right, left = halves()
    drawn = picture.max(axis=-1) > 60
    full = drawn.sum(axis=0) > 0.9 * (right | left).sum(axis=0).max()  # columns that are a line from top to bottom
    there = plane.points_ras[0, full, 0] + 2.0
    assert full.sum() > 5
    assert np.abs(there - 5 * np.round(there / 5)).max() < 0.7  # pixels of 0.3 mm


def test_a_picture_survives_as_png():
    picture = np.random.default_rng(1).integers(0, 256, (5, 7, 3)).astype(np.uint8)
    np.testing.assert_array_equal(decoded(page.pngBase64(picture)), picture)


@pytest.mark.parametrize("name", list(GRIDS))
def test_slices_lie_where_they_say_and_are_turned_as_a_reader_of_images_expects(name):
    grid = GRIDS[name]
    offsets = {axis: float(grid.center_ras[axis]) + 1.5 for axis in range(3)}
    planes = planesThrough(grid, offsets, 60)
    assert [plane.orientation for plane in planes] == ["Sagittal", "Coronal", "Axial"]
    for plane, normal, across, down in zip(planes, (0, 1, 2), (1, 0, 0), (2, 2, 1), strict=True):
        found = sampled(latticePoints(grid), grid, plane.points_ras)  # each voxel holds its own place
        right = np.isclose(found, plane.points_ras).all(axis=-1)
        assert right.sum() > 0.75 * np.isfinite(found[..., 0]).sum()  # beyond the outermost voxels' centres: clamped
        assert np.ptp(plane.points_ras[..., normal]) == 0 and plane.points_ras[0, 0, normal] == offsets[normal]
        assert (np.diff(plane.points_ras[..., across], axis=1) < 0).all(), "anterior or right is left"
        assert (np.diff(plane.points_ras[..., down], axis=0) < 0).all(), "superior or anterior is up"


def test_a_line_is_as_wide_as_wanted_wherever_it_lies_and_however_it_runs():
    y, x = np.mgrid[:60, :80] + 0.0
    for slope in (0.0, 0.3, -0.5):
        for place in (20.0, 20.3, 20.5):
            values = (y - slope * (x - 40) - place) / 7.0
            cover = covered(values, values, 1.5)
            assert cover.min() == 0 and cover.max() <= 1
            assert cover[:, 10:70].sum() == pytest.approx(60 * 1.5 * np.hypot(1, slope), rel=0.05), (slope, place)
    assert not covered(np.full((4, 5), 0.5), np.full((4, 5), 0.5), 3.0).any()
    assert not covered(np.full((4, 5), np.nan), np.full((4, 5), np.nan), 3.0).any()


def test_a_point_is_inside_a_segment_as_far_as_its_voxels_are(outputs):
    labels = labelsFromSegmentation(outputs.inputs.fixedSegmentation, GRID)
    plane = planesOf(90)[0]
    (inside,) = insideSegments(labels, ["Femur"], plane.points_ras)
    expected = sampled(masks()[0].astype(float), GRID, plane.points_ras)
    np.testing.assert_allclose(inside, np.nan_to_num(expected), atol=1e-9)
    assert inside.max() == pytest.approx(1) and inside.min() == 0
    assert insideSegments(labels, ["Tibia"], plane.points_ras) == []


def test_the_moving_image_is_drawn_where_it_lies(outputs):
    scene, center = outputs.inputs.fixed.GetScene(), GRID.center_ras
    grid = dataclasses.replace(GRID, origin_ras=tuple(np.add(GRID.origin_ras, (6.0, 0.0, 0.0))))
    blob = 100 * np.exp(-np.square(latticePoints(grid) - center - (4.0, 0.0, 0.0)).sum(axis=-1) / 50)
    moving = addVolume(scene, blob.astype(np.float32), grid, "moving knee")
    inputs = dataclasses.replace(outputs.inputs, moving=moving, movingSegmentation=None)
    rows = {row.key: row.pictures for row in reportPictures(dataclasses.replace(outputs, inputs=inputs)).rows}
    plane, _right, _left = halves()
    brightness = rows["moving"]["Axial"][40:-40, 40:-40, 0].sum(axis=0, dtype=int)
    assert plane.points_ras[0, 40 + brightness.argmax(), 0] == pytest.approx(center[0] + 4.0, abs=1.5)


@pytest.mark.parametrize(("orientation", "letters"), [("Sagittal", "APS"), ("Coronal", "RLS"), ("Axial", "RLA")])
def test_letters_and_a_ruler_say_where_and_how_large(orientation, letters):
    (plane,) = (plane for plane in planesOf(440) if plane.orientation == orientation)
    assert "".join(plane.letters) == letters
    black = np.zeros((*plane.points_ras.shape[:2], 3), np.uint8)
    picture = marked(black, plane)
    assert not black.any(), "the picture that was given stays"
    height, width = picture.shape[:2]
    for rows, columns in (
        (slice(height // 2 - 10, height // 2 + 10), slice(0, 40)),
        (slice(height // 2 - 10, height // 2 + 10), slice(width - 40, width)),
        (slice(0, 40), slice(width // 2 - 10, width // 2 + 10)),
    ):
        assert (picture[rows, columns] > 200).any()
    ruler = (picture == 255).all(axis=-1).sum(axis=1).max() * plane.pixelMm
    assert min(abs(ruler - length) for length in (5, 10, 20)) < plane.pixelMm


@pytest.mark.parametrize("longSidePx", [3, 12, 25, 60])
def test_a_picture_without_room_for_letters_has_none(longSidePx):
    for plane in planesOf(longSidePx):
        black = np.zeros((*plane.points_ras.shape[:2], 3), np.uint8)
        assert marked(black, plane).any() == (min(black.shape[:2]) >= 60)


def test_a_place_that_cannot_be_written_is_named_and_nothing_is_left(outputs, tmp_path):
    with pytest.raises(FileError, match="cannot be written"):
        exportReport(outputs, tmp_path / "nowhere" / "report.html")
    (tmp_path / "report.html").mkdir()  # cannot be replaced by a file
    with pytest.raises(FileError, match="cannot be written"):
        exportReport(outputs, tmp_path / "report.html")
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.html"]


def test_a_report_that_cannot_be_made_leaves_the_old_one(outputs, tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    path.write_text("earlier")

    def fail(_report):
        raise MemoryError

    monkeypatch.setattr(export, "renderSteps", fail)
    with pytest.raises(MemoryError):
        exportReport(outputs, path)
    assert path.read_text() == "earlier"
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.html"]


def test_the_report_is_made_in_many_steps(scene, tmp_path, monkeypatch):
    monkeypatch.setattr(pauses, "STEP_S", 0.0)
    outputs = outputsOf(scene, linearResult(np.diag([1.1] * 3)), masks(), masks(scale=1.1))
    fractions = [fraction for fraction, _ in exportSteps(outputs, tmp_path / "report.html", measure(outputs))]
    assert len(fractions) > 100
    assert fractions == sorted(fractions)
