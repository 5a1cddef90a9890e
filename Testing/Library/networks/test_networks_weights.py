"""Weights of a package: joined from runs, loaded whole, refused when damaged."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from JointRegistrationLib.cli import cli
from JointRegistrationLib.core.errors import CheckpointError
from JointRegistrationLib.networks import checkpoint
from JointRegistrationLib.networks.checkpoint import checksum_file
from JointRegistrationLib.networks.weights import load_model
from JointRegistrationLib.training.loop import Trainer
from JointRegistrationLib.training.record.parts import export
from Testing.Support.training_cases import tiny_config, tiny_pool

POOL = tiny_pool(2)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Weights of an affine and of a vSVF run of one update each."""
    files = {}
    for stage in ("affine", "vsvf"):
        folder = tmp_path_factory.mktemp(stage)
        run = Trainer(tiny_config(stage), folder, POOL, POOL)
        run.start()
        run.update()
        run.save()
        files[stage] = folder / "last.safetensors"
    return files


def exported(runs: dict[str, Path], folder: Path, *, half: bool) -> Path:
    path = folder / "avsm.safetensors"
    export([runs["affine"], runs["vsvf"]], path, data="made up", figures={"dice": 0.5}, half=half)
    return path


def test_each_part_gives_what_its_run_trained(runs: dict[str, Path], tmp_path: Path) -> None:
    model, header = load_model(exported(runs, tmp_path, half=False))
    assert not model.training
    assert header.data == "made up" and header.figures["dice"] == 0.5
    assert [h["trained"] for h in header.figures["history"]] == [["affine."], ["momentum."]]
    for stage, beginning in (("affine", "affine."), ("vsvf", "momentum.")):
        _, tensors = checkpoint.read_tensors(runs[stage])
        for name, value in model.state_dict().items():
            if name.startswith(beginning):
                assert torch.equal(value, tensors[name])


def test_half_precision_predicts_the_same_within_a_hundredth_of_a_millimetre(
    runs: dict[str, Path], tmp_path: Path
) -> None:
    (tmp_path / "half").mkdir()
    models = [load_model(exported(runs, tmp_path / part, half=bool(part)))[0] for part in ("", "half")]
    moving, fixed = torch.rand(2, 1, 1, *POOL.grid.shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        full, half = (model(moving, fixed, POOL.grid).map_ras for model in models)
    assert (full - half).abs().max() < 0.01


def test_damaged_or_missing_weights_are_refused(runs: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such weights file"):
        load_model(tmp_path / "none.safetensors")
    path = exported(runs, tmp_path, half=True)
    checksum_file(path).write_text("0" * 64)
    with pytest.raises(CheckpointError, match="SHA-256"):
        load_model(path)


def test_weights_of_another_architecture_or_version_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    checkpoint.save_weights(path, torch.nn.Linear(2, 2), checkpoint.Header("other"))
    with pytest.raises(CheckpointError, match="'other'"):
        load_model(path)
    checkpoint.save_weights(path, torch.nn.Linear(2, 2), checkpoint.Header("avsm", {"warp_factor": 9}))
    with pytest.raises(CheckpointError, match="another version"):
        load_model(path)


def test_command_writes_file_and_checksum(runs: dict[str, Path], tmp_path: Path) -> None:
    output = tmp_path / "w.safetensors"
    result = CliRunner().invoke(cli, ["export-weights", str(runs["vsvf"]), "--output", str(output)])
    assert result.exit_code == 0, result.output
    assert checksum_file(output).read_text().split() == [result.output.strip(), "w.safetensors"]
