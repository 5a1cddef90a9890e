"""Transform files: what SimpleITK, which did not write our maps, makes of them."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from JointRegistrationLib.core.errors import FileError, GeometryError, InputError
from JointRegistrationLib.core.geometry import Grid, transform_points
from JointRegistrationLib.core.image import Image
from JointRegistrationLib.files import (
    read_transform,
    write_affine,
    write_displacement_field,
    write_image,
    write_transform,
)
from JointRegistrationLib.files.transforms import itk
from JointRegistrationLib.ops import maps
from Testing.Support.transform_grids import GRIDS, PAIRS, rotation

AFFINE = np.eye(4)
AFFINE[:3, :3] = rotation(2, 9) @ np.diag([1.05, 0.97, 1.02])
AFFINE[:3, 3] = (1.5, -2.0, 0.7)


def smooth_displacement(points_ras: np.ndarray) -> np.ndarray:
    """u(x), up to 3 mm, slowly varying."""
    r, a, s = np.moveaxis(points_ras, -1, 0)
    return np.stack([2 * np.sin(a / 11), 3 * np.cos(s / 13) - 1.0, 1.5 * np.sin((r + a) / 17)], axis=-1)


def lattice(grid: Grid) -> np.ndarray:
    return maps.identity(grid, dtype=torch.float64)[0].permute(1, 2, 3, 0).numpy()


def total_field(grid: Grid, affine: np.ndarray = AFFINE) -> np.ndarray:
    points = lattice(grid)
    return (transform_points(affine, points + smooth_displacement(points)) - points).astype(np.float32)


def blobs(grid: Grid) -> np.ndarray:
    points = lattice(grid)
    centres = ((0, 0, 0, 1.0), (8, -5, 4, 0.7), (-9, 7, -6, 0.5))
    return sum(w * np.exp(-((points - np.array(c)) ** 2).sum(-1) / 60) for *c, w in centres).astype(np.float32)


def random_points_inside(grid: Grid, n: int = 40) -> np.ndarray:
    return transform_points(grid.unit_to_ras, np.random.default_rng(3).uniform(0.02, 0.98, (n, 3)))


@pytest.mark.parametrize(("fixed_name", "moving_name"), PAIRS)
def test_simpleitk_resamples_with_the_file_to_the_same_image(fixed_name: str, moving_name: str, tmp_path: Path) -> None:
    fixed, moving = GRIDS[fixed_name], GRIDS[moving_name]
    field, image = total_field(fixed), blobs(moving)
    map_ras = maps.from_displacement(torch.from_numpy(field).permute(3, 0, 1, 2)[None], fixed)
    ours = maps.warp(torch.from_numpy(image)[None, None], moving, map_ras)[0, 0].numpy()
    write_transform(tmp_path / "t.h5", field, fixed, AFFINE)
    write_image(Image(image, moving), tmp_path / "moving.nrrd")
    write_image(Image(ours, fixed), tmp_path / "fixed.nii.gz")
    theirs = sitk.GetArrayFromImage(
        sitk.Resample(
            sitk.ReadImage(str(tmp_path / "moving.nrrd")),
            sitk.ReadImage(str(tmp_path / "fixed.nii.gz")),
            sitk.ReadTransform(str(tmp_path / "t.h5")),
            sitk.sitkLinear,
            0.0,
        )
    )
    inside = maps.inside(moving, map_ras, margin_voxels=0)[0, 0].numpy()
    assert inside.mean() > 0.3
    assert np.abs(ours).max() > 0.5
    assert (np.abs(ours - theirs)[inside] <= 1e-3 * np.ptp(image)).mean() >= 0.999


@pytest.fixture(params=["h5py", "SimpleITK"])
def writer(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What writes the .h5 file: h5py, or, where it is not installed, SimpleITK."""
    if request.param == "SimpleITK":
        monkeypatch.setattr(itk, "is_available", lambda: False)
    return str(request.param)


@pytest.mark.parametrize("name", GRIDS)
def test_points_move_as_the_field_says_and_outside_the_lattice_the_affine_holds(
    name: str, writer: str, tmp_path: Path
) -> None:
    grid = GRIDS[name]
    write_transform(tmp_path / "t.h5", total_field(grid), grid, AFFINE)
    transform = read_transform(tmp_path / "t.h5")
    at_nodes = lattice(grid).reshape(-1, 3)[::97]
    expected = at_nodes + total_field(grid).reshape(-1, 3)[::97]
    assert np.abs(transform.apply(at_nodes) - expected).max() < (2e-4 if writer == "h5py" else 1e-5)
    outside = np.array([[200.0, -150.0, 90.0], [-300.0, 10.0, 5.0]])
    assert np.abs(transform.apply(outside) - transform_points(AFFINE, outside)).max() < 1e-6
    assert transform.parts == ("DisplacementFieldTransform", "AffineTransform")
    assert transform.grid is not None
    assert transform.grid.is_close(grid)
    assert not transform.is_linear


