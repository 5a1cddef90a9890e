"""Bytes of strangers: headers that lie, names that libraries cannot take, devices: one sentence each, and no crash."""

from __future__ import annotations

import gzip
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from JointRegistrationLib.core.errors import FileError, InputError, JointRegistrationError, ResourceError
from JointRegistrationLib.core.geometry import Grid
from JointRegistrationLib.core.image import Image
from JointRegistrationLib.files import (
    read_image,
    read_labels,
    read_landmarks,
    read_transform,
    write_affine,
    write_image,
    write_transform,
)
from JointRegistrationLib.files.guarded import child
from JointRegistrationLib.files.guarded.vetting import vet
from JointRegistrationLib.files.headers.claims import Vetted
from JointRegistrationLib.registration import register
from Testing.Support.cli_cases import ALL_NAMES, FakeRegister, run, write_inputs
from Testing.Support.fuzz_inputs import fuzz

GRID = Grid((8, 7, 6), (1.0, 2.0, 3.0), (5.0, -6.0, 7.0))
VALUES = np.random.default_rng(1).normal(100, 20, GRID.shape).astype(np.float32)
POSIX = pytest.mark.skipif(os.name == "nt", reason="names, pipes and limits of POSIX")


def test_two_hundred_damaged_files_over_all_readers_are_read_or_refused() -> None:
    counts, failures = fuzz(200, seed=2013, minutes=20)
    assert failures == []
    assert counts["read"] + counts["refused"] == 200
    assert min(counts["read"], counts["refused"]) >= 20, "damage enough, and not too much"


# -- what a header claims ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".mha"])
def test_what_common_writers_write_is_vetted_and_read_in_this_process(suffix: str, tmp_path: Path) -> None:
    for compress in (False, True):
        path = tmp_path / f"{compress}{suffix}"
        image = sitk.GetImageFromArray(VALUES)
        sitk.WriteImage(image, str(path), useCompression=compress)
        assert isinstance(vet(path), Vetted)


NRRD = "NRRD0004\ntype: {type}\ndimension: 3\nspace: left-posterior-superior\nsizes: {sizes}\n" + (
    "space directions: (1,0,0) (0,1,0) (0,0,1)\nendian: little\nencoding: {encoding}\nspace origin: (0,0,0)\n\n"
)


