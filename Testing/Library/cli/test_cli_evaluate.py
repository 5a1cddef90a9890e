"""``evaluate``: pairs and methods read, rows scored and kept, the summary, and every way it can be told off."""

from __future__ import annotations

import csv
import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from click.testing import Result

from JointRegistrationLib.core.config import NetworkConfig, RegistrationConfig
from JointRegistrationLib.core.errors import ConfigError, InputError
from JointRegistrationLib.core.image import Image
from JointRegistrationLib.core.inputs import RegistrationInputs
from JointRegistrationLib.evaluation.methods import parse_methods
from JointRegistrationLib.evaluation.run import score_labels
from JointRegistrationLib.evaluation.table import ResultTable, summary
from JointRegistrationLib.files import read_labels, write_labels
from JointRegistrationLib.files.csv_cells import text_of
from JointRegistrationLib.ops.maps import affine_map, identity
from JointRegistrationLib.registration import register as register_module
from Testing.Support.cli_cases import FIXED_GRID, MOVING_GRID, FakeRegister, blobs, run, write_inputs
from Testing.Support.patience import patient

ROOT = Path(__file__).resolve().parents[3]
FAST = '{"affine": {"levels": [2], "iterations": 3, "initialization": "identity", "model": "rigid"}}'
COLUMNS = "group,moving,fixed,moving_labels,fixed_labels"


