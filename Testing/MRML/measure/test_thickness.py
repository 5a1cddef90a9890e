"""Thickness of shells, cylinders and plates of known thickness, of the phantom's cartilage, and its change."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import cKDTree

from JointRegistrationLib.core.errors import GeometryError
from JointRegistrationLib.core.geometry import transform_points
from JointRegistrationMRML.measure.surfaces import nearestPoints
from JointRegistrationMRML.measure.thickness import MAX_DISTANCE_MM
from Testing.Support.at_once import cartilageThickness, maskSurface, thicknessChange
from Testing.Support.grids import rotation
from Testing.Support.known_scene import centeredGrid, latticePoints

KNEE = (0.365, 0.365, 0.7)
GRIDS = {
    "isotropic": centeredGrid((70, 70, 70), (0.4, 0.4, 0.4), np.eye(3)),
    "sagittal": centeredGrid((78, 78, 42), KNEE, np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])),
    "oblique left-handed": centeredGrid((78, 78, 42), KNEE, rotation((1, 2, 3), 35) @ np.diag([1.0, 1, -1])),
}
THICKNESS_MM = 2.4


def body(grid, kind: str, thicknessMm: float, scale: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Cartilage and bone around the grid's centre: a shell on a ball or a rod, or a plate on a half space."""
    points = (latticePoints(grid) - grid.center_ras) / scale
    height = {
        "sphere": np.linalg.norm(points, axis=-1) - 8,
        "cylinder": np.linalg.norm(points[..., :2], axis=-1) - 7,
        "plate": points[..., 0] + 1,
    }[kind]
    there = np.linalg.norm(points, axis=-1) < 12
    return (height >= 0) & (height < thicknessMm) & there, height < 0


def inner(grid, kind: str, points: np.ndarray) -> np.ndarray:
    """Away from the border of the cartilage."""
    return np.ones(len(points), bool) if kind == "sphere" else np.linalg.norm(points - grid.center_ras, axis=1) < 8.5


@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize(
    ("kind", "thicknessMm"), [("sphere", 1.5), ("sphere", 2.4), ("cylinder", 2.4), ("plate", 1.5), ("plate", 2.4)]
)
def test_thickness_on_bone_is_the_known_one(name, kind, thicknessMm):
    grid = GRIDS[name]
    found = cartilageThickness(*body(grid, kind, thicknessMm), grid)
    values = found.valuesMm[found.covered & inner(grid, kind, found.surface.points)]
    # A plate along the axes has a whole number of voxels; a ball's and an oblique plate's stairs average out.
    tolerance = 0.06 if kind == "sphere" or "oblique" in name else {"cylinder": 0.15, "plate": 0.36}[kind]
    assert values.mean() == pytest.approx(thicknessMm, abs=tolerance)
    assert np.percentile(np.abs(values - thicknessMm), 95) < 0.4
    assert found.covered.any() and np.all(found.valuesMm[~found.covered] == 0)


@pytest.mark.parametrize("name", ["sagittal", "oblique left-handed"])
@pytest.mark.parametrize("kind", ["sphere", "plate"])
def test_thickness_without_bone_is_that_of_spheres_within(name, kind):
    grid = GRIDS[name]
    found = cartilageThickness(body(grid, kind, THICKNESS_MM)[0], None, grid)
    values = found.valuesMm[inner(grid, kind, found.surface.points)]
    assert np.median(values) == pytest.approx(THICKNESS_MM, abs=0.36 if kind == "plate" else 0.1)
    assert values.mean() == pytest.approx(THICKNESS_MM, abs=0.36 if kind == "plate" else 0.15)


def test_gaps_of_one_voxel_between_bone_and_cartilage_count_as_bone():
    grid = GRIDS["isotropic"]
    cartilage, bone = body(grid, "sphere", THICKNESS_MM)
    gap = np.linalg.norm(latticePoints(grid) - grid.center_ras, axis=-1) > 7.7
    assert np.count_nonzero(bone & gap) > 100
    found = cartilageThickness(cartilage, bone & ~gap, grid)
    assert found.meanMm == pytest.approx(cartilageThickness(cartilage, bone, grid).meanMm, abs=0.05)


def test_no_cartilage_has_no_thickness_and_masks_on_another_grid_are_refused():
    grid = GRIDS["isotropic"]
    nothing = np.zeros(grid.shape, bool)
    assert np.isnan(cartilageThickness(nothing, None, grid).meanMm)
    with pytest.raises(GeometryError, match="thickness: masks of shape"):
        cartilageThickness(nothing[1:], None, grid)


@pytest.mark.parametrize("name", ["sagittal", "oblique left-handed"])
def test_change_along_a_map_is_the_thickness_there_minus_the_thickness_here(name):
    grid = GRIDS[name]
    fixed = cartilageThickness(*body(grid, "sphere", THICKNESS_MM), grid)
    scale = 0.8
    moving = cartilageThickness(*body(grid, "sphere", THICKNESS_MM, scale), grid)
    field = (scale - 1) * (latticePoints(grid) - grid.center_ras)
    change = thicknessChange(fixed, moving, field, grid)
    assert change.meanMm == pytest.approx((scale - 1) * THICKNESS_MM, abs=0.08)
    assert change.unmatchedPercent == 0
    assert len(change.surface.points) == len(change.fixedMm) == len(change.movingMm)
    still = thicknessChange(fixed, fixed, np.zeros((*grid.shape, 3)), grid)
    np.testing.assert_array_equal(still.changeMm, 0)