def test_the_inverse_file_undoes_the_transform_inside_and_the_affine_outside(tmp_path: Path) -> None:
    fixed, moving = GRIDS["oblique"], GRIDS["LPS"]
    points = lattice(fixed)
    u = torch.from_numpy(smooth_displacement(points)).permute(3, 0, 1, 2)[None]
    inverse = maps.inverse(u, fixed, moving, affine_ras=AFFINE, tolerance_mm=1e-6)
    inverse_field = maps.displacement(inverse.map_ras, moving)[0].permute(1, 2, 3, 0).numpy().astype(np.float32)
    write_transform(tmp_path / "t.h5", total_field(fixed), fixed, AFFINE)
    write_transform(tmp_path / "inverse.h5", inverse_field, moving, np.linalg.inv(AFFINE))
    there, back = read_transform(tmp_path / "t.h5"), read_transform(tmp_path / "inverse.h5")

    inside = random_points_inside(Grid((2, 2, 2), (18.0, 18.0, 18.0), (-9.0, -9.0, -9.0)))
    assert np.linalg.norm(back.apply(there.apply(inside)) - inside, axis=1).mean() < 0.1 * 1.8
    outside = np.array([[250.0, 0.0, 0.0], [0.0, -310.0, 40.0]])
    assert np.abs(back.apply(outside) - transform_points(np.linalg.inv(AFFINE), outside)).max() < 1e-6
    assert np.abs(back.apply(there.apply(outside)) - outside).max() < 1e-6


def test_without_an_affine_the_file_is_the_field_alone(writer: str, tmp_path: Path) -> None:
    grid = GRIDS["PIR"]
    write_transform(tmp_path / "t.h5", total_field(grid), grid)
    transform = read_transform(tmp_path / "t.h5")
    assert transform.parts == ("DisplacementFieldTransform",)
    node = lattice(grid)[3, 4, 5][None]
    assert transform.apply(node) == pytest.approx(node + total_field(grid)[3, 4, 5], abs=2e-4)


@pytest.mark.parametrize("spacing_mm", [2.0, 0.36, 0.01])
def test_vectors_are_rounded_to_far_less_than_a_voxel(spacing_mm: float, tmp_path: Path) -> None:
    grid = Grid((20, 16, 12), (spacing_mm, spacing_mm, 2 * spacing_mm), (5.0, -3.0, 40.0))
    field = np.random.default_rng(5).normal(0, 4 * spacing_mm, (*grid.shape, 3)).astype(np.float32)
    write_transform(tmp_path / "t.h5", field, grid)
    written = read_transform(tmp_path / "t.h5").displacement_field(grid)
    assert 0 < np.abs(written - field).max() <= min(2.0**-13, spacing_mm / 2000) * 1.01


def test_the_file_is_a_fraction_of_what_simpleitk_writes_and_says_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid = Grid((96, 80, 40), (0.7, 0.7, 1.4), (-30.0, 5.0, 2.0), GRIDS["oblique"].direction_ras)
    field = total_field(grid)
    write_transform(tmp_path / "compressed.h5", field, grid, AFFINE)
    monkeypatch.setattr(itk, "is_available", lambda: False)
    write_transform(tmp_path / "plain.h5", field, grid, AFFINE)
    compressed, plain = (read_transform(tmp_path / f"{name}.h5") for name in ("compressed", "plain"))
    assert compressed.parts == plain.parts
    assert compressed.grid is not None
    assert plain.grid is not None
    assert compressed.grid.is_close(plain.grid, 1e-9)
    points = random_points_inside(grid, 200)
    assert np.abs(compressed.apply(points) - plain.apply(points)).max() < 2e-4
    sizes = [(tmp_path / f"{name}.h5").stat().st_size for name in ("compressed", "plain")]
    assert sizes[0] < 0.35 * sizes[1]
    assert sizes[1] <= 1.02 * itk.transform_bytes(grid)


def test_a_field_that_does_not_compress_fits_the_bytes_that_are_reserved(tmp_path: Path) -> None:
    grid = GRIDS["anisotropic"]
    noise = np.random.default_rng(1).normal(0, 20, (*grid.shape, 3)).astype(np.float32)
    write_transform(tmp_path / "t.h5", noise, grid, AFFINE)
    assert (tmp_path / "t.h5").stat().st_size <= itk.transform_bytes(grid) + 16384


@pytest.mark.parametrize("suffix", [".tfm", ".txt", ".mat", ".h5"])
def test_an_affine_comes_back_as_the_same_matrix(suffix: str, tmp_path: Path) -> None:
    write_affine(tmp_path / f"a{suffix}", AFFINE)
    transform = read_transform(tmp_path / f"a{suffix}")
    assert transform.is_linear
    assert transform.matrix_ras == pytest.approx(AFFINE, abs=1e-9)


