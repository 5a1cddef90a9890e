"""Everything that can be wrong with what the user gives: one sentence, exit code, no traceback, no output."""

from __future__ import annotations

import dataclasses
import gzip
import json
import re
import resource
import struct
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from JointRegistrationLib.core.errors import RegistrationCancelled, ResourceError
from JointRegistrationLib.core.geometry import Grid
from JointRegistrationLib.core.image import Image
from JointRegistrationLib.files import read_labels, write_image, write_labels, write_transform
from JointRegistrationLib.networks import checkpoint, weights
from JointRegistrationLib.registration import register as register_module
from Testing.Support.cli_cases import ALL_NAMES, FIXED_GRID, FakeRegister, blobs, run, write_inputs


@pytest.fixture
def inputs(tmp_path: Path) -> dict[str, Path]:
    return write_inputs(tmp_path)


def refusal(inputs: dict[str, Path], *options: object, exit_code: int = 2, out: Path | None = None) -> str:
    """The one sentence of a run that must fail, without progress and prefix."""
    out = out or inputs["fixed"].parent / "out"
    before = sorted(inputs["fixed"].parent.rglob("*"))
    done = run("register", inputs["fixed"], inputs["moving"], "-o", out, *options)
    assert done.exit_code == exit_code, done.output
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if not re.fullmatch(r"\w+ \(\d+ %\)", line)]
    assert len(lines) == 1, done.stderr
    assert sorted(inputs["fixed"].parent.rglob("*")) == before, "nothing was written"
    return lines[0].removeprefix("Error: ")


# -- the images ---------------------------------------------------------------------------------------------


def missing(path: Path) -> None:
    path.unlink(missing_ok=True)


def unreadable(path: Path) -> None:
    path.write_bytes(b"not an image" * 100)


def truncated(path: Path) -> None:
    write_image(Image(blobs(FIXED_GRID), FIXED_GRID), path)
    path.write_bytes(path.read_bytes()[:-500])


def array(*shape: int, vector: bool = False) -> Callable[[Path], None]:
    values = np.random.default_rng(0).integers(0, 99, shape).astype(np.int16)
    return lambda path: sitk.WriteImage(sitk.GetImageFromArray(values, isVector=vector), str(path))


def voxel(value: float) -> Callable[[Path], None]:
    values = blobs(FIXED_GRID)
    values[3, 4, 5] = value
    return lambda path: write_image(Image(values, FIXED_GRID), path)


def constant(path: Path) -> None:
    write_image(Image(np.full(FIXED_GRID.shape, 7, np.int16), FIXED_GRID), path)


def far_away(path: Path) -> None:
    grid = Grid(FIXED_GRID.size_ijk, FIXED_GRID.spacing_mm, (900.0, 0.0, 0.0))
    write_image(Image(blobs(FIXED_GRID), grid), path)


def header(offset: int, code: str, *values: float) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        write_image(Image(blobs(FIXED_GRID), FIXED_GRID), path)
        raw = bytearray(gzip.decompress(path.read_bytes()))
        struct.pack_into("<" + code, raw, offset, *values)
        path.write_bytes(gzip.compress(bytes(raw)))

    return write


BAD_IMAGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "missing": (missing, "there is no such file"),
    "unreadable": (unreadable, "cannot be read as an image"),
    "truncated": (truncated, "truncated"),
    "2D": (array(20, 30), "2 dimensions"),
    "4D": (array(4, 5, 6, 7), "4 dimensions"),
    "vector": (array(5, 6, 7, 2, vector=True), "one value a voxel"),
    "single slice": (array(1, 20, 30), "at least 2 slices"),
    "three slices": (array(3, 20, 30), "at least 4 voxels"),
    "constant": (constant, "every voxel has the value 7"),
    "NaN": (voxel(np.nan), "holds NaN or infinite values (1 of 4032 voxels)"),
    "infinity": (voxel(-np.inf), "holds NaN or infinite values (1 of 4032 voxels)"),
    "zero spacing": (header(80, "f", 0.0), "spacing must be positive"),
    "negative spacing": (header(84, "f", -2.0), "spacing must be positive"),
    "singular direction": (header(280, "12f", *(1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0)), "singular"),
}


