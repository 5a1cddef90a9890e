"""Networks kept between runs: loaded once, again when the file changes, and stopped between two layers."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from torch import nn

from JointRegistrationLib.core.errors import CheckpointError, RegistrationCancelled
from JointRegistrationLib.core.progress import Reporter
from JointRegistrationLib.networks import cache


class Loader:
    def __init__(self) -> None:
        self.loaded = 0

    def __call__(self, path: Path, device: torch.device) -> nn.Module:
        if not path.is_file():
            raise CheckpointError(f"{path} is missing")
        self.loaded += 1
        return nn.Linear(1, 1, device=device)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "weights"
    path.write_bytes(b"1")
    return path


def test_a_network_is_loaded_once_as_long_as_its_file_is_the_same(file):
    load = Loader()
    first = cache.kept(load, file, "cpu")
    assert cache.kept(load, file, torch.device("cpu")) is first
    assert load.loaded == 1
    os.utime(file, ns=(0, 0))
    assert cache.kept(load, file, "cpu") is not first
    assert load.loaded == 2


def test_forgotten_networks_are_loaded_again(file):
    load = Loader()
    first = cache.kept(load, file, "cpu")
    cache.forget()
    assert cache.kept(load, file, "cpu") is not first


def test_a_missing_file_is_told_of_even_after_it_was_there(file):
    load = Loader()
    cache.kept(load, file, "cpu")
    file.unlink()
    with pytest.raises(CheckpointError, match="missing"):
        cache.kept(load, file, "cpu")


def test_a_network_stops_before_the_layer_at_which_it_is_asked_to():
    asked = []
    network = nn.Sequential(nn.Linear(2, 3), nn.Sequential(nn.ReLU(), nn.Linear(3, 1)), nn.ReLU())

    def cancelled() -> bool:
        asked.append(True)
        return len(asked) == 3

    with cache.stoppable(network, Reporter("network", cancelled=cancelled)):
        with pytest.raises(RegistrationCancelled, match="network"):
            network(torch.zeros(1, 2))
        assert len(asked) == 3
    network(torch.zeros(1, 2))
    assert len(asked) == 3  # nobody is asked outside of the block
