"""The worker with a stand-in for the registration, which starts and runs at once and misbehaves as told.

The name of the fixed image, or of the one to find bones in, says how, for example ``"wait in deformable"``:

wait      until cancelled
hang      without looking whether it is cancelled
die       the process ends with code 3
refuse    raises InputError
fail      raises an error that nobody expects
memory    memory runs out while more than 10000 working voxels are allowed
gpu       memory runs out unless the device is the CPU
print     writes to standard output, as a library might
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import numpy as np

from JointRegistrationLib.core.errors import InputError, OutOfMemory, RegistrationCancelled
from JointRegistrationLib.core.progress import CancelCheck, ProgressCallback
from JointRegistrationLib.core.result import RegistrationResult
from JointRegistrationLib.core.structures import Segmentation
from JointRegistrationLib.worker.exchange import AnyJob, Job, SegmentationJob
from JointRegistrationLib.worker.messages import Ready
from JointRegistrationLib.worker.process import WorkerCommand, worker_command
from JointRegistrationLib.worker.server import serve
from Testing.Support.results import made_result, made_segmentation

STAGES = ("preparing", "affine", "deformable", "finishing")
DEVICES = {"cuda": "Stub GPU, 1 GB free", "cpu": "CPU, 1 thread"}


def stub_command(start_s: float = 0.0, start: str = "") -> WorkerCommand:
    """How to start this worker.

    Args:
        start_s: how long it takes to be ready.
        start: ``"die"`` or ``"fail"`` instead of being ready.
    """
    program, _, environment = worker_command()
    return WorkerCommand(program, [str(Path(__file__).resolve()), str(start_s), start], environment)


def make_ready() -> Ready:
    time.sleep(float(sys.argv[1]))
    if sys.argv[2] == "die":
        _die("no PyTorch for you")
    if sys.argv[2] == "fail":
        raise ImportError("No module named 'torch'")
    return Ready(os.getpid(), {"stub": "1"}, DEVICES)


def run(job: AnyJob, progress: ProgressCallback, cancelled: CancelCheck) -> RegistrationResult | Segmentation:
    image = job.image if isinstance(job, SegmentationJob) else job.inputs.fixed
    behaviour, _, where = image.name.partition(" in ")
    for index, stage in enumerate(STAGES):
        if cancelled():
            raise RegistrationCancelled("cancelled")
        progress(stage, index / len(STAGES), 1.0 - 0.1 * index)
        if stage == (where or "affine"):
            misbehave(behaviour, job, cancelled)
    return made_segmentation(image) if isinstance(job, SegmentationJob) else identity_result(job)


def misbehave(behaviour: str, job: AnyJob, cancelled: CancelCheck) -> None:
    if behaviour == "wait":
        while not cancelled():
            time.sleep(0.01)
        raise RegistrationCancelled("cancelled")
    if behaviour == "hang":
        time.sleep(3600)
    if behaviour == "die":
        _die("a last word")
    if behaviour == "refuse":
        moving = job.image if isinstance(job, SegmentationJob) else job.inputs.moving
        raise InputError(f"{moving.name}: nothing to align")
    if behaviour == "fail":
        raise ZeroDivisionError("not foreseen")
    if behaviour == "memory" and isinstance(job, Job) and job.config.preprocess.max_working_voxels > 10000:
        raise MemoryError
    device = job.device if isinstance(job, SegmentationJob) else job.config.device
    if behaviour == "gpu" and device != "cpu":
        raise OutOfMemory("the GPU ran out of memory; use fewer voxels")
    if behaviour == "print":
        print("a library's chatter", flush=True)  # noqa: T201
        os.write(1, b"and from C\n")


def _die(last_word: str) -> None:
    os.write(2, last_word.encode())
    os._exit(3)


def identity_result(job: Job) -> RegistrationResult:
    """No displacement; the warped image is the fixed one. Says what it was given where a test looks for it."""
    fixed, moving, start = job.inputs.fixed, job.inputs.moving, job.inputs.initial_affine_ras
    return made_result(
        fixed.grid,
        moving.grid,
        affine_ras=np.eye(4) if start is None else start,
        warped=fixed.array.astype(np.float32),
        timings_s={"total": float(os.getpid())},
        config=job.config,
        device="cpu" if job.config.device == "cpu" else "cuda",
        notes=("a note of the method",),
    )


if __name__ == "__main__":
    sys.exit(serve(make_ready, run, lambda: None))
