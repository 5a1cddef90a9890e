"""The procedural knee: reproducible, anatomically sound, the same on every grid, as thick as asked."""

from __future__ import annotations

import dataclasses
import pickle

import numpy as np
import pytest

from JointRegistrationLib.core.errors import ConfigError
from JointRegistrationLib.core.geometry import Grid, transform_points
from JointRegistrationLib.phantom import (
    LABEL_NAMES,
    TISSUES,
    CartilageLesion,
    ContrastConfig,
    KneeShape,
    default_grid,
    make_knee,
    random_contrast,
    random_shape,
    working_grid,
)
from Testing.Support.grids import reorient_array, reoriented

GRID = Grid((40, 44, 44), (3.2, 3.2, 3.2), (-62.0, -66.0, -58.0))


@pytest.fixture(scope="module")
def knee():
    return make_knee(KneeShape(), GRID, seed=1)


def positions(knee, label: int) -> np.ndarray:
    ijk = np.argwhere(knee.labels.array == label)[:, ::-1]
    return transform_points(knee.labels.grid.ijk_to_ras, ijk)


def test_same_seed_same_knee_and_another_seed_another_image_of_the_same_anatomy(knee):
    again, other = make_knee(KneeShape(), GRID, seed=1), make_knee(KneeShape(), GRID, seed=2)
    assert np.array_equal(again.image.array, knee.image.array)
    assert np.array_equal(other.tissues.array, knee.tissues.array)
    assert not np.array_equal(other.image.array, knee.image.array)


def test_another_shape_seed_is_another_anatomy(knee):
    other = make_knee(KneeShape(seed=5), GRID, seed=1)
    changed = (other.tissues.array != knee.tissues.array).mean()
    assert 0.01 < changed < 0.3


def test_all_labels_and_tissues_are_there(knee):
    assert set(np.unique(knee.labels.array)) == {0, *LABEL_NAMES}
    fine = make_knee(KneeShape(), Grid((60, 60, 60), (1.6, 1.6, 1.6), (-48, -40, -36)))
    thin = {"nerve", "vessel", "tendon", "meniscus", "ligament", "fluid", "cartilage", "cortical bone", "marrow"}
    present = {TISSUES[n] for n in np.unique(fine.tissues.array)} | {TISSUES[n] for n in np.unique(knee.tissues.array)}
    assert thin <= present
    assert present == set(TISSUES)


def test_bones_and_cartilages_lie_where_they_should(knee):
    femur, tibia, patella = (positions(knee, label).mean(0) for label in (1, 3, 5))
    cartilages = [positions(knee, label).mean(0) for label in (2, 4, 6)]
    assert femur[2] > cartilages[0][2] > cartilages[1][2] > tibia[2]
    assert patella[1] > femur[1] + 25
    assert patella[1] > cartilages[2][1] > femur[1]
    assert abs(cartilages[1]).max() < 8  # the joint's middle is the origin


@pytest.mark.parametrize("width_mm", [65.0, 77.0, 92.0])
def test_the_femur_is_as_wide_as_asked(width_mm):
    slab = Grid((200, 30, 10), (0.6, 2.5, 3.5), (-60.0, -40.0, 8.0))
    knee = make_knee(KneeShape(width_mm=width_mm, irregularity_mm=0), slab)
    assert np.ptp(positions(knee, 1)[:, 0]) == pytest.approx(width_mm, rel=0.03)


def test_the_fibula_is_lateral_and_a_left_knee_is_the_mirror_image(knee):
    symmetric = Grid((41, 44, 44), (3.0, 3.2, 3.2), (-60.0, -66.0, -58.0))
    right = make_knee(KneeShape(side="right"), symmetric)
    left = make_knee(KneeShape(side="left"), symmetric)
    assert np.array_equal(left.tissues.array, right.tissues.array[:, :, ::-1])
    bone = np.isin(right.tissues.array, [TISSUES.index("marrow"), TISSUES.index("cortical bone")])
    fibula = np.argwhere(bone & (right.labels.array == 0))[:, ::-1]
    assert len(fibula) > 20
    assert transform_points(symmetric.ijk_to_ras, fibula)[:, 0].min() > 20


