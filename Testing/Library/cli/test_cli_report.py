"""``joint-registration report``: hands over to the view layer, or says what is missing; results are read back."""

from __future__ import annotations

import dataclasses
import sys
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from JointRegistrationLib.core.config import RegistrationConfig
from JointRegistrationLib.core.errors import FileError, ResourceError
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


@pytest.mark.parametrize(
    ("module", "package"), [("slicer", "slicer-core"), ("JointRegistrationDemo", "JointRegistrationDemo")]
)
def test_what_is_missing_for_drawing_is_said(
    module: str, package: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    there = SimpleNamespace(util=SimpleNamespace(find_spec=lambda name: None if name == module else 1))
    monkeypatch.setattr(sys.modules["JointRegistrationLib.cli.report"], "importlib", there)
    done = run("report", tmp_path)
    assert done.exit_code == ResourceError.exit_code
    assert f"are not installed here: {package}; " in done.output and 'pip install ".[scene]"' in done.output


@pytest.mark.skipif(find_spec("slicer") is None, reason="slicer-core is not installed")
def test_options_may_stand_after_the_folder_and_reach_the_view_layer(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from JointRegistrationDemo import run_report

    called: list[tuple[Path | None, ...]] = []
    monkeypatch.setattr(run_report, "writeRunReport", lambda *given: called.append(given))
    done = run("report", "out", "-o", tmp_path / "page.html", "--fixed", "a.nrrd")
    assert done.exit_code == 0, done.output
    assert called == [(Path("out"), tmp_path / "page.html", Path("a.nrrd"), None)]
    assert str(tmp_path / "page.html") in done.output.replace("\n", "")


@pytest.mark.skipif(find_spec("slicer") is None, reason="slicer-core is not installed")
def test_a_missing_run_is_told_in_a_sentence(tmp_path: Path) -> None:
    done = run("report", tmp_path, "--output", tmp_path / "page.html")
    assert done.exit_code == FileError.exit_code
    assert "no metrics.json" in done.output
    assert not (tmp_path / "page.html").exists()
