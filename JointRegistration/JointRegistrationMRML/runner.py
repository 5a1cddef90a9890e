"""What runs a registration: a protocol, and the form that runs it in this process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from JointRegistrationLib.config import RegistrationConfig
from JointRegistrationLib.image import Image, LandmarkPairs
from JointRegistrationLib.result import RegistrationResult

#: Called with the stage, the overall fraction done (0..1), and the loss or None.
Progress = Callable[[str, float, "float | None"], None]
CancelCheck = Callable[[], bool]


@dataclass(frozen=True)
class RegistrationInputs:
    """What a registration needs, in world coordinates and without any node."""

    fixed: Image
    moving: Image
    fixedMask: Image | None = None
    movingMask: Image | None = None
    landmarks: LandmarkPairs | None = None


class Runner(Protocol):
    """Runs one registration; another form may do so in a child process."""

    def __call__(
        self,
        inputs: RegistrationInputs,
        config: RegistrationConfig,
        progress: Progress | None,
        cancelled: CancelCheck | None,
    ) -> RegistrationResult:
        """Register ``inputs.moving`` to ``inputs.fixed``; raises what ``inference.register`` raises."""
        ...


def runInProcess(
    inputs: RegistrationInputs,
    config: RegistrationConfig,
    progress: Progress | None = None,
    cancelled: CancelCheck | None = None,
) -> RegistrationResult:
    """The registration here and now. PyTorch is imported at this moment, not before."""
    from JointRegistrationLib.inference import register

    return register(
        inputs.fixed,
        inputs.moving,
        config,
        progress=progress,
        cancelled=cancelled,
        fixed_mask=inputs.fixedMask,
        moving_mask=inputs.movingMask,
        landmarks=inputs.landmarks,
    )