@pytest.mark.parametrize("case", BAD_IMAGES)
@pytest.mark.parametrize("which", ["fixed", "moving"])
def test_an_image_that_cannot_be_used(which: str, case: str, tmp_path: Path) -> None:
    inputs = write_inputs(tmp_path)
    inputs[which] = tmp_path / "bad.nii.gz"
    write, said = BAD_IMAGES[case]
    write(inputs[which])
    message = refusal(inputs)
    assert "bad.nii.gz" in message, "says where"
    assert said in message, "says what"
    assert ";" in message, "says what to do"


def test_images_that_do_not_overlap(inputs: dict[str, Path]) -> None:
    far_away(inputs["moving"])
    (inputs["fixed"].parent / "config.json").write_text('{"affine": {"initialization": "identity"}}')
    message = refusal(inputs, "--config", inputs["fixed"].parent / "config.json")
    assert re.search(r"moving.nrrd does not overlap fixed.nii.gz.* mm apart; align them", message)


@pytest.mark.parametrize(
    ("option", "image"),
    [
        ("--fixed-mask", "moving_labels"),
        ("--moving-mask", "fixed_labels"),
        ("--moving-labels", "fixed_labels"),
    ],
)
def test_a_mask_or_label_map_of_another_place(option: str, image: str, inputs: dict[str, Path]) -> None:
    put_away(inputs[image])
    message = refusal(inputs, option, inputs[image])
    assert f"{inputs[image].name}: 100 % of what it marks lie outside" in message
    assert "give the one that was drawn on it" in message


def put_away(path: Path) -> None:
    """A label map 900 mm from where it was."""
    labels = read_labels(path)
    write_labels(Image(labels.array, dataclasses.replace(labels.grid, origin_ras=(900.0, 0.0, 0.0))), path)


def test_fixed_labels_of_another_place(inputs: dict[str, Path]) -> None:
    write_labels(read_labels(inputs["moving_labels"]), inputs["fixed_labels"].with_name("elsewhere.nrrd"))
    put_away(inputs["fixed_labels"].with_name("elsewhere.nrrd"))
    message = refusal(
        inputs, "--moving-labels", inputs["moving_labels"], "--fixed-labels", inputs["fixed"].parent / "elsewhere.nrrd"
    )  # fmt: skip
    assert "elsewhere.nrrd: 100 % of what it marks lie outside fixed.nii.gz" in message


def test_an_empty_mask(inputs: dict[str, Path]) -> None:
    write_labels(Image(np.zeros(FIXED_GRID.shape, np.uint8), FIXED_GRID), inputs["fixed_labels"])
    assert "fixed_labels.nii.gz: the mask is empty" in refusal(inputs, "--fixed-mask", inputs["fixed_labels"])


def test_labels_that_are_an_image(inputs: dict[str, Path]) -> None:
    assert "labels must be whole numbers" in refusal(inputs, "--moving-labels", inputs["moving"])


# -- landmarks, transforms, settings ------------------------------------------------------------------------


def test_landmarks_of_different_number(inputs: dict[str, Path]) -> None:
    inputs["moving_points"].write_text("1,2,3\n")
    options = ("--landmarks-fixed", inputs["fixed_points"], "--landmarks-moving", inputs["moving_points"])
    assert "1 landmarks, but" in refusal(inputs, *options)


def test_landmarks_that_cannot_be_read(inputs: dict[str, Path]) -> None:
    options = ("--landmarks-fixed", inputs["fixed_points"], "--landmarks-moving", inputs["fixed"])
    assert "landmarks of this kind cannot be read" in refusal(inputs, *options)


def test_a_deformation_as_initial_transform(inputs: dict[str, Path], tmp_path: Path) -> None:
    write_transform(tmp_path / "t.h5", np.zeros((*FIXED_GRID.shape, 3), np.float32), FIXED_GRID)
    message = refusal(inputs, "--initial-transform", tmp_path / "t.h5")
    assert "t.h5: --initial-transform takes an affine transform" in message
    assert "consists of DisplacementFieldTransform; give a deformation as --start-transform" in message


