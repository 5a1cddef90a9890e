"""The worker as a real process: with a stand-in for the registration, and once with the real one."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from JointRegistrationLib.core.config import AffineConfig, PreprocessConfig, RegistrationConfig
from JointRegistrationLib.core.errors import InputError, OutOfMemory, ResourceError
from JointRegistrationLib.core.geometry import Grid
from JointRegistrationLib.core.image import Image
from JointRegistrationLib.core.inputs import RegistrationInputs
from JointRegistrationLib.core.lattices.sampling import LabelMap
from JointRegistrationLib.core.lattices.segments import RunSegments, SegmentLabel, SegmentLayers
from JointRegistrationLib.core.structures import LABELS
from JointRegistrationLib.worker import server
from JointRegistrationLib.worker.client import Client, State
from JointRegistrationLib.worker.exchange import Job, SegmentationJob, read_found, read_result, read_segments
from JointRegistrationLib.worker.messages import Cancel, Register, encode
from JointRegistrationLib.worker.process import SubprocessTransport, worker_command
from Testing.Support.patience import patient
from Testing.Support.stub_worker import STAGES, stub_command
from Testing.Support.worker_cases import GRID, StubWorker, job_folder, small_job


@pytest.fixture
def worker():
    worker = StubWorker()
    yield worker
    worker.client.close()


def _submit(worker: StubWorker, root: Path, behaviour: str = "", **more: object) -> Path:
    folder = job_folder(small_job(behaviour, **more), root)
    worker.client.submit(folder, worker.recorder)
    return folder


def _gone(pid: int) -> bool:
    """Whether a process has ended; it may still wait for its parent to take note."""
    status = Path(f"/proc/{pid}/stat")
    try:
        return status.read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        pass
    try:
        os.kill(pid, 0)
    except OSError:
        return True
    return False


def test_two_runs_on_one_process(worker, tmp_path):
    pids = []
    for _ in range(2):
        folder = _submit(worker, tmp_path)
        worker.until_over()
        assert worker.recorder.last("done") == folder
        pids.append(read_result(folder).timings_s["total"])
    assert pids[0] == pids[1] == worker.client.ready.pid
    stages = [told.stage for name, told in worker.recorder.told if name == "progress"]
    assert stages == [*STAGES, *STAGES]


def test_job_and_result_pass_through_the_process_unchanged(worker, tmp_path):
    affine = np.diag([1.0, 1.2, 1.0, 1.0])
    config = RegistrationConfig(method="affine-opt", device="cpu")
    folder = _submit(worker, tmp_path, initial_affine_ras=affine, config=config)
    worker.until_over()
    result = read_result(folder)
    np.testing.assert_array_equal(result.warped, small_job().inputs.fixed.array)
    np.testing.assert_array_equal(result.affine_ras, affine)
    assert (result.config, result.fixed_grid, result.notes) == (config, GRID, ("a note of the method",))


def test_segments_of_a_job_come_back_on_the_fixed_lattice(worker, tmp_path):
    labels = np.zeros(GRID.shape, np.uint8)
    labels[2:6, 3:7, 4:9] = 3
    shifted = np.eye(4)
    shifted[:3, 3] = -GRID.ijk_to_ras[:3, 0]  # one voxel further along i in the world
    named = (SegmentLabel("b", "bone ü", (1 / 3, 0.0, 1.0), 0, 3),)
    fixed, moving = (SegmentLayers((LabelMap(labels, GRID, matrix),), named) for matrix in (None, shifted))
    segments = RunSegments(fixed, moving)
    folder = _submit(worker, tmp_path, segments=segments)
    worker.until_over()
    found = read_segments(folder)
    np.testing.assert_array_equal(found.fixed.layers[0].labels, labels)
    for layers in (found.warped, found.before):  # the stub's map is the identity
        np.testing.assert_array_equal(layers.layers[0].labels, np.roll(labels, 1, axis=2))
        assert (layers.grid, layers.segments) == (GRID, named)
    assert [told.stage for name, told in worker.recorder.told if name == "progress"][-1] == "segments"


@pytest.mark.parametrize("stage", STAGES)
def test_cancel_ends_the_run_and_keeps_the_worker(worker, tmp_path, stage):
    worker.until_ready()
    pid = worker.client.ready.pid
    folder = _submit(worker, tmp_path, f"wait in {stage}")
    worker.until_stage(stage)
    worker.client.cancel()
    worker.until_over()
    assert worker.recorder.names[-1] == "cancelled"
    assert not (folder / "result").exists()
    _submit(worker, tmp_path)
    worker.until_over()
    assert worker.client.ready.pid == pid


def test_cancel_of_a_worker_that_does_not_listen_is_told_and_the_next_run_has_another(tmp_path):
    worker = StubWorker(cancel_s=0.1, stop_s=0.1)
    worker.until_ready()
    pid = worker.client.ready.pid
    _submit(worker, tmp_path, "hang in preparing")
    worker.until_stage("preparing")
    worker.client.cancel()
    worker.until_over()
    assert worker.recorder.names[-1] == "cancelled"
    _submit(worker, tmp_path)
    worker.until_over()
    assert _gone(pid)
    assert worker.recorder.names[-1] == "done"
    worker.client.close()


def test_a_cancel_reaches_a_run_that_was_sent_before_the_one_before_it_was_put_away():
    read, write = os.pipe()  # never closed: at its end the reader would end this process
    requests = server._Requests(os.fdopen(read, "rb"))
    os.write(write, encode(Register("first")) + encode(Register("second")))
    first, second = requests.next(), requests.next()
    requests.finished(first)
    os.write(write, encode(Cancel()))
    assert second.cancel.wait(patient(5))
    assert not first.cancel.is_set()


def test_cancel_while_the_worker_starts_is_immediate(tmp_path):
    worker = StubWorker(start_s=0.5)
    _submit(worker, tmp_path)
    worker.client.cancel()
    assert worker.recorder.names == ["cancelled"]
    worker.until(lambda: worker.client.state is State.READY)
    worker.client.close()


@pytest.mark.parametrize("stage", STAGES)
def test_death_in_a_run_is_told_with_its_last_words_and_the_next_run_works(worker, tmp_path, stage):
    _submit(worker, tmp_path, f"die in {stage}")
    worker.until_over()
    error = worker.recorder.last("failed")
    assert isinstance(error, ResourceError)
    assert "code 3" in str(error) and "a last word" in str(error)
    _submit(worker, tmp_path)
    worker.until_over()
    assert worker.recorder.names[-1] == "done"


def test_a_worker_killed_between_two_runs_is_replaced(worker, tmp_path):
    worker.until_ready()
    os.kill(worker.client.ready.pid, 9)
    worker.until(lambda: worker.client.state is State.STOPPED)
    _submit(worker, tmp_path)
    worker.until_over()
    assert worker.recorder.names[-1] == "done"


@pytest.mark.parametrize(
    "start, words", [("die", "no PyTorch for you"), ("fail", "ImportError: No module named 'torch'")]
)
def test_a_worker_that_cannot_start_says_why(tmp_path, start, words):
    worker = StubWorker(start=start)
    _submit(worker, tmp_path)
    worker.until_over()
    assert words in str(worker.recorder.last("failed"))
    assert worker.client.state is State.STOPPED


def test_errors_keep_their_kind_and_the_worker_goes_on(worker, tmp_path):
    _submit(worker, tmp_path, "refuse in affine")
    worker.until_over()
    error = worker.recorder.last("failed")
    assert type(error) is InputError and str(error) == "moving: nothing to align"
    assert worker.client.state is State.READY


def test_unexpected_error_is_told_with_its_traceback_in_the_log(worker, tmp_path):
    _submit(worker, tmp_path, "fail in affine")
    worker.until_over()
    assert "ZeroDivisionError: not foreseen" in str(worker.recorder.last("failed"))
    logs = [told for name, told in worker.recorder.told if name == "log"]
    assert any("Traceback" in line and "misbehave" in line for line in logs)


def test_what_libraries_print_does_not_get_between_the_messages(worker, tmp_path):
    _submit(worker, tmp_path, "print in affine")
    worker.until_over()
    assert worker.recorder.names == ["ready", "done"]
    assert "log" not in [name for name, _ in worker.recorder.told]


def test_ping_is_answered_between_runs(worker):
    worker.until_ready()
    worker.client.refresh()
    worker.until(lambda: worker.recorder.names == ["ready", "ready"])


# -- memory -------------------------------------------------------------------------------------------------


def _config(voxels: int, device: str = "auto") -> RegistrationConfig:
    return RegistrationConfig(device=device, preprocess=PreprocessConfig(max_working_voxels=voxels))


@pytest.mark.parametrize("device", ["cuda", "cpu"])
def test_out_of_memory_is_tried_again_with_fewer_voxels_and_noted(worker, tmp_path, device):
    folder = _submit(worker, tmp_path, "memory in affine", config=_config(40000, device))
    worker.until_over()
    result = read_result(folder)
    assert result.config == _config(10000, device)
    assert result.notes[0] == "a note of the method"
    assert "ran out" in result.notes[1] and "10000 voxels" in result.notes[1]
    assert worker.recorder.last("log") == result.notes[1]


def test_out_of_memory_on_the_gpu_ends_on_the_cpu_with_all_voxels(worker, tmp_path):
    folder = _submit(worker, tmp_path, "gpu in affine", config=_config(40000))
    worker.until_over()
    result = read_result(folder)
    assert result.config == _config(40000, "cpu")
    assert "ran on the CPU" in result.notes[1]
    assert len([name for name, _ in worker.recorder.told if name == "log"]) == 2


def test_out_of_memory_for_good_says_what_to_do(worker, tmp_path):
    _submit(worker, tmp_path, "memory in affine", config=_config(10**6))
    worker.until_over()
    error = worker.recorder.last("failed")
    assert type(error) is OutOfMemory
    assert "reduce preprocess.max_working_voxels" in str(error)


# -- bones and cartilage ---------------------------------------------------------------------------------------


def _find(worker, root, behaviour=""):
    folder = job_folder(SegmentationJob(dataclasses.replace(small_job().inputs.fixed, name=behaviour)), root)
    worker.client.submit(folder, worker.recorder)
    return folder


def test_bones_are_found_on_the_process_that_registers(worker, tmp_path):
    _submit(worker, tmp_path)
    worker.until_over()
    folder = _find(worker, tmp_path)
    worker.until(lambda: not worker.client.running)
    assert worker.recorder.names.count("ready") == 1 and worker.recorder.names[-1] == "done"
    assert set(np.unique(read_found(folder).labels.array)) == {0, *LABELS.values()}


def test_finding_bones_is_cancelled_like_a_registration_and_leaves_nothing(worker, tmp_path):
    folder = _find(worker, tmp_path, "wait in affine")
    worker.until_stage("affine")
    worker.client.cancel()
    worker.until_over()
    assert worker.recorder.names[-1] == "cancelled"
    worker.until(lambda: not folder.exists())


def test_bones_are_found_on_the_cpu_once_the_gpus_memory_has_run_out(worker, tmp_path):
    folder = _find(worker, tmp_path, "gpu in affine")
    worker.until_over()
    assert read_found(folder).unsure == ("patellar cartilage",)
    assert "the CPU was taken" in worker.recorder.last("log")


# -- the process's own end ------------------------------------------------------------------------------------


def orphan(root: Path) -> tuple[int, Path]:
    """A worker in mid-run whose parent has ended: its process and the job's folder."""
    code = (
        "import sys, os, time; from pathlib import Path; from Testing.Support.worker_cases import *\n"
        "worker = StubWorker(); folder = job_folder(small_job('hang in affine'), Path(sys.argv[1]))\n"
        "worker.client.submit(folder, worker.recorder); worker.until_stage('affine')\n"
        "print(worker.client.ready.pid, folder, flush=True); os._exit(0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(root)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
        capture_output=True,
        text=True,
        timeout=patient(20),
        check=True,
    )
    pid, folder = done.stdout.split()
    return int(pid), Path(folder)


def wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + patient(5)
    while not _gone(pid):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_worker_ends_and_tidies_up_when_its_parent_dies_in_a_run(tmp_path):
    pid, folder = orphan(tmp_path)
    wait_until_gone(pid)
    assert not folder.exists()


def test_close_leaves_no_process(worker):
    worker.until_ready()
    pid = worker.client.ready.pid
    worker.client.close()
    assert _gone(pid) and not worker.transport.running


def test_command_runs_on_this_python_with_the_library_on_its_path():
    program, arguments, environment = worker_command({"PYTHONPATH": "/elsewhere", "SLICER_HOME": "/slicer"})
    assert program == sys.executable
    assert arguments[-1] == "JointRegistrationLib.worker"
    library = str(Path(__file__).parents[3])
    assert environment["PYTHONPATH"].split(os.pathsep) == ["/elsewhere", library]
    assert environment["SLICER_HOME"] == "/slicer"


def test_command_in_an_application_uses_the_python_beside_it(tmp_path, monkeypatch):
    beside = tmp_path / "PythonSlicer"
    beside.write_text("#!/bin/sh\n")
    beside.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "SlicerApp-real"))
    assert worker_command({}).program == str(beside)


def test_missing_program_fails_the_run(tmp_path):
    worker = StubWorker()
    worker.transport = SubprocessTransport(stub_command()._replace(program="/no/such/python"))
    worker.client = Client(worker.transport, worker.recorder)
    _submit(worker, tmp_path)
    assert "could not be started" in str(worker.recorder.last("failed"))


