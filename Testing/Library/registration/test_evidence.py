"""What speaks for a registration without labels, on images whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from JointRegistrationLib.core.figures.trust import Evidence
from JointRegistrationLib.core.geometry import Grid
from JointRegistrationLib.ops.similarity.image_pair import ImagePair
from JointRegistrationLib.registration.evidence import find_evidence
from JointRegistrationLib.registration.local_map import no_deformation

GRID = Grid((40, 44, 30), (1.46, 1.46, 2.0), (0.0, 0.0, 0.0))


def texture(grid: Grid = GRID) -> torch.Tensor:
    """A smooth random image of space, (1, 1, D, H, W), 0 to 1."""
    k, j, i = np.indices(grid.shape).reshape(3, -1)
    points = np.stack([i, j, k], -1) @ grid.ijk_to_ras[:3, :3].T + grid.ijk_to_ras[:3, 3]
    rng = np.random.default_rng(2)
    values = sum(np.sin(points @ rng.normal(0, 0.35, 3) + rng.uniform(0, 6)) for _ in range(30))
    values = (values - values.min()) / (values.max() - values.min())
    return torch.as_tensor(values.reshape(1, 1, *grid.shape), dtype=torch.float32)


def evidence_of(
    fixed: torch.Tensor,
    moving: torch.Tensor,
    grid: Grid = GRID,
    affine: np.ndarray | None = None,
    **masks: torch.Tensor,
) -> Evidence:
    pair = ImagePair(fixed, grid, moving, grid, **masks)
    return find_evidence(
        pair, np.eye(4) if affine is None else affine, no_deformation(pair), np.ones(grid.shape, np.float32)
    )


def test_equal_images_match_everywhere() -> None:
    found = evidence_of(texture(), texture())
    assert found.ncc == pytest.approx(1, abs=1e-5)
    assert found.local_ncc == pytest.approx(1, abs=1e-4)
    assert found.local_ncc_squared == pytest.approx(1, abs=1e-4)
    assert (found.negative, found.unlike, found.log2_low, found.log2_high) == (0, 0, 0, 0)
    assert found.doubts == ()


def test_a_negative_matches_in_the_square_alone() -> None:
    found = evidence_of(texture(), 1 - texture())
    assert found.local_ncc == pytest.approx(-1, abs=1e-4)
    assert found.local_ncc_squared == pytest.approx(1, abs=1e-4)
    assert found.negative == 1


def test_noise_does_not_match() -> None:
    noise = torch.rand((1, 1, *GRID.shape), generator=torch.Generator().manual_seed(0))
    found = evidence_of(texture(), noise)
    assert found.local_ncc_squared < 0.1
    assert "unlike" in found.doubts


def test_the_figures_do_not_depend_on_the_resolution() -> None:
    coarse, fine_grid = evidence_of(texture(), 0.5 * texture() + 0.5 * texture().flip(2)), GRID.resized((80, 88, 60))
    fine = evidence_of(texture(fine_grid), 0.5 * texture(fine_grid) + 0.5 * texture(fine_grid).flip(2), fine_grid)
    assert fine.local_ncc_squared == pytest.approx(coarse.local_ncc_squared, abs=0.05)


def test_what_only_one_image_shows_does_not_count() -> None:
    shift = np.eye(4)
    shift[0, 3] = GRID.size_ijk[0] * GRID.spacing_mm[0] / 2
    found = evidence_of(texture(), texture(), affine=shift)
    assert found.overlap == pytest.approx(0.5, abs=0.02)
    assert "overlap" in found.doubts
    mask = torch.zeros((1, 1, *GRID.shape))
    mask[..., :10] = 1
    assert evidence_of(texture(), texture(), fixed_mask=mask).overlap == pytest.approx(0.25)


def test_a_mask_of_nothing_in_common_gives_figures_that_are_numbers() -> None:
    far = np.eye(4)
    far[0, 3] = 1e4
    found = evidence_of(texture(), texture(), affine=far)
    assert found.overlap == 0
    assert found.local_ncc_squared == 0
