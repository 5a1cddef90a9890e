"""Networks that stay in memory from one run to the next, and can be stopped while they compute."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from ..core.progress import Reporter
from . import side, weights
from .checkpoint import Network
from .model import AVSM
from .side import SideNet

_kept: dict[tuple[str, int, int, str], nn.Module] = {}


def avsm(device: torch.device | str) -> AVSM:
    """The package's AVSM on ``device``; see :func:`kept`."""
    return kept(lambda path, where: weights.load_model(path, where)[0], weights.DEFAULT_WEIGHTS, device)


def side_net(device: torch.device | str) -> SideNet:
    """The package's network that tells left from right, on ``device``; see :func:`kept`."""
    return kept(side.load_side_model, side.SIDE_WEIGHTS, device)


def kept(load: Callable[[Path, torch.device], Network], path: Path, device: torch.device | str) -> Network:
    """``load(path, device)``, or what it gave before if the file is still the same.

    The network is shared by all who ask: it is to be run, not to be changed. Raises what ``load`` raises.
    """
    where = torch.empty(0, device=device).device  # "cuda" and "cuda:0" are the same
    try:
        status = path.stat()
    except OSError:
        return load(path, where)  # which says what is wrong with the file
    key = (str(path), status.st_mtime_ns, status.st_size, str(where))
    if key not in _kept:
        _kept[key] = load(path, where)
    return cast(Network, _kept[key])


def forget() -> None:
    """Let go of all networks, for their memory."""
    _kept.clear()


@contextmanager
def stoppable(network: nn.Module, reporter: Reporter) -> Iterator[None]:
    """Within this block ``network`` asks before each of its layers whether to stop.

    Raises:
        RegistrationCancelled: from the layer's call, if the reporter's caller asked to stop.
    """

    def ask(layer: nn.Module, inputs: Any) -> None:
        reporter.check()

    layers = [layer for layer in network.modules() if next(layer.children(), None) is None]
    handles = [layer.register_forward_pre_hook(ask) for layer in layers]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