# -- the real registration --------------------------------------------------------------------------------------


def test_real_worker_registers_what_the_library_registers(tmp_path):
    grid = Grid((16, 16, 16), (2.0, 2.0, 2.0))
    k, j, i = np.meshgrid(*(np.arange(16.0),) * 3, indexing="ij")

    def ball(centre: float, name: str) -> Image:
        radius = np.sqrt((i - centre) ** 2 + 1.3 * (j - 8) ** 2 + 0.8 * (k - 8) ** 2)
        return Image((1 / (1 + np.exp(radius - 4))).astype(np.float32), grid, name)

    config = RegistrationConfig(method="affine-opt", affine=AffineConfig(model="rigid", levels=(2,), iterations=8))
    job = Job(RegistrationInputs(ball(7, "fixed"), ball(9, "moving")), config)
    worker = StubWorker()
    worker.transport = SubprocessTransport()
    worker.client = Client(worker.transport, worker.recorder)
    folder = job_folder(job, tmp_path)
    worker.client.submit(folder, worker.recorder)
    worker.until(lambda: not worker.client.running)
    ready = worker.recorder.last("ready")
    assert {"torch", "python", "joint-registration"} <= set(ready.versions)
    assert ready.weights == ""
    assert "CPU" in ready.devices["cpu"]
    result = read_result(folder)
    from JointRegistrationLib.registration.register import register

    expected = register(job.inputs.fixed, job.inputs.moving, config)
    np.testing.assert_allclose(result.affine_ras, expected.affine_ras, atol=1e-4)
    np.testing.assert_allclose(result.warped, expected.warped, atol=1e-3)
    assert result.folds == expected.folds
    masked = dataclasses.replace(job.inputs, fixed_mask=job.inputs.moving)
    worker.client.submit(job_folder(dataclasses.replace(job, inputs=masked), tmp_path), worker.recorder)
    worker.client.cancel()
    worker.until_over()
    assert worker.recorder.names[-1] == "cancelled"
    worker.client.close()