def test_a_json_file_without_landmarks(inputs: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "points.json").write_text("{}")
    options = ("--landmarks-fixed", inputs["fixed_points"], "--landmarks-moving", tmp_path / "points.json")
    assert "points.json: not a valid landmark file ('markups' is missing); give" in refusal(inputs, *options)


def test_a_missing_initial_transform(inputs: dict[str, Path], tmp_path: Path) -> None:
    assert "no such file" in refusal(inputs, "--initial-transform", tmp_path / "none.tfm")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not valid JSON"),
        ("[]", "a JSON object is needed"),
        ('{"colour": 1}', "unknown setting 'colour'"),
        ('{"method": "magic"}', "'magic' is unknown; choose one of"),
        ('{"vsvf": {"iterations": -1}}', "out of range"),
        ('{"affine": {"levels": "two"}}', "a list is needed"),
    ],
)
def test_settings_that_are_wrong(text: str, said: str, inputs: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(text)
    message = refusal(inputs, "--config", tmp_path / "config.json")
    assert message.startswith(f"{tmp_path / 'config.json'}: ")
    assert said in message


def test_missing_settings(inputs: dict[str, Path], tmp_path: Path) -> None:
    assert "none.json: there is no such file" in refusal(inputs, "--config", tmp_path / "none.json")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--device", "gpu"), "'gpu' is not one of 'auto', 'cpu', 'cuda', 'mps'"),
        (("--method", "magic"), "'magic' is not one of 'vsvf-opt', 'lddmm-opt', 'affine-opt', 'avsm', 'avsm-affine'"),
        (("--landmarks-fixed", "a.csv"), "give both --landmarks-fixed and --landmarks-moving"),
        (("--landmarks-moving", "a.csv"), "give both --landmarks-fixed and --landmarks-moving"),
        (("--fixed-labels", "a.nrrd"), "give --moving-labels too"),
        (("--method", "vsvf-opt", "--refine", "9"), "give --method avsm (not vsvf-opt)"),
        (("--method", "avsm-affine", "--refine", "9"), "give --method avsm (not avsm-affine)"),
        (("--method", "avsm", "--refine", "-1"), "-1 is not in the range x>=0"),
        (("--side", "both"), "'both' is not one of 'auto', 'right', 'left'"),
        (("--no-such-option",), "No such option"),
        (("third.nrrd",), "unexpected extra argument"),
    ],
)
def test_options_that_are_wrong(options: tuple[str, ...], said: str, inputs: dict[str, Path], tmp_path: Path) -> None:
    done = run("register", inputs["fixed"], inputs["moving"], "-o", tmp_path / "out", *options)
    assert done.exit_code == 2
    assert said in done.stderr
    assert "Traceback" not in done.output
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("arguments", [("register",), ("register", "a.nrrd", "b.nrrd"), ("magic",)])
def test_incomplete_commands(arguments: tuple[str, ...]) -> None:
    done = run(*arguments)
    assert done.exit_code == 2
    assert "Error:" in done.stderr


# -- the networks' weights ----------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["avsm", "avsm-affine"])
def test_missing_weights(method: str, inputs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "DEFAULT_WEIGHTS", tmp_path / "none.safetensors")
    message = refusal(inputs, "--method", method)
    assert re.fullmatch(".*none.safetensors: there is no such weights file; reinstall the package or .*", message)