def test_lost_cartilage_is_a_loss_of_its_whole_thickness():
    grid = GRIDS["isotropic"]
    cartilage, bone = body(grid, "sphere", THICKNESS_MM)
    lesion = (latticePoints(grid) - grid.center_ras)[..., 2] > 6
    fixed = cartilageThickness(cartilage, bone, grid)
    moving = cartilageThickness(cartilage & ~lesion, bone, grid)
    change = thicknessChange(fixed, moving, np.zeros((*grid.shape, 3)), grid)
    height = change.surface.points[:, 2] - grid.center_ras[2]
    assert change.changeMm[height > 6.5].mean() == pytest.approx(-THICKNESS_MM, abs=0.1)
    assert np.abs(change.changeMm[height < 2]).max() < 0.01


def test_what_a_wrong_map_takes_off_the_bone_has_no_counterpart():
    grid = GRIDS["isotropic"]
    found = cartilageThickness(*body(grid, "sphere", THICKNESS_MM), grid)
    field = np.zeros((*grid.shape, 3))
    field[..., 0] = 2 * 8 + 2 * MAX_DISTANCE_MM + 1
    change = thicknessChange(found, found, field, grid)
    assert change.unmatchedPercent == pytest.approx(100)
    assert len(change.surface.points) == 0 and np.isnan(change.meanMm)
    nothing = cartilageThickness(np.zeros(grid.shape, bool), None, grid)
    assert len(thicknessChange(nothing, found, field, grid).surface.points) == 0
    assert thicknessChange(found, nothing, field, grid).unmatchedPercent == pytest.approx(100)


def test_phantom_cartilage_has_the_thickness_of_its_own_formula():
    torch = pytest.importorskip("torch")
    from JointRegistrationLib.phantom import KneeShape, default_grid
    from JointRegistrationLib.phantom.anatomy import KneeAnatomy
    from JointRegistrationLib.phantom.anatomy import labels as labelsOf

    full = default_grid()
    middle = np.round(transform_points(full.ras_to_ijk, np.array([-22.0, 3, 2]))).astype(int)
    grid = full.cropped(middle - [26, 26, 14], (52, 52, 28))  # a condyle of the femur
    anatomy = KneeAnatomy(KneeShape(irregularity_mm=0.0, femoral_cartilage_mm=2.4))

    def labelsAt(points: np.ndarray) -> np.ndarray:
        flat = torch.as_tensor(points.reshape(-1, 3).T.astype(np.float32))
        found = labelsOf(anatomy._skeleton.distances(anatomy.frame(flat)))  # bones and cartilage alone: quick
        return found.numpy().reshape(points.shape[:-1])

    labels = labelsAt(latticePoints(grid))
    found = cartilageThickness(labels == 2, labels == 1, grid)
    assert np.median(found.valuesMm[found.covered]) == pytest.approx(2.4, rel=0.05)
    # Independently of voxels: rays from the bone's surface outwards through the formula itself.
    near = np.linalg.norm(found.surface.points - grid.center_ras, axis=1) < 8
    some = np.flatnonzero(found.covered & near)[::40]
    steps = np.arange(-0.6, 4.4, 0.05)
    rays = found.surface.points[some, None] - steps[:, None] * found.surface.inward[some, None]
    expected = np.count_nonzero(labelsAt(rays) == 2, axis=1) * 0.05
    assert len(some) > 25
    assert found.valuesMm[some].mean() == pytest.approx(expected.mean(), abs=0.1)
    assert np.median(np.abs(found.valuesMm[some] - expected)) < 0.15


@pytest.mark.parametrize("name", GRIDS)
def test_a_balls_surface_has_its_radius_its_area_and_normals_inwards(name):
    grid = GRIDS[name]
    points = latticePoints(grid) - grid.center_ras
    surface = maskSurface(np.linalg.norm(points, axis=-1) < 9, grid, points[..., 2] > 0)
    from_middle = surface.points - grid.center_ras
    radius = np.linalg.norm(from_middle, axis=1)
    assert radius.mean() == pytest.approx(9, abs=0.05)
    assert surface.areas().sum() == pytest.approx(4 * np.pi * 81, rel=0.03)
    assert (surface.inward * -from_middle / radius[:, None]).sum(axis=1).mean() > 0.97
    assert np.all(surface.near[from_middle[:, 2] > 3] > 0.99) and np.all(surface.near[from_middle[:, 2] < -3] < 0.01)


def test_nearest_points_are_those_of_scipy(rng):
    points, among = rng.normal(size=(400, 3)), rng.normal(size=(300, 3))
    np.testing.assert_array_equal(nearestPoints(points, among), cKDTree(among).query(points)[1])
