"""Weights and training states: whole, verified, refused when they do not fit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from JointRegistrationLib.core.errors import CheckpointError
from JointRegistrationLib.networks import checkpoint
from JointRegistrationLib.networks.checkpoint import Header

HEADER = Header("tiny", {"channels": [1, 2]}, "made up", "abc1234", {"dice": 0.5})


def network(outputs: int = 3) -> nn.Linear:
    torch.manual_seed(outputs)
    return nn.Linear(4, outputs)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "weights.safetensors"
    checkpoint.save_weights(path, network(), HEADER)
    return path


def load(path: Path, architecture: str = "tiny", network: nn.Module | None = None) -> tuple[nn.Module, Header]:
    return checkpoint.load_network(path, architecture, lambda _values: network or nn.Linear(4, 3))


def test_weights_and_header_come_back_exactly(weights: Path) -> None:
    module, header = load(weights)
    assert header == HEADER == checkpoint.read_header(weights)
    assert torch.equal(module.weight, network().weight) and torch.equal(module.bias, network().bias)


def test_half_precision_halves_the_file_and_keeps_three_digits(tmp_path: Path) -> None:
    big = nn.Linear(64, 64)
    for half in (False, True):
        checkpoint.save_weights(tmp_path / f"{half}.safetensors", big, HEADER, half=half)
    full, small = ((tmp_path / f"{half}.safetensors").stat().st_size for half in (False, True))
    assert small < 0.6 * full
    back = nn.Linear(64, 64)
    load(tmp_path / "True.safetensors", network=back)
    assert back.weight.dtype == torch.float32
    assert torch.allclose(back.weight, big.weight, atol=1e-4)


def test_writing_leaves_no_other_file(weights: Path) -> None:
    assert [p.name for p in weights.parent.iterdir()] == ["weights.safetensors"]


def test_file_checksum_is_returned_and_verified(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    digest = checkpoint.save_weights(path, network(), HEADER)
    checkpoint.checksum_file(path).write_text(digest)
    load(path)
    checkpoint.checksum_file(path).write_text("0" * 64)
    with pytest.raises(CheckpointError, match="SHA-256"):
        load(path)


def test_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such weights file"):
        load(tmp_path / "none.safetensors")


@pytest.mark.parametrize("keep", [0, 5, 100, -1])
def test_truncated_file_is_refused(weights: Path, keep: int) -> None:
    weights.write_bytes(weights.read_bytes()[:keep])
    with pytest.raises(CheckpointError, match="safetensors file"):
        load(weights)


def test_changed_value_is_refused(weights: Path) -> None:
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(CheckpointError, match="checksum inside"):
        load(weights)


def test_changed_header_is_refused(weights: Path) -> None:
    content = weights.read_bytes()
    assert content.count(b"0.5") == 1
    weights.write_bytes(content.replace(b"0.5", b"0.9"))
    with pytest.raises(CheckpointError, match="checksum inside"):
        load(weights)


def test_foreign_safetensors_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "foreign.safetensors"
    save_file({"weight": torch.zeros(3)}, path)
    with pytest.raises(CheckpointError, match="format is None"):
        load(path)


def test_other_architecture_is_refused(weights: Path) -> None:
    with pytest.raises(CheckpointError, match="for 'tiny', but 'avsm'"):
        load(weights, architecture="avsm")


@pytest.mark.parametrize(
    ("module", "message"),
    [(nn.Linear(4, 5), "shape"), (nn.Linear(4, 3, bias=False), "unknown"), (nn.Bilinear(4, 4, 3), "shape")],
)
def test_other_tensors_are_refused_and_nothing_is_changed(weights: Path, module: nn.Module, message: str) -> None:
    before = {name: value.clone() for name, value in module.state_dict().items()}
    with pytest.raises(CheckpointError, match=message):
        load(weights, network=module)
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())


def test_unwritable_place_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="cannot be written"):
        checkpoint.save_weights(tmp_path / "file" / "w.safetensors", network(), HEADER)


def state() -> dict[str, torch.Tensor]:
    g = torch.Generator().manual_seed(0)
    return {"a": torch.randn(5, 6, generator=g), "step": torch.tensor(3.0), "rng": torch.get_rng_state()}


def test_state_comes_back_exactly(tmp_path: Path) -> None:
    checkpoint.save_state(tmp_path, state(), {"step": 7, "name": "x"})
    tensors, values = checkpoint.load_state(tmp_path)
    assert values == {"step": 7, "name": "x"}
    assert tensors.keys() == state().keys()
    assert all(torch.equal(tensors[name], value) for name, value in state().items())


def test_large_state_is_cut_into_small_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "_SHARD_BYTES", 1000)
    tensors = {"big": torch.randn(30, 31), "small": torch.randn(3), "more": torch.randn(200)}
    checkpoint.save_state(tmp_path, tensors, {})
    sizes = [p.stat().st_size for p in tmp_path.rglob("*.safetensors")]
    assert len(sizes) > 4 and max(sizes) < 1600
    back, _ = checkpoint.load_state(tmp_path)
    assert all(torch.equal(back[name], value) for name, value in tensors.items())


def test_only_the_last_state_is_kept(tmp_path: Path) -> None:
    for n in range(3):
        checkpoint.save_state(tmp_path, state(), {"step": n})
    assert checkpoint.load_state(tmp_path)[1] == {"step": 2}
    assert len(list(tmp_path.glob("state-*"))) == 1


def test_killed_while_saving_leaves_the_state_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint.save_state(tmp_path, state(), {"step": 1})
    real = checkpoint._replace

    def killed(path: Path, content: bytes) -> None:
        if path.name == "state.json":
            raise KeyboardInterrupt
        real(path, content)

    monkeypatch.setattr(checkpoint, "_replace", killed)
    with pytest.raises(KeyboardInterrupt):
        checkpoint.save_state(tmp_path, state(), {"step": 2})
    assert checkpoint.load_state(tmp_path)[1] == {"step": 1}
    monkeypatch.undo()
    checkpoint.save_state(tmp_path, state(), {"step": 3})
    assert checkpoint.load_state(tmp_path)[1] == {"step": 3}


def test_missing_and_damaged_states_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no training state"):
        checkpoint.load_state(tmp_path)
    checkpoint.save_state(tmp_path, state(), {})
    part = next(tmp_path.rglob("*.safetensors"))
    part.write_bytes(part.read_bytes()[:-2])
    with pytest.raises(CheckpointError, match="SHA-256"):
        checkpoint.load_state(tmp_path)
    part.unlink()
    with pytest.raises(CheckpointError, match="no such"):
        checkpoint.load_state(tmp_path)
    (tmp_path / "state.json").write_text("{")
    with pytest.raises(CheckpointError, match="not valid JSON"):
        checkpoint.load_state(tmp_path)
    (tmp_path / "state.json").write_text(json.dumps({"format": "other"}))
    with pytest.raises(CheckpointError, match="format is 'other'"):
        checkpoint.load_state(tmp_path)
