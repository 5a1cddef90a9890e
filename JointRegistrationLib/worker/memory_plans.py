"""What to do when memory runs out: fewer working voxels, then the CPU."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

from ..core.config import RegistrationConfig

#: By how much a plan with less memory thins the working grid: half the resolution along two axes.
THINNING = 4


@dataclass(frozen=True)
class MemoryPlan:
    """A configuration to try, and a sentence that says why; empty for what was asked for."""

    config: RegistrationConfig
    note: str = ""


def memory_plans(config: RegistrationConfig, auto_device: str) -> Iterator[MemoryPlan]:
    """What to try, one after the other, as long as memory runs out.

    Args:
        config: what was asked for.
        auto_device: the device that ``"auto"`` takes here.
    """
    yield MemoryPlan(config)
    device = auto_device if config.device == "auto" else config.device
    where = "The computer's memory" if device == "cpu" else "The GPU's memory"
    voxels = max(1000, config.preprocess.max_working_voxels // THINNING)
    thinned = dataclasses.replace(config, preprocess=dataclasses.replace(config.preprocess, max_working_voxels=voxels))
    yield MemoryPlan(thinned, f"{where} ran out, so the images were compared on at most {voxels} voxels.")
    if device != "cpu":
        yield MemoryPlan(
            dataclasses.replace(config, device="cpu"),
            f"{where} ran out, also with fewer voxels, so the registration ran on the CPU.",
        )