def nested(values: np.ndarray) -> np.ndarray:
    """Labels 1, 2 and 4, one inside the other."""
    return ((values > 15).astype(np.uint8) + (values > 30) + 2 * (values > 50)).astype(np.uint8)


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """Two pairs in two groups: moving to fixed, and fixed to itself."""
    write_inputs(tmp_path)
    write_labels(Image(nested(blobs(FIXED_GRID)), FIXED_GRID), tmp_path / "fixed_labels.nii.gz")
    write_labels(Image(nested(blobs(MOVING_GRID, (2.0, -1.0, 0.5))), MOVING_GRID), tmp_path / "moving_labels.nrrd")
    (tmp_path / "fast.json").write_text(FAST)
    path = tmp_path / "pairs.csv"
    lines = [
        COLUMNS,
        "near,moving.nrrd,fixed.nii.gz,moving_labels.nrrd,fixed_labels.nii.gz",
        "same,fixed.nii.gz,fixed.nii.gz,fixed_labels.nii.gz,fixed_labels.nii.gz",
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


def evaluate(pairs: Path, methods: str, *options: object):
    folder = pairs.parent
    return run(
        "evaluate", pairs, "--methods", methods, "-o", folder / "t.csv", "--config", folder / "fast.json", *options
    )


def rows(pairs: Path) -> list[dict[str, str]]:
    with (pairs.parent / "t.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


# -- what comes out -----------------------------------------------------------------------------------------


def test_every_method_gets_a_scored_row_for_every_pair(pairs: Path) -> None:
    done = evaluate(pairs, "none,affine-opt", "--device", "cpu")
    assert done.exit_code == 0, done.output
    found = {(row["group"], row["pair"], row["method"]): row for row in rows(pairs)}
    assert list(found) == [
        (group, pair, method)
        for group, pair in (("near", "moving > fixed"), ("same", "fixed > fixed"))
        for method in ("none", "affine-opt")
    ]
    before, after = (found["near", "moving > fixed", method] for method in ("none", "affine-opt"))
    assert float(after["dice_cartilage"]) > float(before["dice_cartilage"]) + 0.05
    assert float(after["assd_mm_1"]) < float(before["assd_mm_1"])
    assert float(after["ncc"]) > float(before["ncc"])
    assert float(after["seconds"]) > 0 and float(before["seconds"]) == 0
    assert float(after["peak_memory_mb"]) > 50
    untouched = found["same", "fixed > fixed", "none"]
    assert {untouched[name] for name in ("dice_1", "dice_2", "dice_4", "dice_cartilage", "dice_bones", "ncc")} == {"1"}
    assert {untouched[name] for name in ("hd95_mm_2", "assd_mm_4", "folds", "inverse_error_mean_mm")} == {"0"}


def test_scores_without_registration_are_those_of_simpleitk(pairs: Path) -> None:
    """The moving labels resampled by ITK's own label interpolator, overlap by ITK's own filter."""
    evaluate(pairs, "none")
    fixed, moving = (
        sitk.ReadImage(str(pairs.parent / f"{n}_labels{s}")) for n, s in (("fixed", ".nii.gz"), ("moving", ".nrrd"))
    )
    resampled = sitk.Resample(moving, fixed, sitk.Transform(), sitk.sitkLabelLinear, 0)
    overlap = sitk.LabelOverlapMeasuresImageFilter()
    overlap.Execute(fixed, resampled)
    for label in (1, 2, 4):
        assert float(rows(pairs)[0][f"dice_{label}"]) == pytest.approx(overlap.GetDiceCoefficient(label), abs=0.02)


def test_cartilage_is_the_mean_of_labels_2_and_4_and_bones_of_1_3_5() -> None:
    array = nested(blobs(FIXED_GRID))
    labels = Image(array, FIXED_GRID)
    shift = np.eye(4)
    shift[0, 3] = 2.0  # one voxel
    scores = score_labels(labels, labels, affine_map(shift, FIXED_GRID, identity(FIXED_GRID)))
    moved = np.zeros_like(array)
    moved[:, :, :-1] = array[:, :, 1:]

    def dice(label: int) -> float:
        return 2 * np.sum((array == label) & (moved == label)) / (np.sum(array == label) + np.sum(moved == label))

    assert scores["dice_cartilage"] == pytest.approx((dice(2) + dice(4)) / 2)
    assert scores["dice_bones"] == pytest.approx(dice(1))
    assert 0 < scores["dice_cartilage"] < 1


def test_summary_gives_mean_and_deviation_of_each_method_and_group() -> None:
    def row(group: str, method: str, dice: str, folds: str, seconds: str) -> dict[str, str]:
        return {"group": group, "method": method, "dice_cartilage": dice, "folds": folds, "seconds": seconds}

    text = summary(
        [
            row("longitudinal", "none", "0.5", "0", "0"),
            row("cross-subject", "none", "0.1", "0", "0"),
            row("cross-subject", "none", "0.2", "0", "0"),
            row("cross-subject", "none", "0.6", "0", "0"),
            row("longitudinal", "avsm", "0.8", "3", "1.5"),
            row("longitudinal", "avsm", "0.9", "5", "2.5"),
        ]
    )
    # By hand: 10, 20, 60 have mean 30 and squared distances 400 + 100 + 900; half of that is 700 = 26.46^2.
    # 80, 90: mean 85, deviation sqrt(50) = 7.07; 3, 5: 4 and sqrt(2); 1.5, 2.5: 2 and sqrt(0.5).
    assert text.splitlines()[2:] == [
        "| none | 1 | 50.0 (-) | 0.0 (-) | 0.0 (-) | 3 | 30.0 (26.5) | 0.0 (0.0) | 0.0 (0.0) |",
        "| avsm | 2 | 85.0 (7.1) | 4.0 (1.4) | 2.0 (0.7) | 0 | - | - | - |",
    ]
    assert text.startswith(
        "| method | longitudinal: pairs | cartilage Dice, % | folds | seconds | cross-subject: pairs |"
    )


def test_the_summary_of_the_whole_table_is_printed(pairs: Path) -> None:
    evaluate(pairs, "none")
    done = evaluate(pairs, "affine-opt")
    table = [line for line in done.stdout.splitlines() if line.startswith("|")]
    assert [line.split("|")[1].strip() for line in table] == ["method", "---", "none", "affine-opt"]
    assert table == summary(rows(pairs)).splitlines()


# -- going on -----------------------------------------------------------------------------------------------


def test_finished_rows_are_kept_and_a_half_written_one_is_made_again(
    pairs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def counted(inputs: RegistrationInputs, config: RegistrationConfig, *given: Any):
        calls.append(config.method)
        return FakeRegister()(inputs, config, *given)

    monkeypatch.setattr(register_module, "register_inputs", counted)
    assert evaluate(pairs, "none,vsvf-opt").exit_code == 0
    table = pairs.parent / "t.csv"
    lines = table.read_text().splitlines(keepends=True)
    kept = "".join(lines[:3])
    table.write_text(kept + lines[3][: len(lines[3]) // 2])
    calls.clear()
    assert evaluate(pairs, "none,vsvf-opt").exit_code == 0
    assert table.read_text().startswith(kept)
    assert calls == ["vsvf-opt"]  # the second pair's; its "none" was the half-written row
    assert [(row["group"], row["method"]) for row in rows(pairs)] == [
        ("near", "none"),
        ("near", "vsvf-opt"),
        ("same", "none"),
        ("same", "vsvf-opt"),
    ]
    assert rows(pairs)[3]["notes"] == "a note"


def test_a_finished_table_is_not_touched(pairs: Path) -> None:
    evaluate(pairs, "none")
    before = (pairs.parent / "t.csv").read_bytes()
    assert evaluate(pairs, "none").exit_code == 0
    assert (pairs.parent / "t.csv").read_bytes() == before


def test_a_name_with_several_spaces_is_found_again(pairs: Path) -> None:
    fixed = (pairs.parent / "fixed.nii.gz").rename(pairs.parent / "left  knee.nii.gz")
    pairs.write_text(f"{COLUMNS}\n{ROW.replace('fixed.nii.gz', fixed.name, 1)}\n".replace("near,", "very  near,"))
    assert evaluate(pairs, "none").exit_code == 0
    before = (pairs.parent / "t.csv").read_bytes()
    assert evaluate(pairs, "none").exit_code == 0
    assert (pairs.parent / "t.csv").read_bytes() == before
    assert [(row["group"], row["pair"]) for row in rows(pairs)] == [("very near", "moving > left knee")]


def test_a_row_is_never_there_twice(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    row = {"group": "a", "pair": "p", "method": "none", "ncc": 0.5}
    ResultTable(path, (1,)).append(row)
    before = path.read_text()
    ResultTable(path, (1,)).append({**row, "ncc": 0.75})
    assert path.read_text() == before
    path.write_text(before + before.splitlines(keepends=True)[1])  # as two runs at once once wrote it
    assert len(ResultTable(path, (1,)).rows) == 1


def test_a_second_evaluation_into_a_table_is_refused_while_the_first_one_runs(
    pairs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    second: list[Result] = []

    def register(*given: Any):
        second.append(evaluate(pairs, "none"))
        return FakeRegister()(*given)

    monkeypatch.setattr(register_module, "register_inputs", register)
    assert evaluate(pairs, "vsvf-opt").exit_code == 0
    assert [done.exit_code for done in second] == [2, 2]
    assert "t.csv: another run is writing to it at the moment" in second[0].stderr
    assert [row["method"] for row in rows(pairs)] == ["vsvf-opt", "vsvf-opt"]
    assert not list(pairs.parent.glob(".*lock"))


@pytest.mark.parametrize(
    ("given", "cell"),
    [("=1+1", "'=1+1"), ("+a", "'+a"), ("-a", "'-a"), ("@SUM(1)", "'@SUM(1)"), ("-0.5", "-0.5"), ("a=1", "a=1")],
)
def test_names_do_not_become_formulas_and_numbers_stay_numbers(given: str, cell: str, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    row = {"group": given, "pair": "p", "method": "none", "ncc": -0.5}
    ResultTable(path, (1,)).append(row)
    table = ResultTable(path, (1,))
    assert (table.rows[0]["group"], table.rows[0]["ncc"]) == (cell, "-0.5")
    assert (given, "p", "none") in table
    assert text_of(cell) == given


@pytest.mark.parametrize("cut", [0, 5])
def test_a_table_cut_short_in_its_first_line_is_begun_again(cut: int, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    ResultTable(path, (1,))
    header = path.read_text()
    path.write_text(header[:cut])
    ResultTable(path, (1,)).append({"group": "a,b", "pair": "p", "method": "none", "ncc": float("nan"), "dice_1": 0.5})
    assert path.read_text().splitlines()[0] + "\n" == header
    again = ResultTable(path, (1,))
    assert ("a,b", "p", "none") in again
    assert (again.rows[0]["dice_1"], again.rows[0]["ncc"]) == ("0.5", "")


def test_a_table_with_a_foreign_letter_is_cut_at_the_end_of_a_line(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    ResultTable(path, (1,)).append({"group": "a", "pair": "p", "method": "none"})
    whole = path.read_bytes().replace(b"a,p,", b"\xe4,p,")  # saved by a program that does not know UTF-8
    path.write_bytes(whole + b"a,q")
    assert len(ResultTable(path, (1,)).rows) == 1
    assert path.read_bytes() == whole


def test_ctrl_c_keeps_finished_rows_and_ends_with_3(pairs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(register_module, "register_inputs", FakeRegister(KeyboardInterrupt()))
    done = evaluate(pairs, "none,vsvf-opt")
    assert done.exit_code == 3
    assert "cancelled; finished rows are in" in done.stderr
    assert [row["method"] for row in rows(pairs)] == ["none"]


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT")
def test_a_real_signal_ends_the_process_with_3_and_a_whole_table(pairs: Path) -> None:
    endless = '{"affine": {"iterations": 10000, "tolerance": 0.0}}'
    (pairs.parent / "fast.json").write_text(endless)
    table = pairs.parent / "t.csv"
    command = [sys.executable, "-m", "JointRegistrationLib", "evaluate", str(pairs), "--methods", "none,affine-opt"]
    process = subprocess.Popen(
        [*command, "-o", str(table), "--config", str(pairs.parent / "fast.json"), "--device", "cpu"],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )
    deadline = time.monotonic() + patient(20)
    while time.monotonic() < deadline and not (table.exists() and table.read_text().count("\n") == 2):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=patient(20))
    assert process.returncode == 3, errors
    assert "Traceback" not in errors
    assert [row["method"] for row in rows(pairs)] == ["none"]


# -- methods ------------------------------------------------------------------------------------------------


def test_methods_carry_settings_over_those_of_the_configuration() -> None:
    base = RegistrationConfig(device="cpu")
    none, plain, tuned, affine = parse_methods(
        " none, avsm,avsm:refine=20:vsvf_steps=3 ,avsm-affine:affine_steps=1,avsm", base
    )
    assert (none.name, none.registers) == ("none", False)
    assert plain.registers
    only_predicted = NetworkConfig(refine=0, fallback=False)
    assert plain.config == RegistrationConfig(method="avsm", device="cpu", network=only_predicted)
    assert tuned.name == "avsm:refine=20:vsvf_steps=3"
    assert (tuned.config.method, tuned.config.device) == ("avsm", "cpu")
    assert (tuned.config.network.refine, tuned.config.network.vsvf_steps) == (20, 3)
    assert tuned.config.network.affine_steps == base.network.affine_steps
    assert affine.config.network.affine_steps == 1


@pytest.mark.parametrize(
    ("methods", "message"),
    [
        ("", "no method in ''"),
        ("magic", "'magic' is unknown; choose of none, vsvf-opt"),
        ("affine-opt:refine=3", "only avsm and avsm-affine take settings; leave 'refine=3' out"),
        ("none:refine=3", "only avsm and avsm-affine take settings"),
        ("avsm:speed=3", "setting 'speed' is unknown; it takes affine_steps, vsvf_steps, refine"),
        ("avsm-affine:refine=3", "setting 'refine' is unknown; it takes affine_steps"),
        ("avsm:refine", "refine needs a whole number, e.g. refine=3, but '' was given"),
        ("avsm:refine=few", "but 'few' was given"),
        ("avsm:vsvf_steps=11", "method 'avsm:vsvf_steps=11': network.vsvf_steps: 11 is out of range"),
    ],
)
def test_what_is_no_method_is_refused(methods: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_methods(methods, RegistrationConfig())
    assert message in str(caught.value)


# -- what cannot be used ------------------------------------------------------------------------------------

ROW = "near,moving.nrrd,fixed.nii.gz,moving_labels.nrrd,fixed_labels.nii.gz"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "there is no such file"),
        (b"\xff\xfe\x00", "cannot be read (not a text file)"),
        ("", "column 'moving' is missing"),
        ("moving,fixed,moving_labels\n", "column 'fixed_labels' is missing; the first line must name moving, fixed"),
        (COLUMNS, "lists no pair"),
        (f"{COLUMNS}\n{ROW}\nnear,moving.nrrd\n", "line 3: no fixed is given"),
        (f"{COLUMNS}\n{ROW.replace('fixed.nii', 'gone.nii')}\n", "line 2: fixed: there is no file"),
        (f"{COLUMNS}\n{ROW}\n{ROW}\n", "'moving > fixed' occurs twice in group 'near'"),
        (f"{COLUMNS}\n{ROW.replace('moving_labels.nrrd', 'moving.nrrd')}\n", "labels must be whole numbers"),
    ],
)
def test_a_list_that_cannot_be_used_is_refused_before_anything_is_written(
    text: str | bytes | None, message: str, pairs: Path
) -> None:
    pairs.unlink()
    if text is not None:
        pairs.write_bytes(text if isinstance(text, bytes) else text.encode())
    done = evaluate(pairs, "none")
    assert (done.exit_code, done.stdout) == (2, "")
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (pairs.parent / "t.csv").exists()


def test_pairs_without_a_group_are_one_group(pairs: Path) -> None:
    pairs.write_text(f"{COLUMNS}\n{ROW}\n".replace("group,", "").replace("near,", ""))
    assert evaluate(pairs, "none").exit_code == 0
    assert rows(pairs)[0]["group"] == "all"


def test_an_error_names_the_pair_and_the_method(pairs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(register_module, "register_inputs", FakeRegister(InputError("the images do not overlap")))
    done = evaluate(pairs, "none,vsvf-opt")
    assert done.exit_code == 2
    assert "moving > fixed, vsvf-opt: the images do not overlap" in done.stderr
    assert [row["method"] for row in rows(pairs)] == ["none"]


def test_labels_on_another_grid_than_their_image_are_resampled_and_said(pairs: Path) -> None:
    pairs.write_text(f"{COLUMNS}\n{ROW.replace('moving_labels.nrrd', 'fixed_labels.nii.gz')}\n")
    assert evaluate(pairs, "none").exit_code == 0
    assert "fixed_labels.nii.gz lies on other voxels than moving.nrrd and was resampled" in rows(pairs)[0]["notes"]


def test_labels_of_another_place_than_their_image_are_refused(pairs: Path) -> None:
    path = pairs.parent / "moving_labels.nrrd"
    labels = read_labels(path)
    write_labels(Image(labels.array, dataclasses.replace(labels.grid, origin_ras=(900.0, 0.0, 0.0))), path)
    done = evaluate(pairs, "none")
    assert done.exit_code == 2
    assert "moving > fixed, none: moving_labels.nrrd: 100 % of what it marks lie outside moving.nrrd" in done.stderr


@pytest.mark.parametrize(
    ("content", "message"),
    [("my,own,table\n1,2,3\n", "is another table"), ("{header}only,three,cells\n", "line 2 has 3 columns, not")],
)
def test_another_table_is_not_changed(content: str, message: str, pairs: Path) -> None:
    evaluate(pairs, "none")
    table = pairs.parent / "t.csv"
    table.write_text(content.format(header=table.read_text().splitlines(keepends=True)[0]))
    before = table.read_bytes()
    done = evaluate(pairs, "none")
    assert done.exit_code == 2
    assert message in done.stderr
    assert table.read_bytes() == before


def test_a_table_that_cannot_be_written_is_an_error_before_any_work(pairs: Path) -> None:
    done = run("evaluate", pairs, "--methods", "none", "-o", pairs.parent / "gone" / "t.csv")
    assert done.exit_code == 2
    assert "cannot be written" in done.stderr
