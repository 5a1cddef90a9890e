"""DICOM: a volume is laid where its frames say, several are offered by name, and what is not known is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.uid import RLELossless

from JointRegistrationLib.core.errors import FileError, GeometryError, InputError
from JointRegistrationLib.core.geometry import transform_points
from JointRegistrationLib.core.image import Image
from JointRegistrationLib.files import read_image
from JointRegistrationLib.files.dicom.series import series_tags
from Testing.Support.dicom_cases import SIZE, SPACING, STEP, edit, values, write_enhanced, write_series, write_slice


def assert_right(image: Image, count: int = 4) -> None:
    """Each voxel has its slice's value where the slice said that it lies."""
    assert image.grid.size_ijk == (*SIZE, count)
    assert image.grid.spacing_mm == pytest.approx((*SPACING, 2.0))
    for number in range(count):
        first_ras = (np.array([10.0, 20.0, 30.0]) + number * STEP) * (-1, -1, 1)
        k = round(float(transform_points(image.grid.ras_to_ijk, first_ras)[2]))
        np.testing.assert_allclose(transform_points(image.grid.ijk_to_ras, [0, 0, k]), first_ras, atol=1e-6)
        np.testing.assert_array_equal(image.array[k], values(number))


def test_slices_are_laid_by_their_positions_whatever_the_files_are_called(tmp_path: Path) -> None:
    assert_right(read_image(write_series(tmp_path / "s")))


def test_a_folder_is_read_as_itk_reads_a_good_series(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "s", 5)
    ours = read_image(folder)
    names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder))
    theirs = sitk.ReadImage(names)
    np.testing.assert_array_equal(ours.array, sitk.GetArrayFromImage(theirs))
    assert ours.grid.origin_lps == pytest.approx(theirs.GetOrigin())
    assert ours.grid.direction_lps == pytest.approx(theirs.GetDirection())
    assert ours.grid.spacing_mm == pytest.approx(theirs.GetSpacing())


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (2, 0, 3, 1)], ids=["ordered", "reversed", "shuffled"])
@pytest.mark.parametrize("as_folder", [False, True], ids=["file", "folder"])
def test_frames_of_an_enhanced_file_are_laid_by_their_positions(
    order: tuple[int, ...], as_folder: bool, tmp_path: Path
) -> None:
    path = write_enhanced(tmp_path / "s" / "IM0001", order)
    assert_right(read_image(path.parent if as_folder else path))


def test_an_enhanced_file_with_a_gap_between_frames_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GeometryError, match=r"4 mm between .*but 2 mm elsewhere; add the missing slices"):
        read_image(write_enhanced(tmp_path / "a.dcm", (0, 1, 3, 4)))


def test_several_echoes_of_an_enhanced_file_are_offered_by_name(tmp_path: Path) -> None:
    path = write_enhanced(tmp_path / "a.dcm", (0, 0, 1, 1, 2, 2, 3, 3), echo_times=(5, 9.5) * 4)
    with pytest.raises(InputError, match=r"2 volumes .*'echo time 5 ms', 4 frames; 'echo time 9.5 ms', 4 frames"):
        read_image(path)
    assert_right(read_image(f"{path}::echo time 9.5 ms"))
    with pytest.raises(InputError, match=r"no 'echo time 7 ms' among"):
        read_image(f"{path}::echo time 7 ms")


def test_two_echoes_of_a_series_of_slices_are_offered_by_name(tmp_path: Path) -> None:
    for echo in (1, 2):
        for number in range(4):
            pixels = values(number) if echo == 2 else values(number) + 1
            write_slice(tmp_path / "s" / f"{echo}{number}.dcm", number, pixels=pixels, EchoTime=5.0 * echo)
    with pytest.raises(InputError, match=r"'echo time 5 ms', 4 slices; 'echo time 10 ms', 4 slices"):
        read_image(tmp_path / "s")
    assert_right(read_image(f"{tmp_path / 's'}::echo time 10 ms"))


def test_a_localizer_in_the_series_is_offered_as_a_plane_of_its_own(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "s")
    write_slice(folder / "scout.dcm", 0, ImageOrientationPatient=[1, 0, 0, 0, 1, 0])
    with pytest.raises(InputError, match=r"'sagittal, 6 x 5 pixels', 4 slices; 'axial, 6 x 5 pixels', 1 slices"):
        read_image(folder)
    assert_right(read_image(f"{folder}::sagittal, 6 x 5 pixels"))


def test_several_series_are_offered_by_description(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "s")
    for number in range(3):
        write_slice(folder / f"t2-{number}", number, SeriesInstanceUID="9.9", SeriesDescription="T2 map")
    assert_right(read_image(f"{folder}::DESS"))
    assert read_image(f"{folder}::t2 map").grid.size_ijk[2] == 3


