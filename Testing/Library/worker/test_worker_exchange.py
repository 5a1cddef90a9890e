"""A job's folder: exact both ways, written in small steps, whole or not at all, and never left behind."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from JointRegistrationLib.core.config import AffineConfig, RegistrationConfig
from JointRegistrationLib.core.errors import FileError, ResourceError
from JointRegistrationLib.core.geometry import Grid
from JointRegistrationLib.core.image import Image, LandmarkPairs
from JointRegistrationLib.core.inputs import RegistrationInputs
from JointRegistrationLib.core.lattices.sampling import LabelMap
from JointRegistrationLib.core.lattices.segments import RunSegments, SegmentLabel, SegmentLayers
from JointRegistrationLib.core.result import LandmarkErrors, StartingMap
from JointRegistrationLib.worker.exchange import (
    STEP_BYTES,
    Job,
    SegmentationJob,
    job_steps,
    read_found,
    read_job,
    read_result,
    read_segments,
    write_found,
    write_job,
    write_result,
)
from JointRegistrationLib.worker.folders import new_folder, remove_folder, remove_stale_folders
from JointRegistrationLib.worker.segments import warp_segments
from Testing.Support.results import made_segmentation
from Testing.Support.stub_worker import identity_result
from Testing.Support.worker_cases import GRID, job_folder, small_job

TURNED = np.array([[0, -1.0, 0, 3], [1, 0, 0, 1 / 3], [0, 0, 1, -7], [0, 0, 0, 1]])


def _assert_equal_images(first: Image | None, second: Image | None) -> None:
    if first is None or second is None:
        assert first is second
        return
    np.testing.assert_array_equal(first.array, second.array)
    assert first.array.dtype == second.array.dtype
    assert (first.grid, first.name) == (second.grid, second.name)


def test_everything_of_a_job_comes_back(tmp_path):
    other = Grid((6, 7, 9), (0.3, 0.7, 1.1), (1 / 3, 2.0, -5.5), ((0, 0, 1), (-1, 0, 0), (0, 1, 0)))
    moving = np.asfortranarray(np.random.default_rng(1).normal(size=other.shape))[:, ::-1]
    inputs = RegistrationInputs(
        fixed=small_job("knee ü").inputs.fixed,
        moving=Image(moving, other, "moving", ("a remark",)),
        fixed_mask=Image(np.ones(GRID.shape, bool), GRID, "mask"),
        moving_mask=Image(np.ones(other.shape, np.uint8), other, "other mask"),
        landmarks=LandmarkPairs(np.eye(3), 1 / 3 * np.ones((3, 3)), ("a", "b", "c")),
        initial_affine_ras=np.diag([1.1, 1.0, 1 / 3, 1.0]),
        initial=StartingMap(np.random.default_rng(2).normal(size=(*other.shape, 3)).astype(np.float32), other, TURNED),
    )
    config = RegistrationConfig(method="affine-opt", affine=AffineConfig(levels=(2, 1)))
    job = Job(inputs, config, _segments(GRID, other))
    write_job(tmp_path, job)
    stored = read_job(tmp_path)
    back = stored.inputs
    for name in ("fixed", "moving", "fixed_mask", "moving_mask"):
        _assert_equal_images(getattr(back, name), getattr(inputs, name))
    assert back.moving.remarks == ("a remark",)
    assert stored.config == job.config
    np.testing.assert_array_equal(back.landmarks.fixed_ras, inputs.landmarks.fixed_ras)
    np.testing.assert_array_equal(back.landmarks.moving_ras, inputs.landmarks.moving_ras)
    assert back.landmarks.names == ("a", "b", "c")
    np.testing.assert_array_equal(back.initial_affine_ras, inputs.initial_affine_ras)
    np.testing.assert_array_equal(back.initial.displacement_field_mm, inputs.initial.displacement_field_mm)
    np.testing.assert_array_equal(back.initial.affine_ras, TURNED)
    assert back.initial.grid == other
    _assert_equal_segments(stored.segments, job.segments)


def _assert_equal_segments(found: RunSegments, expected: RunSegments) -> None:
    for kind, layers in vars(expected).items():
        if layers is None:
            assert getattr(found, kind) is None
            continue
        assert getattr(found, kind).segments == layers.segments
        for kept, source in zip(getattr(found, kind).layers, layers.layers, strict=True):
            np.testing.assert_array_equal(kept.labels, source.labels)
            assert kept.labels.dtype == source.labels.dtype
            np.testing.assert_array_equal(kept.ras_to_ijk, source.ras_to_ijk)


def _segments(fixed: Grid, moving: Grid) -> RunSegments:
    """Two moving label maps, one of them of 16 bit, and a fixed one."""
    rng = np.random.default_rng(3)
    labels = [np.pad(rng.integers(0, 9, [n - 2 for n in grid.shape]), 1) for grid in (fixed, moving, moving)]
    maps = (LabelMap(labels[1].astype(np.uint8), moving), LabelMap(labels[2].astype(np.uint16), moving, TURNED))
    named = tuple(SegmentLabel(f"s{n}", f"bone ü {n}", (1 / 3, 0.0, 1.0), n, 3) for n in (0, 1))
    fixed_map = LabelMap(labels[0].astype(np.uint8), fixed)
    return RunSegments(SegmentLayers((fixed_map,), named[:1]), SegmentLayers(maps, named))


def test_what_a_job_does_not_have_stays_absent(tmp_path):
    write_job(tmp_path, small_job())
    back = read_job(tmp_path).inputs
    assert (back.fixed_mask, back.moving_mask, back.landmarks, back.initial_affine_ras) == (None,) * 4
    assert back.initial is None


def test_everything_of_a_result_comes_back_and_is_private(tmp_path):
    result = identity_result(small_job())
    result.displacement_field_mm[...] = np.random.default_rng(2).normal(size=result.displacement_field_mm.shape)
    result = dataclasses.replace(result, similarity_before=float("nan"), notes=("one", "two"))
    result = dataclasses.replace(result, landmark_errors_mm=LandmarkErrors(("a", "b"), (3.0, 1 / 3), (0.5, 0.25)))
    write_result(tmp_path, result)
    back = read_result(tmp_path)
    for field in dataclasses.fields(result):
        np.testing.assert_equal(getattr(back, field.name), getattr(result, field.name), err_msg=field.name)
    back.warped[...] = 7  # a reader may write to its copy
    assert read_result(tmp_path).warped.max() != 7


def test_segments_come_back_with_a_result(tmp_path):
    job = dataclasses.replace(small_job(), segments=_segments(GRID, GRID))
    result = identity_result(job)
    found = warp_segments(job.segments, GRID, result.displacement_field_mm, 2, lambda: False)
    write_result(tmp_path, result, found)
    back = read_segments(tmp_path)
    assert [len(layers.layers) for layers in (found.warped, found.before, found.fixed)] == [2, 2, 1]
    _assert_equal_segments(back, found)
    assert read_result(tmp_path).fixed_grid == GRID


def test_a_result_without_segments_has_none(tmp_path):
    write_result(tmp_path, identity_result(small_job()))
    assert read_segments(tmp_path) == RunSegments()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps files that are in use")
def test_result_outlives_its_folder(tmp_path):
    folder = new_folder(0, (tmp_path,))
    write_result(folder, identity_result(small_job()))
    back = read_result(folder)
    remove_folder(folder)
    assert not folder.exists()
    assert back.jacobian_determinant.sum() == GRID.num_voxels


def test_job_is_written_in_small_steps_and_read_without_a_copy(tmp_path):
    grid = Grid((256, 256, 120))
    image = Image(np.ones(grid.shape, np.float32), grid)
    shares = []
    sizes = [0]
    for share in job_steps(tmp_path, Job(RegistrationInputs(image, image), RegistrationConfig())):
        shares.append(share)
        sizes.append(sum(path.stat().st_size for path in tmp_path.iterdir()))
    assert shares == sorted(shares) and shares[-1] == 1.0
    assert max(np.diff(sizes)) < STEP_BYTES + 2**16
    assert isinstance(read_job(tmp_path).inputs.fixed.array.base, np.memmap)


def test_incomplete_job_and_result_are_refused(tmp_path):
    steps = job_steps(tmp_path, small_job())
    next(steps)
    with pytest.raises(FileError, match="no complete job"):
        read_job(tmp_path)
    with pytest.raises(FileError, match="no complete result"):
        read_result(tmp_path)


def test_result_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    def full(path, *args, **kwargs):
        if "warped" in Path(path).name:
            raise OSError(28, "No space left on device")
        real(path, *args, **kwargs)

    real = np.save
    monkeypatch.setattr(np, "save", full)
    with pytest.raises(ResourceError, match="No space left on device"):
        write_result(tmp_path, identity_result(small_job()))
    assert list(tmp_path.iterdir()) == []


def test_job_for_a_folder_that_is_gone_is_an_error_to_act_on(tmp_path):
    with pytest.raises(ResourceError, match="cannot be written"):
        write_job(tmp_path / "gone", small_job())
    with pytest.raises(ResourceError, match="cannot be written"):
        write_result(tmp_path / "gone", identity_result(small_job()))


def test_folder_is_made_where_there_is_room(tmp_path):
    assert new_folder(10, (tmp_path / "missing", tmp_path)).parent == tmp_path
    with pytest.raises(ResourceError, match="MB are needed in"):
        new_folder(10**18, (tmp_path,))


@pytest.mark.parametrize("segments", [RunSegments(), _segments(GRID, GRID)], ids=["without segments", "with segments"])
def test_size_of_a_job_counts_its_result(tmp_path, segments):
    job = dataclasses.replace(small_job(), segments=segments)
    folder = job_folder(job, tmp_path)
    result = identity_result(job)
    write_result(folder, result, warp_segments(segments, GRID, result.displacement_field_mm, 1, lambda: False))
    files = list(folder.rglob("*.npy"))
    assert sum(path.stat().st_size - 128 for path in files) == job.exchange_bytes  # 128: a header


HOLDER = (
    "import sys, time; from pathlib import Path; from JointRegistrationLib.worker.folders import new_folder\n"
    "print(new_folder(0, (Path(sys.argv[1]),)), flush=True); time.sleep(600)"
)


def held_by_another(root: Path, *before: str) -> tuple[subprocess.Popen[str], Path]:
    """A process with a job's folder in ``root``."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    command = [*before, sys.executable, "-c", HOLDER, str(root)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def test_folders_of_dead_processes_are_removed_and_others_kept(tmp_path):
    process, theirs = held_by_another(tmp_path)
    (theirs / "fixed.npy").write_bytes(b"x")
    foreign = tmp_path / "joint-registration-job-99999999999999999999-x"  # a number that is no process's
    foreign.mkdir()
    (foreign / "notes.txt").write_text("mine")
    own = new_folder(0, (tmp_path,))
    assert remove_stale_folders((tmp_path,)) == []
    assert theirs.exists()
    process.kill()
    process.communicate()
    assert remove_stale_folders((tmp_path,)) == [theirs]
    assert own.exists() and not theirs.exists()
    assert (foreign / "notes.txt").read_text() == "mine"
    remove_folder(own)
    assert list(tmp_path.iterdir()) == [foreign]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="namespaces are Linux's")