@pytest.mark.parametrize("encoding", ["raw", "gzip"])
def test_a_nrrd_of_244_bytes_cannot_claim_gigabytes(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "a.nrrd"
    path.write_bytes(NRRD.format(type="short", sizes="1000 1000 1000", encoding=encoding).encode() + bytes(50))
    with pytest.raises(FileError, match=r"asks for 2000000000 bytes of voxels, but the file has 50"):
        read_image(path)


def test_a_metaimage_cannot_claim_more_than_it_has(tmp_path: Path) -> None:
    path = tmp_path / "a.mha"
    write_image(Image(VALUES, GRID), path)
    path.write_bytes(path.read_bytes().replace(b"DimSize = 8 7 6", b"DimSize = 8000 7000 6"))
    with pytest.raises(FileError, match="bytes of voxels, but the file has"):
        read_image(path)


def test_voxels_that_inflate_to_more_than_the_header_says_are_not_inflated_to_the_end(tmp_path: Path) -> None:
    path = tmp_path / "a.nii.gz"
    write_image(Image(VALUES, GRID), tmp_path / "a.nii")
    with gzip.open(path, "wb", compresslevel=1) as stream:
        stream.write((tmp_path / "a.nii").read_bytes())
        for _ in range(32):
            stream.write(bytes(1 << 20))
    with pytest.raises(InputError, match="holds more data than its header says"):
        read_image(path)


def test_a_claim_beyond_the_free_memory_is_refused_before_it_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_image(Image(VALUES, GRID), tmp_path / "a.nrrd")
    monkeypatch.setattr("JointRegistrationLib.files.headers.claims.available_bytes", lambda: 1000)
    with pytest.raises(ResourceError, match=r"to read it takes .* GB of memory"):
        read_image(tmp_path / "a.nrrd")


@pytest.mark.parametrize(
    "line",
    ["space units: " + '"mm" ' * 400, "labels: " + '"x" ' * 3000, "kinds: " + "domain " * 900, "sizes: " + "1 " * 2000],
    ids=["units", "labels", "kinds", "sizes"],
)
def test_a_nrrd_header_with_more_values_than_axes_does_not_reach_itk_in_this_process(line: str, tmp_path: Path) -> None:
    path = tmp_path / "a.nrrd"
    header = NRRD.format(type="uchar", sizes="4 4 4", encoding="raw").rstrip("\n")
    path.write_bytes(f"{header}\n{line.strip()}\n\n".encode() + bytes(64))
    assert vet(path) is None
    with pytest.raises(InputError):
        read_image(path)


@pytest.mark.skipif(sys.platform != "linux", reason="bounds on memory hold on Linux only")
def test_what_ends_the_reader_does_not_end_this_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.vtk"  # a format that only a child reads
    large = np.zeros((200, 200, 200), np.float32)
    sitk.WriteImage(sitk.GetImageFromArray(large), str(path))
    monkeypatch.setattr(child, "_MEMORY", 0)
    monkeypatch.setattr(child, "_MEMORY_FACTOR", 0)
    with pytest.raises(JointRegistrationError, match=r"a\.vtk: "):
        read_image(path)
    monkeypatch.undo()
    assert np.array_equal(read_image(path).array, large), "the next one is read as ever"


@POSIX
def test_an_hdf5_file_cannot_claim_gigabytes_that_it_never_stored(tmp_path: Path) -> None:
    import h5py

    path = tmp_path / "t.h5"
    write_transform(path, np.zeros((*GRID.shape, 3), np.float32), GRID)
    with h5py.File(path, "r+") as file:
        group = file["TransformGroup/0"]
        fixed = group["TransformFixedParameters"][...]
        fixed[:3] = 800
        del group["TransformParameters"], group["TransformFixedParameters"]
        group["TransformFixedParameters"] = fixed
        group.create_dataset("TransformParameters", (3 * 800**3,), "<f4", chunks=(2400,))
    assert path.stat().st_size < 200_000
    with pytest.raises(FileError, match=r"t\.h5: "):
        read_transform(path)


# -- what is no file ---------------------------------------------------------------------------------------------


@POSIX
@pytest.mark.parametrize("name", ["a.nii.gz", "a.nrrd", "a.mha", "a.png", "a.h5", "a.tfm", "a.csv", "a.mrk.json"])
def test_a_pipe_and_a_device_are_refused_without_being_opened(name: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / name)
    (tmp_path / "device").mkdir()
    (tmp_path / "device" / name).symlink_to("/dev/zero")
    read = read_transform if name.endswith((".h5", ".tfm")) else read_image
    read = read_landmarks if name.endswith((".csv", ".json")) else read
    for path in (tmp_path / name, tmp_path / "device" / name):
        with pytest.raises(FileError, match="is a device or a pipe"):
            read(path)


@POSIX
@pytest.mark.parametrize("kind", ["nrrd", "mhd"])
def test_a_header_that_points_to_a_device_is_refused(kind: str, tmp_path: Path) -> None:
    header = {
        "nrrd": "NRRD0004\ntype: uchar\ndimension: 3\nsizes: 4 4 4\nencoding: raw\ndata file: /dev/zero\n\n",
        "mhd": "ObjectType = Image\nNDims = 3\nDimSize = 4 4 4\nElementType = MET_UCHAR\nElementDataFile = /dev/zero\n",
    }
    path = tmp_path / f"a.{kind}"
    path.write_text(header[kind])
    with pytest.raises(FileError, match="is a device or a pipe"):
        read_image(path)


# -- names ---------------------------------------------------------------------------------------------------------


@POSIX
@pytest.mark.parametrize("name", [b"kn\xfee", "Knie für ü".encode()])
def test_names_that_are_no_utf8_are_read_and_written(name: bytes, tmp_path: Path) -> None:
    try:
        folder = tmp_path / os.fsdecode(name)
        folder.mkdir()
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    for suffix in (".nii.gz", ".nrrd", ".mha"):
        path = folder / (os.fsdecode(name) + suffix)
        write_image(Image(VALUES, GRID), path)
        np.testing.assert_array_equal(read_image(path).array, VALUES)
    write_affine(folder / (os.fsdecode(name) + ".tfm"), np.eye(4))
    assert read_transform(folder / (os.fsdecode(name) + ".tfm")).is_linear
    found = sorted(os.fsencode(file.name) for file in folder.iterdir())
    assert found == sorted(name + suffix for suffix in (b".nii.gz", b".nrrd", b".mha", b".tfm"))


@POSIX
def test_letters_that_the_locale_lacks_do_not_end_the_process(tmp_path: Path) -> None:
    path = tmp_path / "Knie-ü.nrrd"
    write_image(Image(VALUES, GRID), path)
    code = (
        "import sys; from JointRegistrationLib.files import read_image, write_image\n"
        "image = read_image(sys.argv[1]); write_image(image, sys.argv[2]); print(image.array.shape)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path), str(tmp_path / "Kopie-ü.nrrd")],
        check=False,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[3],
        env={**os.environ, "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
    )
    assert done.stdout.strip() == "(6, 7, 8)", done.stderr
    np.testing.assert_array_equal(read_image(tmp_path / "Kopie-ü.nrrd").array, VALUES)


@POSIX
def test_results_appear_in_a_folder_whose_name_is_no_utf8(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = write_inputs(tmp_path)
    monkeypatch.setattr(register, "register_inputs", FakeRegister())
    out = tmp_path / os.fsdecode(b"Ergebnis-\xfc")
    labels = ("--moving-labels", inputs["moving_labels"])
    done = run("register", inputs["fixed"], inputs["moving"], "-o", out, "-q", *labels)
    assert done.exit_code == 0, done.output
    assert {file.name for file in out.iterdir()} == ALL_NAMES


@POSIX
def test_info_names_a_file_whose_name_is_no_utf8(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"kn\xfee.nrrd")
    write_image(Image(VALUES, GRID), path)
    done = subprocess.run(
        [sys.executable, "-m", "JointRegistrationLib", "info", str(path)],
        check=False,
        capture_output=True,
        cwd=Path(__file__).parents[3],
    )
    assert done.returncode == 0, done.stderr
    assert b"8 x 7 x 6 voxels" in done.stdout


# -- frames and units that a header leaves open ------------------------------------------------------------------------


def nifti(path: Path, *edits: tuple[int, str, tuple[float, ...]]) -> Path:
    write_image(Image(VALUES, GRID), path)
    raw = bytearray(path.read_bytes())
    for offset, code, values in edits:
        struct.pack_into("<" + code, raw, offset, *values)
    path.write_bytes(bytes(raw))
    return path


SFORM = (-1, 0, 0, -3.0, 0, -2, 0, -6.0, 0, 0, 3, 7.0)


@pytest.mark.parametrize(("code", "used"), [(1, "sform"), (2, "qform")])
def test_a_sform_and_a_qform_that_disagree_are_remarked_with_the_one_that_itk_takes(
    code: int, used: str, tmp_path: Path
) -> None:
    path = nifti(tmp_path / "a.nii", (252, "2h", (1, code)), (280, "12f", SFORM))
    image = read_image(path)
    assert len(image.remarks) == 1
    assert f"the {used} was used" in image.remarks[0]
    assert image.grid.origin_lps == pytest.approx(sitk.ReadImage(str(path)).GetOrigin())
    if used == "sform":
        assert image.grid.origin_ras[0] == pytest.approx(-3.0)


def test_frames_that_agree_are_not_remarked(tmp_path: Path) -> None:
    for suffix in (".nii", ".nii.gz", ".nrrd", ".mha"):
        write_image(Image(VALUES, GRID), tmp_path / f"a{suffix}")
        assert read_image(tmp_path / f"a{suffix}").remarks == ()


def test_units_of_nifti_are_converted_and_said(tmp_path: Path) -> None:
    image = read_image(nifti(tmp_path / "a.nii", (123, "B", (3,))))
    assert "micrometres; they were converted" in image.remarks[0]
    assert image.grid.spacing_mm == pytest.approx((0.001, 0.002, 0.003))


def test_units_of_nrrd_are_taken_as_mm_and_said(tmp_path: Path) -> None:
    path = tmp_path / "a.nrrd"
    path.write_bytes(
        NRRD.format(type="uchar", sizes="4 4 4", encoding="raw")
        .replace("endian", 'space units: "m" "m" "m"\nendian')
        .encode()
        + bytes(range(64))
    )
    image = read_image(path)
    assert image.grid.spacing_mm == (1, 1, 1)
    assert "lengths in m; they were taken as mm" in image.remarks[0]


def test_labels_that_a_scale_made_a_little_off_are_whole_numbers_again(tmp_path: Path) -> None:
    labels = np.arange(6 * 7 * 8).reshape(GRID.shape) % 10
    slope = 9 / 65535
    path = nifti(tmp_path / "l.nii", (70, "2h", (4, 16)), (112, "2f", (slope, 4.5)))
    stored = np.rint((labels - 4.5) / slope).clip(-32768, 32767).astype(np.int16)
    path.write_bytes(path.read_bytes()[:352] + stored.tobytes())
    found = read_image(path).array
    assert 0 < np.abs(found - labels).max() < 1e-4
    np.testing.assert_array_equal(read_labels(path).array, labels)


def test_a_markups_position_that_is_one_number_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "p.mrk.json"
    path.write_text('{"markups": [{"coordinateSystem": "LPS", "controlPoints": [{"label": "A", "position": 5}]}]}')
    with pytest.raises(InputError, match=r"position of landmark 'A' must be three numbers in mm, but is 5"):
        read_landmarks(path)


def test_several_transforms_that_are_no_composite_are_refused(tmp_path: Path) -> None:
    write_affine(tmp_path / "a.tfm", np.eye(4))
    text = (tmp_path / "a.tfm").read_text()
    (tmp_path / "two.tfm").write_text(
        text + text.replace("#Insight Transform File V1.0\n", "").replace("0\n", "1\n", 1)
    )
    with pytest.raises(InputError, match=r"two\.tfm: holds several transforms that are no composite"):
        read_transform(tmp_path / "two.tfm")


def test_zlib_streams_are_read_in_parts() -> None:
    from io import BytesIO

    from JointRegistrationLib.files.headers.claims import Inflated

    content = np.random.default_rng(0).bytes(10_000)
    stream = Inflated(BytesIO(zlib.compress(content)))
    assert b"".join(iter(lambda: stream.read(777), b"")) == content