def test_a_copy_of_a_slice_is_called_one(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "s")
    write_slice(folder / "copy.dcm", 2)
    with pytest.raises(GeometryError, match=r"twice at the same place, 0 mm apart, for example .*copy\.dcm"):
        read_image(folder)


def test_a_sheared_series_is_refused_with_how_far_it_would_be_off(tmp_path: Path) -> None:
    for number in range(4):
        place = np.array([10.0, 20.0, 30.0]) + number * np.array([STEP[0], 0.6, 0.0])
        write_slice(tmp_path / "s" / f"{number}.dcm", number, ImagePositionPatient=place.tolist())
    with pytest.raises(GeometryError, match=r"sheared: each lies 0\.6 mm aside .* 1\.8 mm in all"):
        read_image(tmp_path / "s")


@pytest.mark.parametrize("tag", ["ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"])
@pytest.mark.parametrize("how", ["missing", "empty"])
@pytest.mark.parametrize("slices", ["one", "all"])
def test_a_place_that_is_not_known_is_refused(tag: str, how: str, slices: str, tmp_path: Path) -> None:
    folder = write_series(tmp_path / "s")
    for file in sorted(folder.iterdir())[: None if slices == "all" else 1]:
        edit(file, **{tag: None if how == "missing" else []})
    error = GeometryError if slices == "all" or tag == "ImagePositionPatient" else InputError
    with pytest.raises(error, match=f"{tag} is missing or empty" if error is GeometryError else "2 volumes"):
        read_image(folder)


def test_frames_without_places_are_refused(tmp_path: Path) -> None:
    with pytest.raises(GeometryError, match="ImagePositionPatient is missing"):
        read_image(write_enhanced(tmp_path / "a.dcm", with_places=False))


def test_a_last_slice_cut_short_is_an_error(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "s")
    file = folder / "001.dcm"
    file.write_bytes(file.read_bytes()[:-7])
    with pytest.raises(FileError, match=r"001\.dcm: (truncated|not a DICOM)"):
        read_image(folder)


def test_slopes_that_differ_by_slice_are_each_slices_own(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "s")
    for number, file in enumerate(sorted(folder.iterdir(), reverse=True)):
        edit(file, RescaleSlope=f"{0.37 + 0.1 * number:.2f}", RescaleIntercept="-1.5")
    array = read_image(folder).array
    assert array.dtype == np.float32
    found = sorted(float(part[2, 3]) for part in array)
    assert found == pytest.approx([values(n)[2, 3] * (0.37 + 0.1 * n) - 1.5 for n in range(4)], rel=1e-6)


def test_slopes_of_frames_are_each_frames_own(tmp_path: Path) -> None:
    array = read_image(write_enhanced(tmp_path / "a.dcm", slopes=(0.5, 1.5, 2.5, 3.5))).array
    assert sorted(float(part[1, 1]) for part in array) == pytest.approx(
        [values(n)[1, 1] * (0.5 + n) for n in range(4)], rel=1e-6
    )


def test_compressed_slices_hold_what_the_uncompressed_ones_did(tmp_path: Path) -> None:
    slices = [
        np.kron(values(number) - 150, np.ones((10, 10), np.int16)) for number in range(4)
    ]  # ITK fails on tiny ones
    for number, pixels in enumerate(slices):
        file = write_slice(tmp_path / "s" / f"{number}.dcm", number, pixels=pixels, RescaleSlope="2")
        dataset = pydicom.dcmread(file)
        dataset.compress(RLELossless)
        dataset.save_as(file)
    found = read_image(tmp_path / "s").array
    np.testing.assert_array_equal(sorted(found.tolist()), sorted((2 * np.stack(slices)).tolist()))


def test_compressed_frames_hold_what_the_uncompressed_ones_did(tmp_path: Path) -> None:
    dataset = pydicom.dcmread(write_enhanced(tmp_path / "a.dcm", (2, 0, 1, 3)))
    dataset.compress(RLELossless)
    dataset.save_as(tmp_path / "a.dcm")
    assert_right(read_image(tmp_path / "a.dcm"))


def test_a_folder_may_hold_other_files_too(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "s")
    (folder / "notes.txt").write_text("hello")
    (folder / "empty").write_bytes(b"")
    assert_right(read_image(folder))


def test_tags_of_a_series_are_told(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "s", StudyDate="20200102", ImageLaterality="R")
    assert series_tags(folder) == {
        "PatientID": "P1",
        "StudyDate": "20200102",
        "Laterality": "R",
        "SeriesDescription": "DESS",
    }
