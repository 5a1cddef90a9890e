"""Image files: what is read is what is there, and what is wrong with a file is said in one sentence."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from JointRegistrationLib.core.errors import FileError, GeometryError, InputError, JointRegistrationError
from JointRegistrationLib.core.geometry import Grid, transform_points
from JointRegistrationLib.core.image import Image
from JointRegistrationLib.files import read_image, read_labels, read_mask, write_image, write_labels

C, S = np.cos(0.4), np.sin(0.4)
GRID = Grid((8, 7, 6), (1.0, 2.0, 3.0), (5.0, -6.0, 7.0), ((C, -S, 0), (S, C, 0), (0, 0, 1)))
VALUES = np.random.default_rng(1).normal(100, 20, GRID.shape).astype(np.float32)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".mha"])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "float32", "float64"])
def test_an_image_comes_back_with_its_values_type_and_grid(suffix: str, dtype: str, tmp_path: Path) -> None:
    image = Image(VALUES.astype(dtype), GRID)
    write_image(image, tmp_path / f"a{suffix}")
    back = read_image(tmp_path / f"a{suffix}")
    assert np.array_equal(back.array, image.array)
    assert back.array.dtype == dtype
    assert back.grid.is_close(GRID, 1e-4)
    assert back.name == f"a{suffix}"


def test_simpleitk_finds_a_voxel_where_our_grid_says_up_to_the_sign_of_two_axes(tmp_path: Path) -> None:
    write_image(Image(VALUES, GRID), tmp_path / "a.nrrd")
    theirs = sitk.ReadImage(str(tmp_path / "a.nrrd"))
    r, a, s = transform_points(GRID.ijk_to_ras, [1, 2, 3])
    assert theirs.TransformIndexToPhysicalPoint((1, 2, 3)) == pytest.approx((-r, -a, s))
    assert theirs[1, 2, 3] == pytest.approx(VALUES[3, 2, 1])


def test_an_image_is_written_over_an_older_one_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    (tmp_path / "a.nrrd").write_text("older")
    write_image(Image(VALUES, GRID), tmp_path / "a.nrrd")
    assert np.array_equal(read_image(tmp_path / "a.nrrd").array, VALUES)
    assert [path.name for path in tmp_path.iterdir()] == ["a.nrrd"]


# -- label maps and masks -------------------------------------------------------------------------------


@pytest.mark.parametrize(("highest", "dtype"), [(9, "uint8"), (300, "int16"), (70000, "int32")])
def test_labels_come_back_in_the_smallest_type(highest: int, dtype: str, tmp_path: Path) -> None:
    values = np.zeros(GRID.shape, np.float64)
    values[2, 3, 4] = highest
    write_image(Image(values, GRID), tmp_path / "l.nii.gz")
    labels = read_labels(tmp_path / "l.nii.gz")
    assert labels.array.dtype == dtype
    assert labels.array[2, 3, 4] == highest


def test_labels_survive_writing(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 10, GRID.shape).astype(np.int16)
    write_labels(Image(values, GRID), tmp_path / "l.nrrd")
    assert np.array_equal(read_labels(tmp_path / "l.nrrd").array, values)


@pytest.mark.parametrize("bad", [0.5, np.nan, np.inf])
def test_labels_that_are_not_whole_numbers_are_refused(bad: float, tmp_path: Path) -> None:
    values = np.zeros(GRID.shape)
    values[0, 0, 0] = bad
    write_image(Image(values, GRID), tmp_path / "l.nrrd")
    with pytest.raises(InputError, match=r"l\.nrrd: labels must be whole numbers"):
        read_labels(tmp_path / "l.nrrd")


def test_a_mask_is_one_wherever_the_file_is_not_zero(tmp_path: Path) -> None:
    values = np.zeros(GRID.shape, np.int16)
    values[1:3] = 255
    write_image(Image(values, GRID), tmp_path / "m.nrrd")
    mask = read_mask(tmp_path / "m.nrrd")
    assert mask.array.dtype == np.uint8
    assert np.array_equal(mask.array, values != 0)


def test_a_boolean_mask_can_be_written(tmp_path: Path) -> None:
    write_labels(Image(VALUES > 100, GRID), tmp_path / "m.nii.gz")
    assert np.array_equal(read_mask(tmp_path / "m.nii.gz").array, VALUES > 100)


# -- files that cannot be read ----------------------------------------------------------------------------


def refusal(path: Path) -> JointRegistrationError:
    """The error of reading ``path``, checked for what every error must say."""
    with pytest.raises(JointRegistrationError) as caught:
        read_image(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    assert ";" in message, "says what to do"
    assert "(0x" not in message, "no addresses of ITK objects"
    return caught.value


def test_a_missing_file(tmp_path: Path) -> None:
    assert "no such file" in str(refusal(tmp_path / "a.nii.gz"))


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.nrrd", "a.mha", "a.txt", "a.png"])
@pytest.mark.parametrize("content", [b"", b"not an image at all" * 50], ids=["empty", "text"])
def test_a_file_that_is_no_image(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    assert isinstance(refusal(tmp_path / name), FileError)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".mha"])
@pytest.mark.parametrize("keep", [0.5, 0.98])
def test_a_truncated_file(suffix: str, keep: float, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    write_image(Image(VALUES, GRID), path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])
    assert "truncated" in str(refusal(path))


def test_a_damaged_archive(tmp_path: Path) -> None:
    path = tmp_path / "a.nii.gz"
    write_image(Image(VALUES, GRID), path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    assert "damaged" in str(refusal(path))


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_voxels_that_itk_would_turn_into_zero(suffix: str, dtype: str, bad: float, tmp_path: Path) -> None:
    values = VALUES.astype(dtype)
    values[-1, -1, -2:] = bad
    write_image(Image(values, GRID), tmp_path / f"a{suffix}")
    assert "holds NaN or infinite values (2 of " in str(refusal(tmp_path / f"a{suffix}"))


def write_array(path: Path, shape: tuple[int, ...], *, vector: bool = False) -> Path:
    values = np.random.default_rng(0).integers(0, 99, shape).astype(np.uint8)
    sitk.WriteImage(sitk.GetImageFromArray(values, isVector=vector), str(path))
    return path


@pytest.mark.parametrize(
    ("name", "shape", "vector", "said"),
    [
        ("a.png", (6, 7), False, "2 dimensions"),
        ("a.nii", (6, 7), False, "2 dimensions"),
        ("a.nii.gz", (5, 4, 6, 7), False, "4 dimensions"),
        ("a.nrrd", (1, 4, 6, 7), False, "4 dimensions"),
        ("a.nrrd", (4, 6, 7, 3), True, "one value a voxel"),
        ("a.nii.gz", (4, 6, 7, 2), True, "one value a voxel"),
        ("a.nii", (1, 6, 7), False, "at least 2 slices"),
        ("a.nrrd", (6, 1, 7), False, "at least 2 slices"),
    ],
)
def test_what_is_not_a_scalar_volume(
    name: str, shape: tuple[int, ...], vector: bool, said: str, tmp_path: Path
) -> None:
    error = refusal(write_array(tmp_path / name, shape, vector=vector))
    assert isinstance(error, InputError)
    assert said in str(error)


# -- geometry that ITK would mend or misread without a word -------------------------------------------------


def nifti(path: Path, *edits: tuple[int, str, tuple[float, ...]]) -> Path:
    """A NIfTI file with header fields overwritten: (offset, struct code, values)."""
    write_image(Image(VALUES, GRID), path)
    raw = bytearray(gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes())
    for offset, code, values in edits:
        struct.pack_into("<" + code, raw, offset, *values)
    path.write_bytes(gzip.compress(bytes(raw)) if path.suffix == ".gz" else bytes(raw))
    return path


PIXDIM, QFORM_CODE, SFORM = 80, 252, 280
NO_QFORM = (QFORM_CODE, "h", (0,))


@pytest.mark.parametrize("spacing", [0.0, -1.0, np.nan, np.inf])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_an_invalid_nifti_spacing(spacing: float, suffix: str, tmp_path: Path) -> None:
    error = refusal(nifti(tmp_path / f"a{suffix}", (PIXDIM, "f", (spacing,))))
    assert isinstance(error, GeometryError)
    assert "spacing must be positive" in str(error)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ((1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0), "singular"),
        ((0,) * 12, "singular"),
        ((np.nan,) * 12, "singular"),
        ((1, 0.6, 0, 0, 0, 2, 0, 0, 0, 0, 3, 0), "skewed"),
        ((4, 0, 0, 0, 0, 2, 0, 0, 0, 0, 3, 0), "other voxel sizes"),
    ],
)
def test_an_invalid_sform(rows: tuple[float, ...], said: str, tmp_path: Path) -> None:
    error = refusal(nifti(tmp_path / "a.nii", NO_QFORM, (SFORM, "12f", rows)))
    assert isinstance(error, GeometryError)
    assert said in str(error)


def test_a_singular_sform_is_refused_even_with_a_qform(tmp_path: Path) -> None:
    path = nifti(tmp_path / "a.nii", (SFORM, "12f", (1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0)))
    assert "singular" in str(refusal(path))


def test_beside_a_skewed_sform_the_scanners_qform_counts(tmp_path: Path) -> None:
    path = nifti(tmp_path / "a.nii", (SFORM, "12f", (1, 0.6, 0, 0, 0, 2, 0, 0, 0, 0, 3, 0)))
    assert read_image(path).grid.is_close(GRID, 1e-4)


def test_a_nifti_header_without_a_valid_size(tmp_path: Path) -> None:
    assert "size" in str(refusal(nifti(tmp_path / "a.nii", (40, "2h", (3, -8)))))


def edited(path: Path, old: bytes, new: bytes) -> Path:
    write_image(Image(VALUES, Grid((8, 7, 6), (1.0, 2.0, 3.0))), path)
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new, 1))
    return path


@pytest.mark.parametrize(
    ("directions", "said"),
    [
        (b"(0,0,0) (0,2,0) (0,0,3)", "spacing must be positive"),
        (b"(1,0,0) (1,0,0) (0,0,3)", "singular"),
        (b"(1,0,0) (1,2,0) (0,0,3)", "not orthonormal"),
        (b"(nan,0,0) (0,2,0) (0,0,3)", "cannot be read"),
    ],
)
def test_an_invalid_nrrd_geometry(directions: bytes, said: str, tmp_path: Path) -> None:
    assert said in str(refusal(edited(tmp_path / "a.nrrd", b"(-1,0,0) (0,-2,0) (0,0,3)", directions)))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (b"ElementSpacing = 1 2 3", b"ElementSpacing = 0 2 3", "spacing must be positive"),
        (b"ElementSpacing = 1 2 3", b"ElementSpacing = -1 2 3", "spacing must be positive"),
        (b"TransformMatrix = -1 0 0 0 -1 0", b"TransformMatrix = -1 0 0 -1 0 0", "singular"),
        (b"TransformMatrix = -1 0 0 0 -1 0", b"TransformMatrix = -1 .4 0 0 -1 0", "not orthonormal"),
    ],
)
def test_an_invalid_metaimage_geometry(old: bytes, new: bytes, said: str, tmp_path: Path) -> None:
    assert said in str(refusal(edited(tmp_path / "a.mha", old, new)))


# -- DICOM --------------------------------------------------------------------------------------------------


def write_series(folder: Path, *, uid: str, description: str, positions: tuple[float, ...]) -> None:
    folder.mkdir(exist_ok=True)
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    for number, z in enumerate(positions):
        values = np.full((1, 5, 6), 10 * number + 1, np.int16)
        values[0, 0, 0] = 0
        image = sitk.GetImageFromArray(values)
        image.SetSpacing((0.5, 0.5, 2.0))
        tags = {
            "0008|0060": "MR",
            "0008|103e": description,
            "0020|000e": uid,
            "0008|0018": f"{uid}.{number + 1}",
            "0020|0032": f"0\\0\\{z}",
            "0020|0037": "1\\0\\0\\0\\1\\0",
            "0020|0013": str(number),
        }
        for tag, value in tags.items():
            image.SetMetaData(tag, value)
        writer.SetFileName(str(folder / f"{uid}-{len(positions) - number}.dcm"))
        writer.Execute(image)


def test_a_dicom_folder_is_one_volume_in_the_order_of_positions(tmp_path: Path) -> None:
    write_series(tmp_path / "s", uid="1.2.3", description="DESS", positions=(0, 2, 4, 6))
    image = read_image(tmp_path / "s")
    assert image.grid.size_ijk == (6, 5, 4)
    assert image.grid.spacing_mm == pytest.approx((0.5, 0.5, 2.0))
    assert image.array[:, 2, 2].tolist() == [1, 11, 21, 31]


def test_a_dicom_folder_with_several_series_lists_them(tmp_path: Path) -> None:
    write_series(tmp_path / "s", uid="1.2.3", description="DESS", positions=(0, 2, 4))
    write_series(tmp_path / "s", uid="1.2.4", description="scout", positions=(0, 5))
    message = str(refusal(tmp_path / "s"))
    assert "'DESS', 3 slices" in message
    assert "'scout', 2 slices" in message


def test_a_dicom_series_with_a_missing_slice(tmp_path: Path) -> None:
    write_series(tmp_path / "s", uid="1.2.3", description="DESS", positions=(0, 2, 4, 8, 10))
    error = refusal(tmp_path / "s")
    assert isinstance(error, GeometryError)
    assert "4 mm between" in str(error)


def test_a_folder_without_dicom(tmp_path: Path) -> None:
    assert "no DICOM series" in str(refusal(tmp_path))


# -- writing --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.png", "a", "a.nhdr", "a.jpg"])
def test_an_unknown_suffix_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"let the name end in \.nrrd or"):
        write_image(Image(VALUES, GRID), tmp_path / name)
    assert list(tmp_path.iterdir()) == []