@pytest.mark.parametrize(
    ("size", "checksum", "said"),
    [
        (1000, None, "not a whole safetensors file"),
        (0, None, "not a whole safetensors file"),
        (-1, "0" * 64 + "  avsm.safetensors", f"but {'0' * 64} is expected: the file is damaged or was changed"),
        (-1, "", "the SHA-256 is"),
    ],
)
def test_damaged_weights(
    size: int,
    checksum: str | None,
    said: str,
    inputs: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / "damaged.safetensors"
    path.write_bytes(weights.DEFAULT_WEIGHTS.read_bytes()[:size])
    if checksum is not None:
        checkpoint.checksum_file(path).write_text(checksum)
    monkeypatch.setattr(weights, "DEFAULT_WEIGHTS", path)
    message = refusal(inputs, "--method", "avsm")
    assert "damaged.safetensors" in message
    assert said in message
    assert "get it again" in message


# -- the place for the results ------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["fixed.nii.gz", "fixed.nii.gz/out", "/proc/out", "/dev/null"])
def test_a_folder_that_cannot_be_written_to(place: str, inputs: dict[str, Path], tmp_path: Path) -> None:
    message = refusal(inputs, out=tmp_path / place)
    assert str(tmp_path / place) in message
    assert "cannot be written" in message
    assert "choose a folder" in message


def test_a_file_in_the_place_of_the_folder_is_called_that(inputs: dict[str, Path]) -> None:
    assert "it is a file; choose a folder" in refusal(inputs, out=inputs["moving"])


def test_too_little_space_is_said_before_computing(inputs: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit on a file's size stands for a quota."""
    register = FakeRegister()
    monkeypatch.setattr(register_module, "register_inputs", register)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50000, before[1]))
    try:
        message = refusal(inputs, exit_code=4)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert re.search(r"out: there is not enough space .*, \d+ MB may be needed\); free some space", message)
    assert register.given == {}


@pytest.fixture
def small_disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    disk = tmp_path_factory.mktemp("disk")
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if done.returncode != 0:
        pytest.skip("needs the right to mount a small file system")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk(inputs: dict[str, Path], small_disk: Path) -> None:
    assert "there is not enough space" in refusal(inputs, exit_code=4, out=small_disk / "out")
    assert list(small_disk.iterdir()) == []


def test_a_read_only_disk(inputs: dict[str, Path], small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    message = refusal(inputs, out=small_disk / "out")
    assert (
        message == f"{small_disk / 'out'}: cannot be written (Read-only file system); choose a folder you can write to"
    )


def test_results_can_go_straight_onto_another_disk(
    inputs: dict[str, Path], small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The staging folder lies on the same file system as the results, or moving them would fail."""
    monkeypatch.setattr(register_module, "register_inputs", FakeRegister())
    subprocess.run(["mount", "-o", "remount,size=4m", str(small_disk)], check=True)
    done = run("register", inputs["fixed"], inputs["moving"], "-o", small_disk)
    assert done.exit_code == 0, done.output
    assert {path.name for path in small_disk.iterdir()} == ALL_NAMES - {"warped_labels.nrrd"}


# -- what happens on the way --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "exit_code", "said"),
    [
        (RegistrationCancelled("cancelled during affine; nothing was changed"), 3, "cancelled during affine"),
        (KeyboardInterrupt(), 3, "cancelled; nothing was written"),
        (ResourceError("the GPU ran out of memory; use --device cpu"), 4, "the GPU ran out of memory"),
        (MemoryError(), 4, "memory ran out; close other programs"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried 1 TB"), 4, "memory ran out"),
        (torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate"), 4, "memory ran out"),
        (ValueError("something\nelse"), 1, "unexpected ValueError: something"),
    ],
)
def test_a_run_that_ends_early(
    error: BaseException, exit_code: int, said: str, inputs: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(register_module, "register_inputs", FakeRegister(error))
    assert said in refusal(inputs, exit_code=exit_code)


def test_a_device_that_is_not_there(inputs: dict[str, Path]) -> None:
    absent = "mps" if torch.cuda.is_available() else "cuda"
    message = refusal(inputs, "--device", absent, exit_code=4)
    assert f"device '{absent}' is not available" in message
    assert "cpu" in message


def test_a_failure_while_writing_leaves_the_earlier_results(
    inputs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(register_module, "register_inputs", FakeRegister())
    out = tmp_path / "out"
    assert run("register", inputs["fixed"], inputs["moving"], "-o", out).exit_code == 0
    before = {path.name: path.read_bytes() for path in out.iterdir()}

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(json, "dumps", full)  # metrics.json comes last
    assert "not enough space" in refusal(inputs, "--overwrite", exit_code=4)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_debug_shows_where_an_error_comes_from(inputs: dict[str, Path], tmp_path: Path) -> None:
    done = run("register", tmp_path / "none.nrrd", inputs["moving"], "-o", tmp_path / "out", "--debug")
    assert done.exit_code == 2
    assert "Traceback" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("Error: ")
