"""What the worker computes with: PyTorch, its devices and the networks, made ready once."""

from __future__ import annotations

import gc
import os
import platform
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from .. import __version__
from ..core.errors import CheckpointError
from ..core.progress import CancelCheck, ProgressCallback
from ..core.result import RegistrationResult
from ..core.structures import Segmentation
from .exchange import AnyJob, SegmentationJob
from .messages import Ready

#: How many threads to compute with on the CPU; PyTorch's own choice if unset.
THREADS_VARIABLE = "JOINTREG_THREADS"


def make_ready() -> Ready:
    """Import PyTorch, wake the GPU, load the networks, and say what there is.

    Raises:
        ImportError: if PyTorch is not installed, or cannot be loaded.
    """
    import torch  # noqa: PLC0415 the worker says so itself if it is missing

    from ..registration import register  # noqa: F401, PLC0415 all that a run will need

    chosen = _chosen_threads()
    if chosen is not None:
        torch.set_num_threads(chosen)
    devices = describe_devices()
    if "cuda" in devices:
        torch.zeros(1, device="cuda")  # makes the context, which takes a second
    versions = {"joint-registration": __version__, "python": platform.python_version(), "torch": torch.__version__}
    return Ready(os.getpid(), versions, devices, _weights_problem(next(iter(devices))))


def threads(most: int) -> int:
    """Return the number of threads for work outside PyTorch: the processor's or the environment's, at most ``most``."""
    return min(most, _chosen_threads() or os.cpu_count() or 1)


def run(job: AnyJob, progress: ProgressCallback, cancelled: CancelCheck) -> RegistrationResult | Segmentation:
    """Run a job; see ``registration.register.register`` and ``segmentation.segment.segment`` for the errors."""
    if isinstance(job, SegmentationJob):
        from ..segmentation.segment import segment  # noqa: PLC0415

        return segment(job.image, device=job.device, progress=progress, cancelled=cancelled)
    from ..registration.register import register_inputs  # noqa: PLC0415

    return register_inputs(job.inputs, job.config, progress, cancelled)


def free_memory() -> None:
    """Give back what a failed run held, and the networks, so that the next one has it."""
    import torch  # noqa: PLC0415

    from ..networks import cache  # noqa: PLC0415

    cache.forget()
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def describe_devices() -> dict[str, str]:
    """Describe each device to compute on, by its name in the configuration; first what ``"auto"`` takes."""
    import torch  # noqa: PLC0415

    found: dict[str, str] = {}
    if torch.cuda.is_available():
        free, _ = torch.cuda.mem_get_info()
        found["cuda"] = f"{torch.cuda.get_device_name()}, {free / 1e9:.0f} GB free"
    if torch.backends.mps.is_available():
        found["mps"] = "Apple GPU (MPS)"
    count = torch.get_num_threads()
    words = f"CPU, {count} thread{'s' if count > 1 else ''}"
    return {**found, "cpu": words if found else f"{words}: {_why_no_gpu()}"}


def _chosen_threads() -> int | None:
    chosen = os.environ.get(THREADS_VARIABLE, "")
    return int(chosen) if chosen.isdigit() and int(chosen) > 0 else None


def _why_no_gpu() -> str:
    import torch  # noqa: PLC0415

    if platform.system() == "Darwin":
        return "this PyTorch finds no Apple GPU"
    build: Callable[[], bool] = torch.backends.cuda.is_built
    if not build():
        return f"this PyTorch ({torch.__version__}) was built without CUDA"
    return "no CUDA GPU was found, or its driver is too old for this PyTorch"


def _weights_problem(device: str) -> str:
    from ..networks import cache, side  # noqa: PLC0415

    try:
        cache.avsm(device)
        if side.SIDE_WEIGHTS.is_file():
            cache.side_net(device)
    except CheckpointError as error:
        return str(error)
    return ""


#: By how much a plan with less memory thins the working grid: half the resolution along two axes.
THINNING = 4


@dataclass(frozen=True)
class MemoryPlan:
    """A job to try, and a sentence that says why; empty for what was asked for."""

    job: AnyJob
    note: str = ""


def memory_plans(job: AnyJob, auto_device: str) -> Iterator[MemoryPlan]:
    """Return what to try, one after the other, as long as memory runs out.

    Args:
        job: what was asked for.
        auto_device: the device that ``"auto"`` takes here.
    """
    yield MemoryPlan(job)
    asked = job.device if isinstance(job, SegmentationJob) else job.config.device
    device = auto_device if asked == "auto" else asked
    where = "The computer's memory" if device == "cpu" else "The GPU's memory"
    if isinstance(job, SegmentationJob):
        if device != "cpu":
            yield MemoryPlan(replace(job, device="cpu"), f"{where} ran out, so the CPU was taken.")
        return
    preprocess = job.config.preprocess
    voxels = max(1000, preprocess.max_working_voxels // THINNING)
    thinned = replace(job.config, preprocess=replace(preprocess, max_working_voxels=voxels))
    note = f"{where} ran out, so the images were compared on at most {voxels} voxels."
    yield MemoryPlan(replace(job, config=thinned), note)
    if device != "cpu":
        note = f"{where} ran out, also with fewer voxels, so the registration ran on the CPU."
        yield MemoryPlan(replace(job, config=replace(job.config, device="cpu")), note)
