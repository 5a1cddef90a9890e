"""Pictures of thickness change: the right side to the eye, the near before the far, no holes."""

from __future__ import annotations

import numpy as np
import pytest

from JointRegistrationLib.core.progress import finished
from JointRegistrationMRML import pauses
from JointRegistrationMRML.measure.measurement import measure
from JointRegistrationMRML.measure.surfaces import Surface
from JointRegistrationMRML.report.surfaces import surfacePictureSteps, surfaceSteps
from Testing.Support.at_once import surfacePicture
from Testing.Support.measured_run import linearResult, masks, outputsOf

FRONT, BACK, ABOVE = (0.0, 1.0, 0.0), (0.0, -1.0, 0.0), (0.0, 0.0, 1.0)
SIDE_MM = 40.0


def sheet(atMm=0.0, normal=1, halfMm=15.0, count=2):
    """A flat square across one RAS axis."""
    ticks = np.linspace(-halfMm, halfMm, count)
    points = np.full((count * count, 3), atMm)
    others = [axis for axis in range(3) if axis != normal]
    points[:, others[0]], points[:, others[1]] = (part.ravel() for part in np.meshgrid(ticks, ticks, indexing="ij"))
    corner = (np.arange(count - 1)[:, None] * count + np.arange(count - 1)).ravel()
    first, second = (corner, corner + 1, corner + count), (corner + 1, corner + count, corner + count + 1)
    triangles = np.concatenate([np.stack(first, 1), np.stack(second, 1)])
    inward = np.zeros_like(points)
    inward[:, normal] = -1
    return Surface(points, triangles, inward, np.zeros(len(points), np.float32))


def isRed(color):
    return int(color[0]) > int(color[2]) + 60


def isBlue(color):
    return int(color[2]) > int(color[0]) + 60


def joined(one, two):
    triangles = np.concatenate([one.triangles, two.triangles + len(one.points)])
    points, inward = np.concatenate([one.points, two.points]), np.concatenate([one.inward, two.inward])
    return Surface(points, triangles, inward, np.concatenate([one.near, two.near]))


@pytest.mark.parametrize(("towards", "normal", "rightIsLeft"), [(FRONT, 1, True), (BACK, 1, False), (ABOVE, 2, False)])
def test_the_patient_is_turned_as_the_caption_says(towards, normal, rightIsLeft):
    surface = sheet(normal=normal, count=9)
    picture = surfacePicture(surface, np.sign(surface.points[:, 0]), towards, SIDE_MM)
    left, right = picture[220, 120], picture[220, 320]
    assert (isRed(left) and isBlue(right)) if rightIsLeft else (isBlue(left) and isRed(right))


@pytest.mark.parametrize(("towards", "normal", "up"), [(FRONT, 1, 2), (ABOVE, 2, 1)])
def test_up_is_superior_and_from_above_anterior(towards, normal, up):
    surface = sheet(normal=normal, count=9)
    picture = surfacePicture(surface, np.sign(surface.points[:, up]), towards, SIDE_MM)
    assert isRed(picture[120, 220]) and isBlue(picture[320, 220])


def test_the_near_surface_hides_the_far_one():
    both = joined(sheet(5.0), sheet(-5.0))
    values = np.repeat([1.0, -1.0], 4)
    assert isRed(surfacePicture(both, values, FRONT, SIDE_MM)[220, 220])
    assert isBlue(surfacePicture(both, values, BACK, SIDE_MM)[220, 220])


@pytest.mark.parametrize("count", [2, 40, 700])
def test_the_surface_has_no_holes_whatever_the_size_of_its_triangles(count):
    surface = sheet(count=count)
    picture = surfacePicture(surface, np.zeros(len(surface.points)), FRONT, SIDE_MM)
    shown = picture.astype(int).sum(axis=-1) > 400
    assert shown[60:380, 60:380].all()  # 30 of 40 mm
    assert not shown[:50].any() and not shown[:, 395:].any()


def test_parts_with_pauses_between_them_make_the_same_picture(monkeypatch):
    both = joined(sheet(5.0, count=60), sheet(-5.0, normal=1, count=60))
    values = np.sin(both.points[:, 0]) * np.sign(both.points[:, 1])
    whole = surfacePicture(both, values, (0.0, 0.75, -0.66), SIDE_MM)
    monkeypatch.setattr(pauses, "STEP_S", 0.0)
    inParts = surfacePictureSteps(both, values, (0.0, 0.75, -0.66), SIDE_MM)
    taken = []
    picture = finished(inParts, after=lambda: taken.append(1))
    assert len(taken) > 20
    differences = np.abs(picture.astype(int) - whole).max(axis=-1)
    assert differences.max() < 24 and (differences > 0).mean() < 0.02, "but for points at the same depth"


def test_each_cartilage_of_both_images_is_drawn_with_one_scale(scene):
    figures = measure(outputsOf(scene, linearResult(np.diag([0.9] * 3)), masks(), masks(scale=0.9)))
    drawn = finished(surfaceSteps(figures))
    (row,) = drawn.rows
    names = [f"Femoral cartilage from below and {side}" for side in ("in front", "behind")]
    assert list(row.pictures) == names
    assert row.pictures.keys() == drawn.positions.keys()
    assert drawn.positions[names[0]] == "the patient's right is on the left"
    bar = drawn.bars[row.key]
    assert bar.low.startswith("-") and "thinner" in bar.low and bar.high.startswith("+") and "thicker" in bar.high
    for picture in row.pictures.values():
        assert isBlue(np.median(picture[190:250, 190:250].reshape(-1, 3), axis=0)), "thinner by a tenth of 5 mm"


def test_without_moving_segments_there_is_no_picture(scene):
    figures = measure(outputsOf(scene, linearResult(np.eye(3)), masks(), None))
    assert finished(surfaceSteps(figures)).rows == []