def test_any_orientation_of_the_grid_gives_the_same_anatomy(knee):
    axes, flips = (1, 2, 0), (True, True, False)
    turned = make_knee(KneeShape(), reoriented(GRID, axes, flips), seed=1)
    expected = reorient_array(knee.tissues.array, axes, flips)
    assert (turned.tissues.array == expected).mean() > 0.9999


def test_an_oblique_grid_sees_the_same_anatomy(knee):
    c, s = np.cos(0.4), np.sin(0.4)
    oblique = Grid((24, 24, 24), (2.0, 2.0, 2.0), (-15.0, -25.0, -20.0), ((c, -s, 0), (s, c, 0), (0, 0, 1)))
    seen = make_knee(KneeShape(), oblique).labels
    i, j, k = 9, 14, 5
    single = transform_points(oblique.ijk_to_ras, [i, j, k])
    probe = Grid((2, 2, 2), (0.01, 0.01, 0.01), tuple(single))
    assert (make_knee(KneeShape(), probe).labels.array == seen.array[k, j, i]).all()


@pytest.mark.parametrize("flexion_deg", [0.0, 35.0])
def test_cartilage_stays_at_the_joint_and_off_the_shafts(flexion_deg):
    tall = Grid((30, 36, 64), (3.5, 3.5, 3.5), (-50.0, -60.0, -110.0))
    knee = make_knee(KneeShape(flexion_deg=flexion_deg), tall)
    assert positions(knee, 1)[:, 2].max() > 100  # the femur's shaft is in view
    for label, farthest_mm in ((2, 62.0), (4, 42.0), (6, 72.0)):
        assert np.linalg.norm(positions(knee, label), axis=1).max() < farthest_mm


@pytest.mark.parametrize("thickness_mm", [1.5, 2.4, 3.5])
def test_cartilage_is_as_thick_as_asked(thickness_mm):
    shape = KneeShape(tibial_cartilage_mm=thickness_mm, irregularity_mm=0, width_mm=85.0)
    column = Grid((3, 3, 300), (2.0, 2.0, 0.05), (-24.0, -4.0, -9.0))
    counts = (make_knee(shape, column).labels.array == 4).sum(0)
    assert np.median(counts) * 0.05 == pytest.approx(thickness_mm, rel=0.1)


def test_a_lesion_thins_the_cartilage_where_it_is_and_nowhere_else():
    sound = KneeShape(irregularity_mm=0)
    worn = dataclasses.replace(sound, lesions=(CartilageLesion("tibial-medial", radius_mm=6, depth=1.0),))
    grid = Grid((60, 40, 30), (1.2, 1.2, 0.4), (-36.0, -24.0, -6.0))
    lost = (make_knee(sound, grid).labels.array == 4) & (make_knee(worn, grid).labels.array != 4)
    points = transform_points(grid.ijk_to_ras, np.argwhere(lost)[:, ::-1])
    assert len(points) > 100
    assert np.linalg.norm(points - [-20, 0, 0], axis=1).max() < 8


@pytest.mark.parametrize(("label", "bottom_z", "expected_deg"), [(1, 55.0, 15.0), (3, -100.0, -15.0)])
def test_flexion_turns_each_shaft_by_half_the_angle(label, bottom_z, expected_deg):
    def lean_deg(flexion_deg: float) -> float:
        tall = Grid((12, 90, 9), (5.0, 1.5, 5.0), (-28.0, -70.0, bottom_z))
        points = positions(make_knee(KneeShape(flexion_deg=flexion_deg, irregularity_mm=0), tall), label)
        heights = np.unique(points[:, 2])
        middle = [points[points[:, 2] == z, 1].mean() for z in heights]
        return float(np.degrees(np.arctan(np.polyfit(heights, middle, 1)[0])))

    # Flexing moves the thigh's upper end and the calf's lower end backwards.
    # The sections of a tapering shaft bend along with it, hence the wide tolerance.
    assert lean_deg(0) - lean_deg(30) == pytest.approx(expected_deg, abs=9)


