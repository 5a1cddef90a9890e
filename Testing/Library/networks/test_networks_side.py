"""Left or right, told from the image by a small network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from JointRegistrationLib.core.errors import CheckpointError
from JointRegistrationLib.core.geometry import Grid
from JointRegistrationLib.core.structures import CERTAIN, SideGuess
from JointRegistrationLib.networks import checkpoint, side
from JointRegistrationLib.networks.checkpoint import checksum_file
from JointRegistrationLib.networks.side import ARCHITECTURE, SideNet, detect_side, load_side_model
from JointRegistrationLib.ops.separable.resampling import to_tensor
from JointRegistrationLib.phantom import make_pair, working_grid
from JointRegistrationLib.registration.preprocessing import normalize
from Testing.Support.grids import reoriented

MIRROR = np.diag([-1.0, 1.0, 1.0, 1.0])


def untrained(gain: float = 5.0) -> SideNet:
    """Random weights whose answers differ from 0."""
    torch.manual_seed(0)
    model = SideNet().eval()
    torch.nn.init.normal_(model.output.weight, std=gain)
    return model


def mirrored(grid: Grid) -> Grid:
    return Grid.from_ijk_to_ras(grid.size_ijk, MIRROR @ grid.ijk_to_ras)


def test_a_mirrored_image_gets_the_opposite_answer_whatever_the_weights() -> None:
    images = torch.rand(3, 1, 12, 16, 16, generator=torch.Generator().manual_seed(0))
    model = untrained()
    with torch.no_grad():
        odds = model(images)
        assert odds.abs().min() > 1e-4
        torch.testing.assert_close(model(images.flip(2)), -odds)


def test_a_mirrored_grid_gets_the_other_side_with_the_same_certainty(oblique_grid: Grid) -> None:
    image = torch.rand(1, 1, *oblique_grid.shape, generator=torch.Generator().manual_seed(1))
    model = untrained(200.0)
    here, there = (detect_side(model, image, grid) for grid in (oblique_grid, mirrored(oblique_grid)))
    assert {here.side, there.side} == {"right", "left"}
    assert there.log_odds == pytest.approx(here.log_odds, abs=1e-3)


def test_orientation_of_the_voxel_axes_does_not_matter(ras_grid: Grid) -> None:
    image = torch.rand(1, 1, *ras_grid.shape, generator=torch.Generator().manual_seed(1))
    turned = image.permute(0, 1, 3, 2, 4).flip(3)
    model = untrained(200.0)
    here, there = (
        detect_side(model, image, ras_grid),
        detect_side(model, turned, reoriented(ras_grid, (0, 2, 1), (False, True, False))),
    )
    assert here.side == there.side
    assert here.log_odds == pytest.approx(there.log_odds, abs=1e-2)


def test_views_that_disagree_give_no_answer(monkeypatch: pytest.MonkeyPatch, ras_grid: Grid) -> None:
    image = torch.zeros(1, 1, *ras_grid.shape)
    for odds, expected in (([9.0, -1.0, 9.0], ("right", 0.0)), ([-4.0, -5.0, -3.5], ("left", 3.5))):
        monkeypatch.setattr(SideNet, "forward", lambda _self, _x, odds=odds: torch.tensor(odds))
        guess = detect_side(SideNet(), image, ras_grid)
        assert (guess.side, guess.log_odds) == expected
        assert guess.certain == (guess.log_odds >= CERTAIN)
    assert not SideGuess("left", CERTAIN - 0.01).certain


@pytest.mark.parametrize("seed", [3, 7])
def test_the_shipped_network_knows_the_phantom_s_side_both_ways(seed: int) -> None:
    pair = make_pair(seed, working_grid().resized((64, 64, 44)))
    model = load_side_model()
    for knee in (pair.fixed, pair.moving):
        image, grid = to_tensor(normalize(knee.image.array)), knee.image.grid
        here, there = detect_side(model, image, grid), detect_side(model, image, mirrored(grid))
        assert here.certain and there.certain
        assert here.side != there.side
    guesses = [
        detect_side(model, to_tensor(normalize(k.image.array)), k.image.grid).side for k in (pair.fixed, pair.moving)
    ]
    assert guesses[0] == guesses[1]


def test_noise_gets_no_certain_answer(isotropic_grid: Grid) -> None:
    grid = isotropic_grid.resized((40, 40, 40))
    model = load_side_model()
    for seed in range(4):
        noise = torch.rand(1, 1, 6, 6, 6, generator=torch.Generator().manual_seed(seed))
        image = torch.nn.functional.interpolate(noise, size=grid.shape, mode="trilinear")
        assert not detect_side(model, image, grid).certain


def test_weights_that_were_changed_or_are_missing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such weights file"):
        load_side_model(tmp_path / "none.safetensors")
    path = tmp_path / "side.safetensors"
    path.write_bytes(side.SIDE_WEIGHTS.read_bytes())
    checksum_file(path).write_text("0" * 64)
    with pytest.raises(CheckpointError, match="SHA-256"):
        load_side_model(path)
    checksum_file(path).unlink()
    checkpoint.save_weights(path, SideNet(), checkpoint.Header("avsm"))
    with pytest.raises(CheckpointError, match=ARCHITECTURE):
        load_side_model(path)
