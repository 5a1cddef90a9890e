"""Several processes that train one network: each draws pairs of its own, gradients are averaged.

``torchrun --nproc-per-node N -m JointRegistrationLib train ...`` starts N of them and tells each its number in the
environment. Started without it, a process is alone and nothing here does anything.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

import torch
from torch import distributed

from ..core.errors import ConfigError
from ..ops.devices import choose_device


@dataclass(frozen=True)
class Ranks:
    """Which process this is.

    Args:
        rank: its number, from 0; number 0 logs, validates and saves.
        world: how many there are.
        local: its number on this machine, which is the number of its GPU.
    """

    rank: int = 0
    world: int = 1
    local: int = 0

    @property
    def first(self) -> bool:
        """Return whether this process writes the files."""
        return self.rank == 0


def ranks_from_environment() -> Ranks:
    """Read what ``torchrun`` says about this process.

    Raises:
        ConfigError: if one of its variables is not a number.
    """
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
    try:
        rank, world, local = (int(os.environ.get(name, default)) for name, default in zip(names, "010", strict=True))
    except ValueError as error:
        raise ConfigError(f"environment: {', '.join(names)} must be whole numbers ({error}); use torchrun") from error
    return Ranks(rank, world, local)


@contextmanager
def process_group(device: str) -> Iterator[Ranks]:
    """Inside, the processes of one ``torchrun`` can average: by NCCL on GPUs, one each, otherwise by gloo."""
    ranks = ranks_from_environment()
    if ranks.world == 1:
        yield ranks
        return
    on_gpu = choose_device(device).type == "cuda"
    if on_gpu:
        torch.cuda.set_device(ranks.local)
    distributed.init_process_group("nccl" if on_gpu else "gloo")
    try:
        yield ranks
    finally:
        distributed.destroy_process_group()


def any_of(flag: bool, ranks: Ranks, device: torch.device) -> bool:
    """Return whether ``flag`` is set in any process: all must stop after the same update."""
    if ranks.world == 1:
        return flag
    value = torch.tensor(float(flag), device=device)
    distributed.all_reduce(value, op=distributed.ReduceOp.MAX)
    return bool(value.item())


def mean_of(values: dict[str, float], ranks: Ranks, device: torch.device) -> dict[str, float]:
    """Each value averaged over the processes; they must have the same names in the same order."""
    if ranks.world == 1:
        return values
    tensor = torch.tensor(list(values.values()), device=device)
    distributed.all_reduce(tensor)
    return dict(zip(values, (tensor / ranks.world).tolist(), strict=True))


@contextmanager
def stop_signals() -> Iterator[Callable[[], bool]]:
    """While inside, SIGTERM and SIGINT ask for a stop after the current step instead of killing."""
    asked: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        asked.append(number)

    try:
        previous = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    except ValueError:  # not in the main thread: nobody sends us signals
        previous = {}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
