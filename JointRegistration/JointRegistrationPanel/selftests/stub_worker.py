"""A worker that speaks as the real one does and computes nothing: for tests, in seconds and without PyTorch.

It answers a job with the identity, or with bones that are slabs, after ``--seconds``, in steps. ``--stay-at STAGE``
keeps it there for an hour; ``--die-at STAGE`` and ``--fail-at STAGE`` end it there; ``--device NAME=WORDS`` is what it
claims to have found; ``--deaf`` makes it ignore Cancel.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable

import numpy as np

from JointRegistrationLib.core.errors import OutOfMemory, RegistrationCancelled
from JointRegistrationLib.core.image import Image
from JointRegistrationLib.core.result import FoldCount, RegistrationResult
from JointRegistrationLib.core.structures import LABELS, Segmentation, SideGuess
from JointRegistrationLib.worker.exchange import AnyJob, Job, SegmentationJob
from JointRegistrationLib.worker.messages import Ready
from JointRegistrationLib.worker.priority import take_niceness
from JointRegistrationLib.worker.server import serve

STAGES = ("starting", "preparing", "affine", "deformable", "finishing")
_STEPS = 8
_STAY_S = 3600.0


def main() -> int:
    """Serve until standard input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=0.2)
    parser.add_argument("--device", default="cpu=CPU, 2 threads: a stub for tests")
    parser.add_argument("--stay-at", choices=STAGES)
    parser.add_argument("--die-at", choices=STAGES)
    parser.add_argument("--fail-at", choices=STAGES)
    parser.add_argument("--deaf", action="store_true")
    options = parser.parse_args()

    def makeReady() -> Ready:
        if options.die_at == "starting":
            os._exit(9)
        if options.fail_at == "starting":
            raise ImportError("No module named 'torch'")
        devices = dict(part.split("=", 1) for part in options.device.split(";"))
        return Ready(os.getpid(), {"stub": "1"}, devices)

    def run(
        job: AnyJob, progress: Callable[..., None], cancelled: Callable[[], bool]
    ) -> RegistrationResult | Segmentation:
        steps = [(stage, step) for stage in STAGES[1:] for step in range(_STEPS)]
        for index, (stage, _step) in enumerate(steps):
            if stage == options.die_at:
                os.write(2, b"the stub was told to die\n")
                os._exit(9)
            if stage == options.fail_at:
                raise OutOfMemory("the stub was told to run out of memory")
            until = time.monotonic() + (_STAY_S if stage == options.stay_at else options.seconds / len(steps))
            while True:
                if cancelled() and not options.deaf:
                    raise RegistrationCancelled("cancelled")
                progress(stage, index / len(steps), None)
                if time.monotonic() >= until:
                    break
                time.sleep(0.005)
        return slabs(job.image) if isinstance(job, SegmentationJob) else identity(job)

    take_niceness()
    return serve(makeReady, run, lambda: None)


def identity(job: Job) -> RegistrationResult:
    """The result of a registration that found nothing to move."""
    fixed, moving = job.inputs.fixed.grid, job.inputs.moving.grid
    warped = np.zeros(fixed.shape, np.float32)
    if fixed.shape == moving.shape:
        warped[...] = job.inputs.moving.array
    return RegistrationResult(
        fixed_grid=fixed,
        moving_grid=moving,
        affine_ras=np.eye(4),
        displacement_field_mm=np.zeros((*fixed.shape, 3), np.float32),
        inverse_displacement_field_mm=np.zeros((*moving.shape, 3), np.float32),
        jacobian_determinant=np.ones(fixed.shape, np.float32),
        warped=warped,
        folds=FoldCount(0, 0.0, 0),
        similarity_before=0.5,
        similarity_after=0.5,
        inverse_error_mean_mm=0.0,
        inverse_error_max_mm=0.0,
        timings_s={"total": 0.2},
        config=job.config,
        device="cpu",
        notes=("This result comes from a stub: nothing was registered.",),
    )


def slabs(image: Image) -> Segmentation:
    """Every structure as a slab across the image's third axis; of one of them it says that it is unsure."""
    count = len(image.array)
    slab = np.array([0, *LABELS.values(), 0], np.uint8)[np.arange(count) * (len(LABELS) + 2) // count]
    labels = np.broadcast_to(slab[:, None, None], image.array.shape).copy()
    confidence = {**dict.fromkeys(LABELS, 0.9), "patellar cartilage": 0.5}
    return Segmentation(Image(labels, image.grid, "found"), confidence, SideGuess("right", 2.0))


if __name__ == "__main__":
    sys.exit(main())