def test_a_living_job_of_another_pid_namespace_is_kept(tmp_path):
    """As between two containers that share /dev/shm: neither sees the other's processes."""
    apart = ["unshare", "--pid", "--fork", "--kill-child", "--user", "--map-root-user"]
    if shutil.which("unshare") is None or subprocess.run([*apart, "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs the right to make a namespace")
    process, theirs = held_by_another(tmp_path, *apart)
    assert remove_stale_folders((tmp_path,)) == []
    assert theirs.exists()
    process.kill()
    process.communicate()


# -- bones and cartilage --------------------------------------------------------------------------------------


def test_a_folder_says_which_kind_of_job_is_in_it(tmp_path):
    image = small_job("knee").inputs.fixed
    job = SegmentationJob(image, "cpu")
    folders = [job_folder(entry, tmp_path) for entry in (job, small_job())]
    stored, other = map(read_job, folders)
    assert type(stored) is SegmentationJob and type(other) is Job
    assert stored.device == "cpu"
    _assert_equal_images(stored.image, image)
    assert job.exchange_bytes == image.array.nbytes + GRID.num_voxels


def test_what_was_found_comes_back(tmp_path):
    found = made_segmentation(small_job().inputs.fixed)
    write_found(tmp_path, found)
    back = read_found(tmp_path)
    _assert_equal_images(back.labels, found.labels)
    assert (back.confidence, back.side, back.unsure) == (found.confidence, found.side, found.unsure)
    with pytest.raises(FileError, match="no complete result"):
        read_result(tmp_path)


def test_what_was_found_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(ResourceError, match="No space left on device"):
        write_found(tmp_path, made_segmentation(small_job().inputs.fixed))
    assert list(tmp_path.iterdir()) == []
