"""``joint-registration info``: a file in plain words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from JointRegistrationLib.core.image import Image
from JointRegistrationLib.files import write_affine, write_displacement_field, write_image, write_transform
from JointRegistrationLib.registration import register
from Testing.Support.cli_cases import MOVING_GRID, FakeRegister, positions, run, write_inputs


def told(path: Path) -> str:
    done = run("info", path)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_an_image(tmp_path: Path) -> None:
    text = told(write_inputs(tmp_path)["moving"])
    assert "moving.nrrd: 3D image, float32" in text
    assert "16 x 18 x 15 voxels" in text
    assert "2.2 x 1.9 x 2.4 mm" in text
    assert "LPS: towards left, posterior, superior" in text
    assert "oblique" not in text


def test_a_label_map_with_volumes(tmp_path: Path) -> None:
    values = np.zeros(MOVING_GRID.shape, np.float32)
    values[2, 3, 4:9] = 3
    write_image(Image(values, MOVING_GRID), tmp_path / "l.nrrd")
    text = told(tmp_path / "l.nrrd")
    assert "may be a label map" in text
    assert "label 3      5 voxels, 0.05016 ml" in text


def test_an_image_with_nan_is_described_all_the_same(tmp_path: Path) -> None:
    values = np.zeros(MOVING_GRID.shape, np.float32)
    values[0, 0, :2] = np.nan
    write_image(Image(values, MOVING_GRID), tmp_path / "a.nrrd")
    assert "2 of them NaN or infinite" in told(tmp_path / "a.nrrd")


def test_an_affine_transform(tmp_path: Path) -> None:
    matrix = np.diag([1.1, 1.1, 1.1, 1.0])
    matrix[:3, :3] = matrix[:3, :3] @ [[0, -1, 0], [1, 0, 0], [0, 0, 1]]
    matrix[:3, 3] = (1, 2, 3)
    write_affine(tmp_path / "a.tfm", matrix)
    text = told(tmp_path / "a.tfm")
    assert "turns by 90.00 degrees, scales by 1.1000, 1.1000, 1.1000, shifts by 1.00, 2.00, 3.00 mm" in text


@pytest.mark.parametrize("name", ["t.h5", "d.nrrd", "d.nii.gz"])
def test_a_displacement_field(name: str, tmp_path: Path) -> None:
    field = np.zeros((*MOVING_GRID.shape, 3), np.float32)
    field[..., 0] = np.where(positions(MOVING_GRID)[..., 0] > 0, 4.0, 0.0)
    if name == "t.h5":
        write_transform(tmp_path / name, field, MOVING_GRID, np.eye(4))
    else:
        write_displacement_field(tmp_path / name, field, MOVING_GRID)
    text = told(tmp_path / name)
    assert "DisplacementFieldTransform" in text
    assert "16 x 18 x 15 voxels" in text
    assert "at most 4.00 mm" in text


def test_landmarks(tmp_path: Path) -> None:
    text = told(write_inputs(tmp_path)["fixed_points"])
    assert "4 landmarks" in text
    assert "R -8.0 to 7.0, A -5.0 to 6.0, S -6.0 to 4.0 mm" in text


@pytest.mark.parametrize("name", ["", "metrics.json"])
def test_a_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(register, "register_inputs", FakeRegister())
    inputs = write_inputs(tmp_path)
    assert run("register", inputs["fixed"], inputs["moving"], "-o", tmp_path / "out").exit_code == 0
    text = told(tmp_path / "out" / name)
    assert f"{tmp_path / 'out'}: a run of avsm" in text
    assert f"fixed        {inputs['fixed']}" in text
    assert "NCC 0.5 -> 0.9" in text
    assert "note         a note" in text


@pytest.mark.parametrize("name", ["none.nii.gz", "none.h5", "none.csv", "none.xyz"])
def test_a_missing_file(name: str, tmp_path: Path) -> None:
    done = run("info", tmp_path / name)
    assert done.exit_code == 2
    assert done.stderr.startswith("Error: ")
    assert name in done.stderr
    assert len(done.stderr.splitlines()) == 1