def test_simpleitk_reads_the_affine_in_lps(tmp_path: Path) -> None:
    write_affine(tmp_path / "a.tfm", AFFINE)
    r, a, s = transform_points(AFFINE, [10.0, 20.0, 30.0])
    assert sitk.ReadTransform(str(tmp_path / "a.tfm")).TransformPoint((-10, -20, 30)) == pytest.approx((-r, -a, s))


def test_a_linear_composite_reads_as_one_matrix(tmp_path: Path) -> None:
    shift, turn = sitk.TranslationTransform(3, (1, 2, 3)), sitk.Euler3DTransform((0, 0, 0), 0.1, 0.2, 0.3)
    sitk.WriteTransform(sitk.CompositeTransform([shift, turn]), str(tmp_path / "c.h5"))
    transform = read_transform(tmp_path / "c.h5")
    assert transform.parts == ("Euler3DTransform", "TranslationTransform")
    points = np.random.default_rng(0).normal(0, 30, (5, 3))
    assert transform_points(transform.matrix_ras, points) == pytest.approx(transform.apply(points), abs=1e-9)


def test_a_deformation_has_no_matrix(tmp_path: Path) -> None:
    write_transform(tmp_path / "t.h5", total_field(GRIDS["RAS"]), GRIDS["RAS"])
    with pytest.raises(InputError, match="linear transform is needed"):
        _ = read_transform(tmp_path / "t.h5").matrix_ras


@pytest.mark.parametrize("suffix", [".nrrd", ".mha", ".nii", ".nii.gz"])
@pytest.mark.parametrize("name", ["oblique", "LAS"])
def test_a_displacement_field_image_moves_points_as_given(name: str, suffix: str, tmp_path: Path) -> None:
    grid = GRIDS[name]
    write_displacement_field(tmp_path / f"d{suffix}", total_field(grid), grid)
    transform = read_transform(tmp_path / f"d{suffix}")
    at_nodes = lattice(grid).reshape(-1, 3)[5::131]
    expected = at_nodes + total_field(grid).reshape(-1, 3)[5::131]
    assert np.abs(transform.apply(at_nodes) - expected).max() < 1e-4
    assert [path.name for path in tmp_path.iterdir()] == [f"d{suffix}"]


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_nifti_fields_carry_the_displacement_intent_and_ras_vectors(suffix: str, tmp_path: Path) -> None:
    grid = GRIDS["LPS"]
    write_displacement_field(tmp_path / f"d{suffix}", total_field(grid), grid)
    raw = (tmp_path / f"d{suffix}").read_bytes()
    raw = gzip.decompress(raw) if suffix.endswith("gz") else raw
    assert struct.unpack_from("<h", raw, 68) == (1006,)
    offset = int(struct.unpack_from("<f", raw, 108)[0])
    vectors = np.frombuffer(raw[offset:], "<f4").reshape(3, *grid.shape)
    assert np.moveaxis(vectors, 0, -1) == pytest.approx(total_field(grid))


def test_nrrd_fields_carry_the_tags_that_slicer_looks_for(tmp_path: Path) -> None:
    write_displacement_field(tmp_path / "d.nrrd", total_field(GRIDS["LPS"]), GRIDS["LPS"])
    header = (tmp_path / "d.nrrd").read_bytes().split(b"\n\n")[0].decode()
    assert "displacement field type:=resampling" in header
    assert "intent_code:=1006" in header
    assert "kinds: vector domain domain domain" in header


def test_a_field_of_another_shape_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(GeometryError, match=r"t\.h5: the displacement field must have the shape"):
        write_transform(tmp_path / "t.h5", np.zeros((3, 4, 5, 3)), GRIDS["RAS"])
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_suffix_is_refused(tmp_path: Path) -> None:
    field, grid = total_field(GRIDS["RAS"]), GRIDS["RAS"]
    with pytest.raises(FileError, match=r"\.h5"):
        write_transform(tmp_path / "t.tfm", field, grid)
    with pytest.raises(FileError, match=r"\.nrrd"):
        write_displacement_field(tmp_path / "t.h5", field, grid)
    with pytest.raises(FileError, match=r"\.tfm"):
        write_affine(tmp_path / "a.json", AFFINE)


@pytest.mark.parametrize("name", ["a.h5", "a.tfm", "a.nrrd", "a.png"])
def test_reading_what_is_no_transform_says_so(name: str, tmp_path: Path) -> None:
    with pytest.raises(FileError, match=f"{name}.*no such file"):
        read_transform(tmp_path / name)
    (tmp_path / name).write_bytes(b"this is no transform\n" * 20)
    with pytest.raises(FileError, match=name):
        read_transform(tmp_path / name)


def test_a_scalar_image_is_no_displacement_field(tmp_path: Path) -> None:
    write_image(Image(blobs(GRIDS["RAS"]), GRIDS["RAS"]), tmp_path / "i.nrrd")
    with pytest.raises(InputError, match="three components"):
        read_transform(tmp_path / "i.nrrd")
