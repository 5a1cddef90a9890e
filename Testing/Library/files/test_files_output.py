"""Files are written whole or not at all, and a full or forbidden place is said in one sentence."""

from __future__ import annotations

import errno
import hashlib
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from JointRegistrationLib.core.errors import FileError, ResourceError
from JointRegistrationLib.core.geometry import Grid
from JointRegistrationLib.core.image import Image
from JointRegistrationLib.files import atomic_file, output_folder, write_image, write_transform
from JointRegistrationLib.files.manifest import MANIFEST_NAME, read_manifest

GRID = Grid((20, 20, 20))
IMAGE = Image(np.random.default_rng(0).normal(size=GRID.shape).astype(np.float32), GRID)
FIELD = np.random.default_rng(0).normal(size=(*GRID.shape, 3)).astype(np.float32)
NAMES = ("one.txt", "two.txt")


def content(folder: Path) -> dict[str, str]:
    """The files by name, but for manifests."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST_NAME]
    return {path.relative_to(folder).as_posix(): path.read_text() for path in files}


def test_a_file_appears_only_when_the_block_ends_well(tmp_path: Path) -> None:
    with atomic_file(tmp_path / "a.nii.gz") as temporary:
        assert temporary.name.endswith("a.nii.gz")
        temporary.write_text("new")
        assert not (tmp_path / "a.nii.gz").exists()
    assert content(tmp_path) == {"a.nii.gz": "new"}


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_after_a_failure_the_old_file_is_still_there(error: type[BaseException], tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(error), atomic_file(tmp_path / "a.txt") as temporary:
        temporary.write_text("half")
        raise error
    assert content(tmp_path) == {"a.txt": "old"}


@pytest.mark.parametrize("place", ["missing/a.nrrd", "file/a.nrrd", "folder.nrrd"])
def test_a_place_that_cannot_be_written_to(place: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file, not a folder")
    (tmp_path / "folder.nrrd").mkdir()
    with pytest.raises(FileError, match="cannot be written"):
        write_image(IMAGE, tmp_path / place)
    assert content(tmp_path) == {"file": "a file, not a folder"}


@pytest.mark.parametrize("suffix", [".nrrd", ".nii", ".nii.gz", ".mha", ".h5"])
def test_no_space_is_noticed_for_every_format_and_leaves_nothing(suffix: str, tmp_path: Path) -> None:
    """ITK's NIfTI writer returns without an error from a full disk. The limit on file size stands for the disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10000, before[1]))
    try:
        with pytest.raises(ResourceError, match=r"not enough space.*free some space"):
            if suffix == ".h5":
                write_transform(tmp_path / "a.h5", FIELD, GRID)
            else:
                write_image(IMAGE, tmp_path / f"a{suffix}")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []


def test_a_file_system_that_cannot_set_space_aside_is_asked_how_much_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    write_image(IMAGE, tmp_path / "a.nrrd")
    out = output_folder(tmp_path / "out", NAMES, num_bytes=10**18)
    with pytest.raises(ResourceError, match=r"not enough space .* MB may be needed"), out:
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["a.nrrd"]


def test_a_really_full_disk(tmp_path: Path) -> None:
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=40k", "tmpfs", str(tmp_path)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("needs the right to mount a small file system")
    try:
        for suffix in (".nrrd", ".nii", ".nii.gz", ".mha"):
            with pytest.raises(ResourceError, match="not enough space"):
                write_image(IMAGE, tmp_path / f"a{suffix}")
        assert list(tmp_path.iterdir()) == []
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


# -- all files of a run -------------------------------------------------------------------------------------


def test_the_files_of_a_run_appear_together_in_a_new_folder(tmp_path: Path) -> None:
    target = tmp_path / "a" / "b"
    with output_folder(target, NAMES) as staging:
        (staging / "one.txt").write_text("1")
        (staging / "two.txt").write_text("2")
        assert [path for path in target.iterdir() if not path.name.startswith(".")] == []
    assert content(tmp_path) == {"a/b/one.txt": "1", "a/b/two.txt": "2"}
    assert sorted(path.name for path in target.iterdir()) == [MANIFEST_NAME, *NAMES]
    files = read_manifest(target).files
    assert (files["one.txt"].num_bytes, files["one.txt"].sha256) == (1, hashlib.sha256(b"1").hexdigest())


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_after_a_failure_no_new_folder_remains(error: type[BaseException], tmp_path: Path) -> None:
    with pytest.raises(error), output_folder(tmp_path / "a" / "b", NAMES) as staging:
        (staging / "one.txt").write_text("1")
        raise error
    assert list(tmp_path.iterdir()) == []


def test_after_a_failure_an_existing_folder_is_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_text("old")
    with pytest.raises(ValueError, match="stop"), output_folder(tmp_path, NAMES, overwrite=True) as staging:
        (staging / "one.txt").write_text("new")
        raise ValueError("stop")
    assert content(tmp_path) == {"one.txt": "old"}


def test_earlier_results_are_not_overwritten_unasked(tmp_path: Path) -> None:
    (tmp_path / "two.txt").write_text("old")
    with pytest.raises(FileError, match=r"already holds two\.txt"), output_folder(tmp_path, NAMES):
        pytest.fail("must be refused before anything is computed")
    assert content(tmp_path) == {"two.txt": "old"}


def test_overwriting_leaves_no_file_of_the_earlier_run_and_touches_no_other(tmp_path: Path) -> None:
    for name in (*NAMES, "notes.txt"):
        (tmp_path / name).write_text("old")
    with output_folder(tmp_path, NAMES, overwrite=True) as staging:
        (staging / "one.txt").write_text("new")
    assert content(tmp_path) == {"one.txt": "new", "notes.txt": "old"}


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file")
    for target in (tmp_path / "file", tmp_path / "file" / "results"):
        with pytest.raises(FileError, match="cannot be written"), output_folder(target, NAMES):
            pytest.fail("must be refused before anything is computed")
    assert content(tmp_path) == {"file": "a file"}


def test_too_little_space_for_the_run_is_noticed_before_it_starts(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100000, before[1]))
    try:
        with pytest.raises(ResourceError), output_folder(tmp_path / "out", NAMES, num_bytes=200000):
            pytest.fail("must be refused before anything is computed")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc is Linux's")
def test_a_folder_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="/proc/results: cannot be written"), output_folder("/proc/results", NAMES):
        pytest.fail("must be refused before anything is computed")