def test_a_flexed_joint_stays_closed():
    column = Grid((3, 3, 200), (4.0, 4.0, 0.1), (-24.0, -12.0, -6.0))
    labels = make_knee(KneeShape(flexion_deg=30), column).labels.array
    gap_mm = ((labels == 0).sum(0) * 0.1).min()
    assert gap_mm < 2.5
    assert (labels == 4).any()
    assert (labels == 2).any()


def test_femur_and_tibia_never_overlap_their_cartilages():
    fine = Grid((60, 40, 40), (1.3, 1.3, 0.5), (-38.0, -26.0, -8.0))
    for seed in range(3):
        labels = make_knee(random_shape(np.random.default_rng(seed)), fine).labels.array
        femur, tibia = np.isin(labels, (1, 2)), np.isin(labels, (3, 4))
        vertical = (femur[:-1] & tibia[1:]).sum()  # femur directly below tibia
        assert vertical == 0


def test_contrast_is_that_of_a_dess(knee):
    means = {name: knee.image.array[knee.tissues.array == number].mean() for number, name in enumerate(TISSUES)}
    assert means["fluid"] > means["cartilage"] > means["deep fat"] > means["marrow"]
    assert means["muscle"] > 2 * means["fat"]
    assert means["marrow"] < 0.3 * means["muscle"]


def test_air_shows_the_noise_that_was_asked_for():
    far = Grid((20, 20, 20), (1, 1, 1), (300.0, 0.0, 0.0))
    rician = ContrastConfig(noise=0.05, coils=1, intensity=100.0, coil_gain=0.0, bias=0.0)
    air = make_knee(KneeShape(), far, contrast=rician, seed=3).image.array
    # Rayleigh distribution: mean over standard deviation is sqrt(pi / (4 - pi)).
    assert air.mean() / air.std() == pytest.approx(np.sqrt(np.pi / (4 - np.pi)), rel=0.05)
    assert air.mean() == pytest.approx(5 * np.sqrt(np.pi / 2), rel=0.05)


def test_the_native_and_the_working_grid_are_sagittal_and_cover_the_same_space():
    native, working = default_grid(), working_grid()
    assert native.size_ijk == (384, 384, 160)
    assert working.size_ijk == (192, 192, 80)
    assert native.orientation == working.orientation == "PIR"
    assert np.allclose(native.center_ras, working.center_ras)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"side": "middle"}, "KneeShape.side"),
        ({"width_mm": 5.0}, "KneeShape.width_mm"),
        ({"flexion_deg": 90.0}, "KneeShape.flexion_deg"),
        ({"femoral_cartilage_mm": float("nan")}, "KneeShape.femoral_cartilage_mm"),
        ({"fat_mm": True}, "KneeShape.fat_mm"),
        ({"lesions": ("hole",)}, "KneeShape.lesions"),
        ({"seed": -1}, "KneeShape.seed"),
        ({"seed": 1.5}, "KneeShape.seed"),
    ],
)
def test_bad_shapes_are_refused_by_name(values, message):
    with pytest.raises(ConfigError, match=message):
        KneeShape(**values)


def test_bad_lesions_contrasts_and_seeds_are_refused_by_name():
    with pytest.raises(ConfigError, match=r"CartilageLesion\.site"):
        CartilageLesion("elbow")
    with pytest.raises(ConfigError, match=r"CartilageLesion\.depth"):
        CartilageLesion("patellar", depth=2.0)
    with pytest.raises(ConfigError, match="plasma"):
        ContrastConfig(signal={"plasma": 1.0})
    with pytest.raises(ConfigError, match=r"ContrastConfig\.noise"):
        ContrastConfig(noise=-1.0)
    with pytest.raises(ConfigError, match=r"make_knee\.seed"):
        make_knee(KneeShape(), GRID, seed=-3)


def test_random_shapes_and_contrasts_are_valid_reproducible_and_can_be_pickled():
    first, again = (random_shape(np.random.default_rng(4)) for _ in range(2))
    assert first == again
    shapes = [random_shape(np.random.default_rng(seed)) for seed in range(200)]  # construction checks ranges
    assert 70 < np.mean([s.width_mm for s in shapes]) < 85
    assert {s.side for s in shapes} == {"left", "right"}
    contrast = random_contrast(np.random.default_rng(4))
    assert pickle.loads(pickle.dumps(contrast)) == contrast
