"""``joint-registration report``: hands its arguments over, or says what is missing; results are read back."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from JointRegistrationLib.core.config import RegistrationConfig
from JointRegistrationLib.core.errors import FileError
from JointRegistrationLib.core.image import Image
from JointRegistrationLib.core.result import LandmarkErrors, RegistrationResult
from JointRegistrationLib.core.serialization import to_dict
from JointRegistrationLib.files import RESULT_NAMES, output_folder, read_metrics, read_result, write_result
from Testing.Support.cli_cases import FIXED_GRID, MOVING_GRID, blobs, fake_result, run


def _result() -> RegistrationResult:
    fixed, moving = Image(blobs(FIXED_GRID), FIXED_GRID), Image(blobs(MOVING_GRID), MOVING_GRID)
    result = fake_result(fixed, moving, RegistrationConfig(method="vsvf-opt"), np.array([2.0, -1.0, 0.5]))
    return dataclasses.replace(result, landmark_errors_mm=LandmarkErrors(("a",), (3.5,), (0.25,)))


def test_a_written_result_is_read_back(tmp_path: Path) -> None:
    result = _result()
    with output_folder(tmp_path, RESULT_NAMES) as folder:
        write_result(result, folder, {**result.summary(), "config": to_dict(result.config)})
    back = read_result(tmp_path, MOVING_GRID)
    assert back.fixed_grid.is_close(FIXED_GRID)
    for name in ("displacement_field_mm", "inverse_displacement_field_mm", "jacobian_determinant", "warped"):
        np.testing.assert_allclose(getattr(back, name), getattr(result, name), atol=1e-4, err_msg=name)
    for name in ("folds", "config", "notes", "timings_s", "landmark_errors_mm", "similarity_after"):
        assert getattr(back, name) == getattr(result, name), name
    assert np.isnan(back.inverse_error_max_mm), "null in the file"


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"no metrics.json; give the folder"):
        read_result(tmp_path, MOVING_GRID)
    (tmp_path / "metrics.json").write_text('{"a": 1}')
    with pytest.raises(FileError, match=r"incomplete, made by an interrupted run or by hand"):
        read_result(tmp_path, MOVING_GRID)
    with output_folder(tmp_path / "other", ("metrics.json",)) as folder:
        (folder / "metrics.json").write_text('{"a": 1}')
    with pytest.raises(FileError, match=r"not the metrics.json of a run"):
        read_result(tmp_path / "other", MOVING_GRID)


def test_a_file_of_another_run_is_not_believed(tmp_path: Path) -> None:
    """Of the same size: only its content tells."""
    result = _result()
    for name, shift in (("a", 0.0), ("b", 1.0)):
        with output_folder(tmp_path / name, RESULT_NAMES) as folder:
            values = {**result.summary(), "config": to_dict(result.config)}
            write_result(dataclasses.replace(result, warped=result.warped + shift), folder, values)
    ours, theirs = tmp_path / "a" / "warped.nrrd", tmp_path / "b" / "warped.nrrd"
    ours.write_bytes(theirs.read_bytes())
    with pytest.raises(FileError, match=r"warped.nrrd: is not the file that this run wrote; the folder mixes two runs"):
        read_result(tmp_path / "a", MOVING_GRID)
    ours.unlink()
    with pytest.raises(FileError, match=r"warped.nrrd: is not there any more"):
        read_result(tmp_path / "a", MOVING_GRID)
    assert read_metrics(tmp_path / "a")["ncc_after"] == result.similarity_after


def _installed(monkeypatch: pytest.MonkeyPatch, missing: str = "") -> None:
    monkeypatch.setattr(
        sys.modules["JointRegistrationLib.cli.report"],
        "importlib",
        SimpleNamespace(util=SimpleNamespace(find_spec=lambda name: None if name == missing else 1)),
    )


@pytest.mark.parametrize(
    ("missing", "sentence"),
    [("slicer", "pip install slicer-core"), ("JointRegistrationViews", "PYTHONPATH=.:JointRegistration")],
)
def test_what_is_missing_for_drawing_is_said(
    missing: str, sentence: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _installed(monkeypatch, missing)
    done = run("report", tmp_path)
    assert done.exit_code == 4
    assert sentence in done.output


def test_the_options_reach_the_view_layer_and_its_exit_code_comes_back(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _installed(monkeypatch)
    called: list[list[str]] = []
    views = Path("extension", "JointRegistrationViews", "__init__.py")
    spec = SimpleNamespace(origin=str(views))
    monkeypatch.setattr(sys.modules["JointRegistrationLib.cli.report"].importlib.util, "find_spec", lambda name: spec)

    def start(command: list[str], check: bool, env: dict[str, str]) -> SimpleNamespace:
        called.append(command)
        assert env["PYTHONPATH"].split(os.pathsep)[-1] == str(views.parents[1])
        return SimpleNamespace(returncode=2)

    monkeypatch.setattr(subprocess, "run", start)
    done = run("report", "out", "-o", "page.html", "--fixed", "a.nrrd")
    assert done.exit_code == 2
    assert called[0][3:] == [
        "JointRegistrationViews.demo.run_report",
        "out",
        "--output",
        "page.html",
        "--fixed",
        "a.nrrd",
    ]
