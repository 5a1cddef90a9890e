"""``train`` and ``prepare-pool`` from the command line."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest
import SimpleITK as sitk
import torch
from click.testing import CliRunner, Result

from JointRegistrationLib.cli import cli
from JointRegistrationLib.core.serialization import to_json
from JointRegistrationLib.networks.checkpoint import read_tensors
from Testing.Support.training_cases import tiny_config


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(a) for a in arguments])


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two subjects a split, by the command itself."""
    from Testing.Support.training_cases import knee_labels

    root = tmp_path_factory.mktemp("pool")
    data = root / "data"
    data.mkdir()
    with (data / "manifest.csv").open("w", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["file", "subject", "split"])
        for split in ("train", "validation"):
            for subject in (1, 2):
                image = sitk.GetImageFromArray(knee_labels().transpose(1, 2, 0))
                image.SetSpacing((3.0, 2.0, 2.0))
                image.SetDirection((-1, 0, 0, 0, -1, 0, 0, 0, 1))
                name = f"{split}_{subject}.nii.gz"
                sitk.WriteImage(image, str(data / name))
                table.writerow([name, subject, split])
    options = ("--simple", 2, "--realistic", 0, "--procedural", 0, "--factors", 1, 1, 1)
    result = run("prepare-pool", data, root / "made", *options)
    assert result.exit_code == 0, result.output
    return root / "made"


def configuration(pool: Path, folder: Path) -> Path:
    config = tiny_config()
    config = replace(config, data=replace(config.data, pool=str(pool), shrink=(2, 2, 2)))
    path = folder / "config.json"
    path.write_text(to_json(config))
    return path


def test_pool_holds_every_scan_and_its_affine(pool: Path) -> None:
    for split in ("train", "validation"):
        assert sorted(p.stem for p in (pool / split).glob("*.safetensors")) == [f"{split}_1", f"{split}_2"]
        assert set(json.loads((pool / split / "affines.json").read_text())) == {f"{split}_1", f"{split}_2"}


def test_a_run_goes_to_its_end_and_resuming_it_changes_nothing(pool: Path, tmp_path: Path) -> None:
    config = configuration(pool, tmp_path)
    first = run("train", "--config", config, "--output-dir", tmp_path / "run")
    assert first.exit_code == 0, first.output
    _, weights = read_tensors(tmp_path / "run" / "last.safetensors")
    again = run("train", "--config", tmp_path / "run" / "config.json", "--output-dir", tmp_path / "run", "--resume")
    assert again.exit_code == 0, again.output
    _, after = read_tensors(tmp_path / "run" / "last.safetensors")
    assert all(torch.equal(after[name], value) for name, value in weights.items())


def test_a_run_is_not_begun_anew_over_an_earlier_one(pool: Path, tmp_path: Path) -> None:
    config = configuration(pool, tmp_path)
    assert run("train", "--config", config, "--output-dir", tmp_path / "run").exit_code == 0
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    again = run("train", "--config", config, "--output-dir", tmp_path / "run", "--updates", 1)
    assert again.exit_code == 2
    assert "holds the state of an earlier run; go on with it (--resume), or choose another folder" in again.output
    assert {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()} == before


def test_a_folder_without_a_manifest_makes_no_pool(tmp_path: Path) -> None:
    refused = run("prepare-pool", tmp_path / "none", tmp_path / "pool")
    assert refused.exit_code == 2
    assert "none: there is no manifest.csv; give the folder" in refused.output
    assert not (tmp_path / "pool").exists()


def test_validate_prints_a_line_a_number_of_steps(pool: Path, tmp_path: Path) -> None:
    config = configuration(pool, tmp_path)
    assert run("train", "--config", config, "--output-dir", tmp_path / "run").exit_code == 0
    options = ("--pool", pool, "--shrink", "2,2,2", "--affine-steps", "1,2", "--vsvf-steps", "1", "--pairs", 2)
    result = run("validate", tmp_path / "run" / "last.safetensors", *options)
    assert result.exit_code == 0, result.output
    lines = [line.split(" | ") for line in result.output.splitlines() if line.startswith("|")][2:]
    assert [line[0] for line in lines] == ["| none", "| affine 1", "| affine 2", "| affine 2, vSVF 1"]
    for line in lines:
        dice, dice_all = (float(value) for value in line[1].rstrip(")").split(" ("))
        assert 0 <= dice <= 1 and 0 < dice_all <= 1
    assert run("validate", "--pool", pool, "--shrink", "2,2").exit_code == 2
    assert run("validate", "--pool", pool, "--vsvf-steps", "x").exit_code == 2
    assert "no such weights file" in run("validate", tmp_path / "none", "--pool", pool).output


def test_options_change_a_configuration(pool: Path, tmp_path: Path) -> None:
    config = configuration(pool, tmp_path)
    assert run("train", "--config", config, "--output-dir", tmp_path / "a", "--updates", 1).exit_code == 0
    options = ("--weights", tmp_path / "a" / "last.safetensors", "--device", "cpu", "--updates", 2, "--pool", pool)
    result = run("train", "--config", config, "--output-dir", tmp_path / "b", *options)
    assert result.exit_code == 0, result.output
    made = json.loads((tmp_path / "b" / "config.json").read_text())
    assert made["optimizer"]["steps"] == 2 and made["device"] == "cpu" and made["data"]["pool"] == str(pool)
    assert made["initial_weights"] == [str(tmp_path / "a" / "last.safetensors")]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "either --config FILE or --preset NAME"),
        (("--preset", "best"), "preset 'best' is unknown"),
        (("--config", "none.json"), "there is no such file"),
        (("--preset", "published-vsvf"), "no pool here"),
    ],
)
def test_what_cannot_be_trained_is_said_in_a_sentence(
    options: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run("train", *options, "--output-dir", tmp_path / "run")
    assert result.exit_code == 2
    assert message in result.output
    assert not (tmp_path / "run").exists()
