"""``joint-registration register``: what goes in, what comes out."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from JointRegistrationLib.cli.shared.progress import shown_progress
from JointRegistrationLib.core.config import DETAIL_WEIGHTS, METHOD_DESCRIPTIONS, RegistrationConfig
from JointRegistrationLib.core.image import Image
from JointRegistrationLib.core.settings import SETTINGS
from JointRegistrationLib.files import read_image, read_labels, read_transform, write_affine, write_image
from JointRegistrationLib.registration import register as register_module
from Testing.Support.cli_cases import ALL_NAMES, FIXED_GRID, MOVING_GRID, FakeRegister, blobs, run, write_inputs
from Testing.Support.transform_grids import GRIDS, PAIRS

SMALL = {
    "preprocess": {"max_working_voxels": 1500},
    "affine": {"levels": [2], "iterations": 6},
    "vsvf": {
        "levels": [2],
        "iterations": 2,
        "similarity": {"name": "ncc"},
        "velocity": {"sigmas_mm": [6.0], "weights": [1.0], "steps": 4},
    },
}


@pytest.fixture
def inputs(tmp_path: Path) -> dict[str, Path]:
    return write_inputs(tmp_path)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeRegister:
    register = FakeRegister()
    monkeypatch.setattr(register_module, "register_inputs", register)
    return register


def test_all_results_are_written(inputs: dict[str, Path], fake: FakeRegister, tmp_path: Path) -> None:
    out = tmp_path / "new" / "out"
    done = run(
        "register", inputs["fixed"], inputs["moving"], "-o", out, "--moving-labels", inputs["moving_labels"]
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert {path.name for path in out.iterdir()} == ALL_NAMES
    assert read_image(out / "warped.nrrd").grid.is_close(FIXED_GRID)
    assert read_image(out / "log2_jacobian.nrrd").array == pytest.approx(1.0)
    assert read_labels(out / "warped_labels.nrrd").array.max() == 2
    points = np.array([[1.0, 2.0, 3.0], [200.0, 0.0, 0.0]])
    assert read_transform(out / "transform.h5").apply(points) - points == pytest.approx(np.array([[2, -1, 0.5]] * 2))
    assert read_transform(out / "inverse_transform.h5").apply(points) - points == pytest.approx(
        np.array([[-2, 1, -0.5]] * 2)
    )
    assert read_transform(out / "affine.tfm").matrix_ras[:3, 3] == pytest.approx((2, -1, 0.5))


def test_metrics_hold_the_summary_scores_versions_and_settings(
    inputs: dict[str, Path], fake: FakeRegister, tmp_path: Path
) -> None:
    done = run(
        "register", inputs["fixed"], inputs["moving"], "-o", tmp_path / "out",
        "--moving-labels", inputs["moving_labels"], "--fixed-labels", inputs["fixed_labels"],
        "--landmarks-fixed", inputs["fixed_points"], "--landmarks-moving", inputs["moving_points"],
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["ncc_after"] == 0.9
    assert metrics["inverse_error_max_mm"] is None, "JSON has no NaN"
    assert set(metrics["labels"]) == {"1", "2"}
    for scores in metrics["labels"].values():
        assert scores["after"]["dice"] > scores["before"]["dice"]
        assert scores["after"]["hd95_mm"] <= scores["before"]["hd95_mm"]
        assert scores["after"]["assd_mm"] < scores["before"]["assd_mm"]
    assert metrics["landmarks"]["tre_before_mean_mm"] == pytest.approx(np.sqrt(5.25))
    assert metrics["landmarks"]["tre_after_mean_mm"] == pytest.approx(0, abs=1e-5)
    assert metrics["landmarks"]["count"] == 4
    assert metrics["peak_memory_mb"] > 50
    assert metrics["inputs"]["fixed"] == str(inputs["fixed"])
    assert set(metrics["versions"]) == {"joint-registration", "python", "torch", "SimpleITK", "numpy"}
    assert metrics["config"]["method"] == RegistrationConfig().method
    for said in ("0.500 -> 0.900", "Dice, label 1", "2.29 -> 0.00 mm", "note: a note", "written to"):
        assert said in done.stdout


def test_inputs_are_named_by_where_they_are_whatever_folder_the_command_was_given_in(
    inputs: dict[str, Path], fake: FakeRegister, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("register", inputs["fixed"].name, inputs["moving"].name, "-o", "out").exit_code == 0
    named = json.loads((tmp_path / "out" / "metrics.json").read_text())["inputs"]
    assert named == {
        "fixed": str(inputs["fixed"]),
        "moving": str(inputs["moving"]),
        "output_dir": str(tmp_path / "out"),
    }


def test_every_option_reaches_the_registration(inputs: dict[str, Path], fake: FakeRegister, tmp_path: Path) -> None:
    matrix = np.eye(4)
    matrix[:3, 3] = (1, 2, 3)
    write_affine(tmp_path / "start.tfm", matrix)
    (tmp_path / "config.json").write_text(json.dumps({**SMALL, "device": "auto", "method": "vsvf-opt"}))
    done = run(
        "register", inputs["fixed"], inputs["moving"], "-o", tmp_path / "out",
        "--fixed-mask", inputs["fixed_labels"], "--moving-mask", inputs["moving_labels"],
        "--landmarks-fixed", inputs["fixed_points"], "--landmarks-moving", inputs["moving_points"],
        "--initial-transform", tmp_path / "start.tfm", "--config", tmp_path / "config.json",
        "--method", "affine-opt", "--device", "cpu",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    given = fake.given
    assert given["fixed"].grid.is_close(FIXED_GRID)
    assert given["moving"].grid.is_close(MOVING_GRID)
    assert set(np.unique(given["fixed_mask"].array)) == {0, 1}
    assert given["moving_mask"].grid.is_close(MOVING_GRID)
    assert given["landmarks"].moving_ras[1] == pytest.approx((9, -6, 4.5))
    assert given["initial_affine_ras"] == pytest.approx(matrix)
    assert given["config"].affine.iterations == 6
    assert (given["config"].method, given["config"].device) == ("affine-opt", "cpu"), "options go before the file"
    assert given["cancelled"]() is False


def test_an_earlier_transform_and_the_landmarks_weight_reach_the_registration(
    inputs: dict[str, Path], fake: FakeRegister, tmp_path: Path
) -> None:
    common = (inputs["fixed"], inputs["moving"], "--method", "vsvf-opt")
    assert run("register", *common, "-o", tmp_path / "first").exit_code == 0
    start = tmp_path / "first" / "transform.h5"
    done = run("register", *common, "-o", tmp_path / "o", "--start-transform", start, "--landmark-weight", "0.5")
    assert done.exit_code == 0, done.output
    initial = fake.given["initial"]
    assert initial.displacement_field_mm == pytest.approx(np.broadcast_to([2, -1, 0.5], (*FIXED_GRID.shape, 3)))
    assert initial.affine_ras[:3, 3] == pytest.approx((2, -1, 0.5)), "the affine part that the file keeps apart"
    assert fake.given["config"].landmarks.weight == 0.5
    both = run("register", *common, "-o", tmp_path / "p", "--start-transform", start, "--initial-transform", start)
    assert both.exit_code == 2 and "not both" in both.output


def test_detail_is_the_kernel_of_that_name_and_leaves_other_settings(
    inputs: dict[str, Path], fake: FakeRegister, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text('{"vsvf": {"velocity": {"steps": 7}, "regularity": 3}}')
    common = ("register", inputs["fixed"], inputs["moving"], "--config", tmp_path / "config.json")
    assert run(*common, "-o", tmp_path / "o", "--detail", "smooth").exit_code == 0
    vsvf = fake.given["config"].vsvf
    assert (vsvf.velocity.weights, vsvf.velocity.steps, vsvf.regularity) == (DETAIL_WEIGHTS["smooth"], 7, 3)
    assert run(*common, "-o", tmp_path / "p").exit_code == 0
    assert fake.given["config"].vsvf.velocity.weights == DETAIL_WEIGHTS["fine"]
    unknown = run(*common, "-o", tmp_path / "q", "--detail", "coarse")
    assert unknown.exit_code == 2 and "'fine', 'smooth'" in unknown.output


def test_a_file_of_settings_is_kept_where_no_option_says_otherwise(
    inputs: dict[str, Path], fake: FakeRegister, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text('{"method": "affine-opt", "device": "cpu"}')
    assert run(
        "register", inputs["fixed"], inputs["moving"], "-o", tmp_path / "o", "--config", tmp_path / "config.json"
    ).exit_code == 0  # fmt: skip
    assert (fake.given["config"].method, fake.given["config"].device) == ("affine-opt", "cpu")


def test_options_of_the_networks_go_before_the_file(
    inputs: dict[str, Path], fake: FakeRegister, tmp_path: Path
) -> None:
    settings = {"method": "avsm", "network": {"side": "left", "refine": 9, "affine_steps": 3}}
    (tmp_path / "config.json").write_text(json.dumps(settings))
    command = ("register", inputs["fixed"], inputs["moving"], "-o", tmp_path / "o", "--overwrite")

    def network(*options: object) -> tuple[str, int, int]:
        assert run(*command, "--config", tmp_path / "config.json", *options).exit_code == 0
        assert fake.given["config"].method == "avsm"
        found = fake.given["config"].network
        return found.side, found.refine, found.affine_steps

    assert network() == ("left", 9, 3)
    assert network("--refine", 0) == ("left", 0, 3)
    assert network("--refine", 20, "--side", "right") == ("right", 20, 3)


def test_every_setting_of_the_table_is_an_option(inputs: dict[str, Path], fake: FakeRegister, tmp_path: Path) -> None:
    options = ("--similarity", "mk-lncc", "--regularity", 3, "--vsvf-steps", 3, "--working-millions", 0.5)
    done = run("register", inputs["fixed"], inputs["moving"], "-o", tmp_path / "out", *options)
    assert done.exit_code == 0, done.output
    config = fake.given["config"]
    assert (config.vsvf.similarity.name, config.vsvf.regularity, config.network.vsvf_steps) == ("mk-lncc", 3.0, 3)
    assert config.preprocess.max_working_voxels == 500_000
    shown = run("register", "--help").stdout
    assert all(f"--{name.replace('_', '-')}" in shown for name in SETTINGS)


def test_help_says_what_each_method_does() -> None:
    shown = " ".join(run("register", "--help").stdout.split())
    for method, what in METHOD_DESCRIPTIONS.items():
        assert f"{method} {what}" in shown
    assert f"{RegistrationConfig().method} if not given" in shown


def test_quiet_prints_nothing(inputs: dict[str, Path], fake: FakeRegister, tmp_path: Path) -> None:
    done = run("register", inputs["fixed"], inputs["moving"], "-o", tmp_path / "out", "--quiet")
    assert done.exit_code == 0
    assert done.output == ""
    assert fake.given["progress"] is None


def test_without_a_terminal_each_stage_is_one_line(inputs: dict[str, Path], fake: FakeRegister, tmp_path: Path) -> None:
    done = run("register", inputs["fixed"], inputs["moving"], "-o", tmp_path / "out")
    assert done.stderr.splitlines() == ["affine (10 %)", "finishing (100 %)"]


def test_on_a_terminal_there_is_a_bar_with_stage_and_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with shown_progress(quiet=False) as progress:
        assert progress is not None
        progress("affine", 0.1, None)
        progress("deformable", 0.5, 0.25)
        progress("finishing", 1.0, None)
    shown = terminal.getvalue()
    assert "100%" in shown
    assert "finishing" in shown
    assert "loss 0.2500" in shown


def test_earlier_results_are_replaced_only_on_request(
    inputs: dict[str, Path], fake: FakeRegister, tmp_path: Path
) -> None:
    command = ("register", inputs["fixed"], inputs["moving"], "-o", tmp_path / "out")
    assert run(*command, "--moving-labels", inputs["moving_labels"]).exit_code == 0
    refused = run(*command)
    assert refused.exit_code == 2
    assert "already holds warped.nrrd" in refused.stderr
    assert "--overwrite" in refused.stderr
    assert run(*command, "--overwrite").exit_code == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == ALL_NAMES - {"warped_labels.nrrd"}


@pytest.mark.parametrize(("fixed_name", "moving_name"), PAIRS)
def test_simpleitk_resamples_with_the_saved_transform_to_the_saved_image(
    fixed_name: str, moving_name: str, tmp_path: Path
) -> None:
    """A real run; SimpleITK is given nothing but the files."""
    fixed_grid, moving_grid = GRIDS[fixed_name], GRIDS[moving_name]
    write_image(Image(blobs(fixed_grid), fixed_grid), tmp_path / "fixed.nii.gz")
    write_image(Image(blobs(moving_grid, (3.0, -2.0, 1.0)), moving_grid), tmp_path / "moving.nrrd")
    (tmp_path / "config.json").write_text(json.dumps(SMALL))
    out = tmp_path / "out"
    done = run(
        "register", tmp_path / "fixed.nii.gz", tmp_path / "moving.nrrd", "-o", out,
        "--config", tmp_path / "config.json", "--device", "cpu",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["ncc_after"] > metrics["ncc_before"]

    fixed, moving = (sitk.ReadImage(str(tmp_path / name)) for name in ("fixed.nii.gz", "moving.nrrd"))
    transform = sitk.ReadTransform(str(out / "transform.h5"))
    theirs = sitk.GetArrayFromImage(sitk.Resample(moving, fixed, transform, sitk.sitkLinear, 0.0))
    ours = sitk.GetArrayFromImage(sitk.ReadImage(str(out / "warped.nrrd")))
    ones = sitk.Cast(moving * 0 + 1, sitk.sitkFloat32)
    inside = sitk.GetArrayFromImage(sitk.Resample(ones, fixed, transform, sitk.sitkLinear, 0.0)) > 0.999
    assert inside.mean() > 0.3
    close = np.abs(ours - theirs)[inside] <= 1e-3 * np.ptp(sitk.GetArrayFromImage(moving))
    assert close.mean() >= 0.999

    there, back = (read_transform(out / name) for name in ("transform.h5", "inverse_transform.h5"))
    points = np.random.default_rng(2).uniform(-8, 8, (200, 3))
    errors = np.linalg.norm(back.apply(there.apply(points)) - points, axis=1)
    assert errors.mean() < 0.1 * min(fixed_grid.spacing_mm)
