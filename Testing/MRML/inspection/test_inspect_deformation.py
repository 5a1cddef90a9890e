"""Grid lines and arrows: which way they point, and what is left once the affine part is undone."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from JointRegistrationLib.core.errors import InputError
from JointRegistrationLib.core.geometry import transform_points
from JointRegistrationMRML.inspection.deformation import LEGEND_WITHOUT_AFFINE, leavesAffineOut, longestMm
from JointRegistrationMRML.inspection.session import Inspection
from JointRegistrationMRML.nodes.world import transformPoints
from JointRegistrationMRML.run.register import registerVolumes
from JointRegistrationMRML.run.registration_nodes import OutputOptions
from Testing.Support.known_scene import FIXED_GRID, knownResult, latticePoints, pointsInside, smoothField

AFFINE = np.array([[0.98, -0.17, 0, 25.0], [0.17, 0.98, 0, -14.0], [0, 0, 1.05, 3.0], [0, 0, 0, 1]])
LOCAL_MM = 2.0


def outputsOf(knee, affine=AFFINE, **changes):
    """A run whose map is a smooth wave of 2 mm, then an affine map."""
    points = latticePoints(FIXED_GRID)
    there = transform_points(affine, points + smoothField(FIXED_GRID, LOCAL_MM))
    field = (there - points).astype(np.float32)
    knee.result = dataclasses.replace(knownResult(), affine_ras=affine, displacement_field_mm=field, **changes)
    return registerVolumes(knee.scene, knee.nodes, runner=knee.run, options=OutputOptions(inverseTransform=False))


def drawn(view, points):
    """Where Slicer's drawing of the view sends points."""
    return transformPoints(view.nodes[view.name].GetTransformToParent(), points)


@pytest.fixture
def points(rng):
    return pointsInside(FIXED_GRID, rng, 40, margin=0.35)


def test_arrows_end_where_the_map_says_with_and_without_its_affine_part(knee, points):
    outputs = outputsOf(knee)
    inspection = Inspection(knee.scene, outputs)
    view = inspection.open("arrows", withoutAffine=False)
    whole = transformPoints(outputs.nodes.transform.GetTransformFromParent(), points)
    np.testing.assert_allclose(drawn(view, points), whole, atol=1e-6)
    assert np.linalg.norm(whole - points, axis=1).mean() > 10
    view = inspection.open("arrows", withoutAffine=True)
    local = transform_points(np.linalg.inv(AFFINE), whole)
    np.testing.assert_allclose(drawn(view, points), local, atol=1e-6)
    assert np.linalg.norm(local - points, axis=1).max() < 2 * LOCAL_MM


def test_grid_lines_of_the_affinely_aligned_moving_image_come_to_lie_where_its_tissue_is(knee, points):
    outputs = outputsOf(knee)
    view = Inspection(knee.scene, outputs).open("grid", withoutAffine=True)
    aligned = transform_points(
        np.linalg.inv(AFFINE), transformPoints(outputs.nodes.transform.GetTransformFromParent(), points)
    )
    np.testing.assert_allclose(drawn(view, aligned), points, atol=0.01)


@pytest.mark.parametrize("name", ["grid", "arrows"])
def test_the_affine_part_is_left_out_by_itself_only_where_it_hides_everything(knee, name):
    inspection = Inspection(knee.scene, outputsOf(knee))
    view = inspection.open(name)
    assert leavesAffineOut(view)
    assert "The affine part is left out; with it, tissue was moved by" in view.text
    assert view.nodes["legend"].GetTitleText() == LEGEND_WITHOUT_AFFINE
    near = np.eye(4)
    near[:3, 3] = 3
    view = Inspection(knee.scene, outputsOf(knee, near)).open(name)
    assert not leavesAffineOut(view)
    assert "left out" not in view.text


def test_colours_reach_as_far_as_what_is_drawn(knee):
    outputs = outputsOf(knee)
    inspection = Inspection(knee.scene, outputs)

    def longest(**options):
        colors = inspection.open("arrows", **options).subject.GetColorNode()
        return colors.GetColorTransferFunction().GetRange()[1]

    local = np.linalg.norm(smoothField(FIXED_GRID, LOCAL_MM), axis=-1)
    assert longest(withoutAffine=True) == pytest.approx(np.percentile(local, 99), abs=0.55)
    assert longest(withoutAffine=False) == longestMm(outputs.result) > 20


def test_an_affine_part_that_is_not_known_cannot_be_left_out(knee):
    outputs = outputsOf(knee)
    unknown = dataclasses.replace(
        outputs, result=dataclasses.replace(outputs.result, affine_ras=np.full((4, 4), np.nan))
    )
    inspection = Inspection(knee.scene, unknown)
    assert not leavesAffineOut(inspection.open("arrows"))
    with pytest.raises(InputError, match="tick it under Outputs"):
        inspection.open("grid", withoutAffine=True)
    assert inspection.names == []
