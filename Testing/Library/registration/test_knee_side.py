"""Whether two images may be registered to each other, and as which knees."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from JointRegistrationLib.core.config import AffineConfig, RegistrationConfig
from JointRegistrationLib.core.errors import InputError
from JointRegistrationLib.core.geometry import Grid
from JointRegistrationLib.core.structures import SideGuess
from JointRegistrationLib.networks import side as detector
from JointRegistrationLib.ops.similarity.image_pair import ImagePair
from JointRegistrationLib.registration import register
from JointRegistrationLib.registration.knee_side import knee_sides, with_place
from Testing.Support import knees
from Testing.Support.grids import remarks

GRID = knees.centered_grid((12, 12, 12), (4.0, 4.0, 4.0))
PAIR = ImagePair(torch.zeros(1, 1, *GRID.shape), GRID, torch.ones(1, 1, *GRID.shape), GRID)
MIRROR = np.diag([-1.0, 1.0, 1.0, 1.0])

Says = Callable[[tuple[str, float], tuple[str, float]], None]


@pytest.fixture
def says(monkeypatch: pytest.MonkeyPatch) -> Says:
    """Let the detection find these sides and log odds in the fixed and the moving image."""

    def answer(fixed: tuple[str, float], moving: tuple[str, float]) -> None:
        monkeypatch.setattr(
            detector, "detect_side", lambda _model, image, _grid: SideGuess(*(moving if float(image.mean()) else fixed))
        )

    return answer


@pytest.mark.parametrize(
    ("fixed", "moving", "expected"),
    [
        (("right", 6.0), ("right", 5.0), ("right",)),
        (("left", 6.0), ("left", 5.0), ("left",)),
        (("left", 6.0), ("right", 1.0), ("left",)),
        (("left", 0.5), ("right", 4.0), ("right",)),
        (("left", 1.5), ("right", 0.5), ("left",)),
        (("left", 1.5), ("right", 1.2), ("left", "right")),
        (("left", 0.5), ("right", 0.9), ("right", "left")),
        (("left", 0.5), ("right", 0.0), ("left", "right")),
    ],
)
def test_an_answer_counts_for_both_images_unless_the_other_contradicts(
    fixed: tuple[str, float], moving: tuple[str, float], expected: tuple[str, ...], says: Says
) -> None:
    says(fixed, moving)
    assert knee_sides(PAIR, "auto", None, check=True) == expected


def test_a_left_knee_on_a_right_one_is_refused_in_plain_words(says: Says) -> None:
    says(("left", 6.0), ("right", 5.0))
    with pytest.raises(InputError) as caught:
        knee_sides(PAIR, "auto", None, check=True)
    for said in (
        "the fixed image shows a left knee",
        "the moving image a right one",
        "wrong image",
        "header",
        "--side",
    ):
        assert said in str(caught.value)


def test_the_refusal_can_be_switched_off_or_the_side_told(says: Says) -> None:
    says(("left", 6.0), ("right", 5.0))
    assert knee_sides(PAIR, "auto", None, check=False) == ("left",)
    assert knee_sides(PAIR, "right", None, check=True) == ("right",)


def test_a_start_that_mirrors_wants_one_knee_of_each_side(says: Says) -> None:
    says(("left", 6.0), ("right", 5.0))
    assert knee_sides(PAIR, "auto", MIRROR, check=True) == ("left",)
    says(("left", 6.0), ("left", 5.0))
    with pytest.raises(InputError, match="a left knee and the moving image a left one, but the starting transform"):
        knee_sides(PAIR, "auto", MIRROR, check=True)


def test_every_method_refuses_and_none_looks_if_the_check_is_off(says: Says, monkeypatch: pytest.MonkeyPatch) -> None:
    fixed, moving = knees.make_pair(GRID, GRID, lambda y: y)
    says(("left", 6.0), ("left", 6.0))
    sides = iter(["right", "left"])
    monkeypatch.setattr(detector, "detect_side", lambda *_: SideGuess(next(sides), 9.0))
    quick = RegistrationConfig(method="affine-opt", affine=AffineConfig(levels=(2,), iterations=1))
    with pytest.raises(InputError, match="the fixed image shows a right knee"):
        register.register(fixed, moving, quick)
    found = register.register(fixed, moving, dataclasses.replace(quick, check_side=False))
    assert remarks(found) == ()


def test_without_its_weights_nothing_is_known_and_nothing_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(detector, "SIDE_WEIGHTS", tmp_path / "none.safetensors")
    assert knee_sides(PAIR, "auto", None, check=True) == ("right", "left")


@pytest.mark.parametrize(
    ("center_r_mm", "seen", "expected"),
    [
        (60.0, ("left", 0.0), ("right", 0.9)),
        (-60.0, ("right", 0.0), ("left", 0.9)),
        (60.0, ("right", 1.5), ("right", 2.4)),
        (60.0, ("left", 3.5), ("left", 2.6)),
        (10.0, ("left", 0.5), ("left", 0.5)),
        (-10.0, ("right", 0.5), ("right", 0.5)),
    ],
)
def test_a_right_knee_lies_to_the_right_of_the_scanners_middle(
    center_r_mm: float, seen: tuple[str, float], expected: tuple[str, float], oblique_grid: Grid
) -> None:
    matrix = oblique_grid.ijk_to_ras.copy()
    matrix[:3, 3] += (center_r_mm, 12.0, -40.0) - oblique_grid.center_ras
    grid = Grid.from_ijk_to_ras(oblique_grid.size_ijk, matrix)
    found = with_place(SideGuess(*seen), grid)
    assert (found.side, found.log_odds) == (expected[0], pytest.approx(expected[1]))


@pytest.mark.parametrize("flip", [1.0, -1.0])
def test_an_origin_that_nobody_set_says_nothing(flip: float) -> None:
    grid = Grid.from_ijk_to_ras((128, 64, 128), np.diag([flip, -1.0, 1.0, 1.0]))
    assert with_place(SideGuess("left", 0.5), grid) == SideGuess("left", 0.5)


def test_two_images_whose_place_and_content_agree_on_different_sides_are_refused(says: Says) -> None:
    right, left = (Grid((12, 12, 12), (4.0, 4.0, 4.0), (r, 5.0, 5.0)) for r in (50.0, -90.0))
    pair = ImagePair(PAIR.fixed, right, PAIR.moving, left)
    says(("right", 2.2), ("left", 2.2))
    with pytest.raises(InputError, match="the fixed image shows a right knee and the moving image a left one"):
        knee_sides(pair, "auto", None, check=True)
    says(("right", 0.0), ("left", 0.0))
    assert knee_sides(pair, "auto", None, check=True) == ("right", "left")
