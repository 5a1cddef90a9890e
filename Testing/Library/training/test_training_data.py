"""From label maps to batches: geometry that agrees, randomness that repeats."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from scipy import ndimage

from JointRegistrationLib.core.errors import FileError, InputError
from JointRegistrationLib.ops import maps
from JointRegistrationLib.training.data import labels as lab
from JointRegistrationLib.training.data.alignment import align_pool, align_to, fit_distances
from JointRegistrationLib.training.data.augment import AugmentConfig, generator, random_affine, random_deformation
from JointRegistrationLib.training.data.batches import draw_batch, stored_pair
from JointRegistrationLib.training.data.pool import RenderConfig, build_pool, load_pool
from JointRegistrationLib.training.data.render import TISSUES, Anatomy, build_anatomy, render
from JointRegistrationLib.training.objectives import distance_loss, overlap_loss, point_error_mm
from JointRegistrationLib.training.validation import dice_of_distances
from Testing.Support.training_cases import knee_labels, tiny_pool

POOL = tiny_pool()


def write_labels(path: Path, flip: bool) -> None:
    """The knee above as NIfTI with axes R A S, or L A S if ``flip``."""
    array = knee_labels().transpose(1, 2, 0)  # (S, A, R)
    image = sitk.GetImageFromArray(array[..., ::-1].copy() if flip else array)
    image.SetSpacing((1.5, 1.0, 2.0))
    side = 1.0 if flip else -1.0
    image.SetDirection((side, 0, 0, 0, -1, 0, 0, 0, 1))
    sitk.WriteImage(image, str(path))


@pytest.mark.parametrize("flip", [False, True])
def test_labels_arrive_in_the_canonical_order_whatever_the_file_says(tmp_path: Path, flip: bool) -> None:
    write_labels(tmp_path / "knee.nii.gz", flip)
    labels, spacing = lab.read_canonical_labels(tmp_path / "knee.nii.gz")
    assert np.array_equal(labels, knee_labels())
    assert spacing == pytest.approx((1.5, 2.0, 1.0))


def test_canonical_grid_runs_right_superior_anterior() -> None:
    grid = lab.canonical_grid((4, 6, 8), (3.0, 2.0, 1.0))
    assert grid.shape == (4, 6, 8) and grid.orientation == "ASR"
    assert np.allclose(grid.center_ras, 0)
    step = np.diff(grid.ijk_to_ras @ np.array([[0, 0], [0, 0], [0, 1], [1, 1]]), axis=1)[:3, 0]
    assert np.allclose(step, [3, 0, 0])


def test_fractions_are_block_means_and_majority_is_their_largest() -> None:
    fractions = lab.structure_fractions(knee_labels(), (2, 2, 2))
    assert fractions.shape == (6, 8, 16, 16)
    assert fractions[0].sum() * 8 == (knee_labels() == 1).sum()
    assert set(np.unique(lab.majority_labels(fractions))) <= set(range(7))
    with pytest.raises(InputError, match="multiple"):
        lab.structure_fractions(knee_labels(), (3, 2, 2))


def test_signed_distance_agrees_with_scipy_and_has_no_bias() -> None:
    mask = np.random.default_rng(0).random((12, 14, 10)) > 0.9
    mask = ndimage.binary_dilation(mask, iterations=2)
    spacing = (2.0, 1.0, 1.5)
    half = np.mean(spacing) / 2
    wanted = np.where(
        mask,
        half - ndimage.distance_transform_edt(mask, spacing),
        ndimage.distance_transform_edt(~mask, spacing) - half,
    )
    assert np.allclose(lab.signed_distance_mm(mask, spacing), wanted, atol=1e-4)
    assert ((lab.signed_distance_mm(mask, spacing) < 0) == mask).mean() > 0.95
    assert (lab.signed_distance_mm(np.zeros((3, 3, 3), bool), spacing) > 100).all()


def anatomy() -> Anatomy:
    fractions = lab.structure_fractions(knee_labels(), (1, 1, 1))
    spacing = (3.0, 3.0, 3.0)
    distances = lab.structure_distances_mm(fractions, spacing)
    return build_anatomy(torch.from_numpy(distances), torch.from_numpy(fractions), spacing, seed=3)


def test_tissues_fill_every_voxel_and_respect_the_labels() -> None:
    fractions = anatomy().fractions
    assert fractions.shape == (len(TISSUES), 16, 32, 32)
    assert torch.allclose(fractions.sum(dim=0), torch.ones(16, 32, 32), atol=1e-4)
    assert fractions.min() >= 0
    cartilage = torch.from_numpy(np.isin(knee_labels(), (2, 4, 6)))
    assert torch.equal(fractions[TISSUES.index("cartilage")] > 0.5, cartilage)


def test_rendering_is_seeded_and_normalised() -> None:
    first, again, other = (render(anatomy(), seed) for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert float(first.min()) == 0 and float(first.max()) == 1


def test_dess_contrast_has_bright_cartilage_between_dark_bones() -> None:
    image = render(anatomy(), 5, arbitrary_contrast=0.0)
    labels = torch.from_numpy(knee_labels())
    bone, cartilage = image[(labels == 1) | (labels == 3)].mean(), image[(labels == 2) | (labels == 4)].mean()
    assert cartilage > 2 * bone


def test_pool_is_written_once_and_read_back(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    with (data / "manifest.csv").open("w", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["file", "subject", "split"])
        for visit in (0, 1):
            write_labels(data / f"7_{visit}.nii.gz", flip=False)
            table.writerow([f"7_{visit}.nii.gz", "7", "train"])
    config = RenderConfig((1, 2, 2), simple=2, realistic=0)
    build = lambda: list(build_pool(data, "train", tmp_path / "pool", config))  # noqa: E731
    assert build() == ["7_0", "7_1"]
    stamp = (tmp_path / "pool" / "7_0.safetensors").stat().st_mtime_ns
    build()
    assert (tmp_path / "pool" / "7_0.safetensors").stat().st_mtime_ns == stamp
    pool = load_pool(tmp_path / "pool", shrink=(2, 2, 2))
    assert pool.grid.shape == (8, 8, 8) and pool.scans[0].images.shape == (2, 8, 8, 8)
    assert pool.longitudinal_pairs() == [(0, 1), (1, 0)] and pool.cross_subject_pairs() == []
    assert list(build_pool(data, "train", tmp_path / "by-two", replace(config, jobs=2))) == ["7_0", "7_1"]
    for one, two in zip(load_pool(tmp_path / "pool").scans, load_pool(tmp_path / "by-two").scans, strict=True):
        assert torch.equal(one.images, two.images) and torch.equal(one.distances, two.distances)
    with pytest.raises(FileError, match="split 'test'"):
        list(build_pool(data, "test", tmp_path / "pool", config))
    with pytest.raises(FileError, match="no pool"):
        load_pool(tmp_path / "nothing")


def test_draws_depend_on_seed_and_step_only() -> None:
    config = AugmentConfig(5.0, 0.05, 0.02, 3.0)
    one, same, other = (draw_batch(POOL, config, 2, generator(0, step)) for step in (4, 4, 5))
    assert torch.equal(one.fixed, same.fixed) and torch.equal(one.affine_ras, same.affine_ras)
    assert not torch.equal(one.affine_ras, other.affine_ras)


def test_affine_of_a_batch_aligns_its_images() -> None:
    batch = draw_batch(POOL, AugmentConfig(8.0, 0.05, 0.02, 3.0), 4, generator(0, 1))
    points = maps.apply_matrix(batch.affine_ras, maps.identity(POOL.grid).expand(4, -1, -1, -1, -1))
    warped = maps.sample(batch.moving_distances, POOL.grid, points, outside=None)
    aligned, before = (distance_loss(w, batch.fixed_distances) for w in (warped, batch.moving_distances))
    assert aligned < 0.3 * before


def test_prealigned_batches_differ_by_the_residual_only() -> None:
    still = AugmentConfig(0, 0, 0, 0)
    batch = draw_batch(POOL, AugmentConfig(8.0, 0.05, 0.02, 3.0), 4, generator(0, 1), align=still)
    assert torch.allclose(batch.affine_ras, torch.eye(4).expand(4, 4, 4), atol=1e-4)


def test_swapping_a_batch_twice_gives_it_back() -> None:
    batch = draw_batch(POOL, AugmentConfig(), 2, generator(0, 2))
    assert torch.allclose(batch.swapped().affine_ras @ batch.affine_ras, torch.eye(4).expand(2, 4, 4), atol=1e-4)
    assert torch.equal(batch.swapped().swapped().fixed, batch.fixed)


def test_random_affines_are_rotations_where_only_rotation_is_asked_for() -> None:
    linear = random_affine(AugmentConfig(10, 0, 0, 0), POOL.grid, 8, generator(1, 1))[:, :3, :3]
    assert torch.allclose(linear @ linear.mT, torch.eye(3).expand(8, 3, 3), atol=1e-5)
    assert (torch.linalg.det(linear) > 0).all()


def test_random_deformations_do_not_fold() -> None:
    config = AugmentConfig(deformation_mm=4.0, deformation_sigma_mm=12.0)
    field = random_deformation(config, POOL.grid, 3, generator(1, 2))
    assert field.norm(dim=1).mean() > 0.3
    assert maps.jacobian_determinant(maps.from_displacement(field, POOL.grid), POOL.grid).min() > 0


def test_fit_of_distance_fields_recovers_a_known_affine() -> None:
    scan = POOL.scans[0]
    fixed = scan.distances.float()[None] / 10
    matrix = random_affine(AugmentConfig(4.0, 0.03, 0.0, 2.0), POOL.grid, 1, generator(2, 0))
    moved = maps.sample(fixed, POOL.grid, maps.affine_map(matrix[0], POOL.grid, fixed), outside=None)
    found = fit_distances(moved, fixed, POOL.grid, np.eye(4))
    assert point_error_mm(torch.as_tensor(found).float()[None], matrix, POOL.grid) < 0.2


def test_pool_alignment_brings_the_scans_together() -> None:
    matrices, _ = align_pool(POOL, rounds=1)
    first, third = POOL.scans[0], POOL.scans[2]
    found = matrices[third.name] @ np.linalg.inv(matrices[first.name])
    wanted = third.affine_ras @ np.linalg.inv(first.affine_ras)
    assert np.abs(found[:3, 3] - wanted[:3, 3]).max() < 0.7


def test_a_knee_aligned_later_belongs_to_the_same_frame() -> None:
    matrices, template = align_pool(POOL, rounds=1)
    again = align_to(POOL, template)
    for name, matrix in matrices.items():
        assert np.abs(again[name][:3, 3] - matrix[:3, 3]).max() < 0.7, name


def test_perfect_overlap_costs_nothing() -> None:
    batch = stored_pair(POOL, 0, 0)
    assert distance_loss(batch.fixed_distances, batch.fixed_distances) == 0
    assert overlap_loss(batch.fixed_distances, batch.fixed_distances, 0.8) < 1e-5
    assert set(dice_of_distances(batch.fixed_distances, batch.fixed_distances).values()) == {1.0}
    shifted = batch.fixed_distances.roll(2, dims=2)
    assert overlap_loss(shifted, batch.fixed_distances, 0.8) > 0.1
