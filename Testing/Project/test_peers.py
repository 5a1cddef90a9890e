"""Testing/Benchmarks/peers.py: rows as ``evaluate`` writes them, resumed, and what is said when a peer is missing.

Demons needs no more than SimpleITK, so the way through a process of its own is tested with it.
"""

from __future__ import annotations

import csv
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from JointRegistrationLib.core.image import Image
from JointRegistrationLib.evaluation.pairs import label_values, read_pairs
from JointRegistrationLib.evaluation.table import ResultTable
from JointRegistrationLib.files import write_displacement_field, write_image, write_labels
from Testing.Benchmarks import peers
from Testing.Benchmarks.peers import PeerError, PeerResult, PeerTimeout
from Testing.Support.cli_cases import FIXED_GRID, MOVING_GRID, blobs
from Testing.Support.knees import centered_grid, lattice_ras, make_pair
from Testing.Support.patience import patient

SHIFT_MM = (4.0, -3.0, 2.0)
HERE = Path(sys.executable)


@pytest.fixture
def pairs_path(tmp_path: Path) -> Path:
    """One pair: the moving image is the fixed one, shifted, on another grid."""
    for name, grid, shift in (("fixed", FIXED_GRID, (0.0, 0.0, 0.0)), ("moving", MOVING_GRID, SHIFT_MM)):
        values = blobs(grid, shift)
        write_image(Image(values, grid), tmp_path / f"{name}.nii.gz")
        labels = (values > 15).astype(np.uint8) + (values > 30) + 2 * (values > 50)
        write_labels(Image(labels.astype(np.uint8), grid), tmp_path / f"{name}_labels.nii.gz")
    path = tmp_path / "pairs.csv"
    path.write_text(
        "group,moving,fixed,moving_labels,fixed_labels\n"
        "near,moving.nii.gz,fixed.nii.gz,moving_labels.nii.gz,fixed_labels.nii.gz\n"
    )
    return path


def shifted(method: str, affine: PeerResult | None = None) -> PeerResult:
    """The true shift, as a peer's result."""
    forward = np.broadcast_to(np.float32(SHIFT_MM), (*FIXED_GRID.shape, 3)).copy()
    backward = np.broadcast_to(-np.float32(SHIFT_MM), (*MOVING_GRID.shape, 3)).copy()
    return PeerResult(method, forward, backward, 1.5, 1.25, 200.0, "greedy 1", affine)


def open_table(pairs_path: Path) -> ResultTable:
    return ResultTable(pairs_path.parent / "t.csv", label_values(read_pairs(pairs_path)))


def run(pairs_path: Path, peer: str, *options: object) -> Result:
    arguments = [pairs_path, "-o", pairs_path.parent / "t.csv", "--peers", peer, "--python", HERE, *options]
    return CliRunner().invoke(peers.main, [str(a) for a in arguments])


def test_a_row_has_the_figures_of_the_displacement_field(pairs_path: Path) -> None:
    (pair,) = read_pairs(pairs_path)
    (row,) = peers.add_rows(pair, shifted("greedy"), open_table(pairs_path))
    assert (row["group"], row["pair"], row["method"]) == ("near", "moving > fixed", "greedy")
    assert float(row["dice_cartilage"]) > 0.8 and float(row["ncc"]) > 0.99
    assert (row["folds"], row["folds_percent"], row["seconds"], row["peak_memory_mb"]) == ("0", "0", "1.5", "200")
    assert float(row["inverse_error_mean_mm"]) < 1e-4
    assert row["notes"] == "greedy 1, 1.2 s of CPU time"


def test_a_field_that_turns_space_over_is_folded_everywhere_and_no_inverse_leaves_its_error_empty(
    pairs_path: Path,
) -> None:
    (pair,) = read_pairs(pairs_path)
    k = np.arange(FIXED_GRID.shape[0], dtype=np.float32)[:, None, None]
    field = np.zeros((*FIXED_GRID.shape, 3), np.float32)
    field[..., 2] = -2 * FIXED_GRID.spacing_mm[2] * (k - k.mean())  # z -> -z about the middle
    row = peers.figures(pair, PeerResult("greedy", field, None, 1.0, 1.0, 1.0, "greedy 1"))
    assert row["folds"] == field[..., 0].size and row["folds_percent"] == 100.0
    assert np.isnan(row["inverse_error_mean_mm"])


def test_rows_that_are_there_stay_and_only_the_missing_stage_is_added(
    pairs_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (pair,) = read_pairs(pairs_path)
    table = open_table(pairs_path)
    peers.add_rows(pair, shifted("demons-affine"), table)
    assert peers.pending([pair], ["demons"], table) == [(pair, "demons")]
    calls = []
    monkeypatch.setattr(
        peers, "register_pair", lambda *a: calls.append(a) or shifted("demons", shifted("demons-affine"))
    )
    for _ in range(2):
        assert run(pairs_path, "demons").exit_code == 0
    assert len(calls) == 1
    assert [row["method"] for row in open_table(pairs_path).rows] == ["demons-affine", "demons"]


def test_demons_in_a_process_of_its_own_brings_the_labels_together(pairs_path: Path) -> None:
    (pair,) = read_pairs(pairs_path)
    still = peers.figures(pair, PeerResult("x", np.zeros((*FIXED_GRID.shape, 3), np.float32), None, 0, 0, 0, "x"))
    done = run(pairs_path, "demons")
    assert done.exit_code == 0, done.output
    with (pairs_path.parent / "t.csv").open(newline="") as stream:
        affine, demons = csv.DictReader(stream)
    for row in (affine, demons):
        assert float(row["dice_cartilage"]) > still["dice_cartilage"] + 0.05
        assert float(row["ncc"]) > still["ncc"]
    assert float(affine["inverse_error_mean_mm"]) < 1e-3 and demons["inverse_error_mean_mm"] == ""
    assert float(affine["seconds"]) > 0 and float(demons["seconds"]) > 0
    assert demons["notes"].startswith("SimpleITK ")


def test_fields_are_turned_from_lps_to_ras(tmp_path: Path) -> None:
    field = np.random.default_rng(0).normal(size=(*MOVING_GRID.shape, 3)).astype(np.float32)
    write_displacement_field(tmp_path / "field.mha", field, MOVING_GRID)
    np.testing.assert_array_equal(peers.read_field(tmp_path / "field.mha"), field)


def test_a_missing_peer_is_named_with_the_command_that_installs_it_and_skipped(
    pairs_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(peers.PEERS, "greedy", peers.Peer("picsl-greedy", "no_such_module", ("greedy",)))
    with pytest.raises(
        PeerError, match=r"greedy: the package picsl-greedy is not installed .* -m pip install -c .* -r"
    ):
        peers.check_installed("greedy", HERE)
    done = run(pairs_path, "greedy")
    assert done.exit_code == 0 and "skipped: greedy" in done.output
    assert open_table(pairs_path).rows == []


def test_a_peer_that_fails_is_named_and_the_run_says_so(pairs_path: Path) -> None:
    (pairs_path.parent / "moving.nii.gz").write_bytes(b"no image")
    done = run(pairs_path, "demons")
    assert done.exit_code == 1
    assert "demons failed on moving.nii.gz > fixed.nii.gz (exit 1)" in done.output
    assert "1 registrations failed" in done.output


def stopped_after_its_first_stage(
    command: list[str], *, timeout: float, cwd: str, env: dict[str, str], **_: object
) -> None:
    """As ``subprocess.run`` where the time is up just after the first stage, however long that takes."""
    assert timeout == 10.0 + peers._START_S
    with subprocess.Popen(command, cwd=cwd, env=env) as process:
        end = time.monotonic() + patient(20)
        while not (Path(cwd) / "stages.json").exists() and process.poll() is None and time.monotonic() < end:
            time.sleep(0.02)
        process.kill()
    raise subprocess.TimeoutExpired(command, timeout)


def test_a_peer_that_is_stopped_leaves_the_stages_it_had_finished(
    pairs_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A peer whose second stage never ends; its first one is the true shift."""
    (tmp_path / "stages.py").write_text((peers.TOOLS / "stages.py").read_text())
    (tmp_path / "slow.py").write_text(
        "import time\nimport SimpleITK as sitk\nfrom stages import Clock, Stage, main\n"
        "def register(*_):\n"
        "    with (clock := Clock()):\n"
        "        shift = sitk.TranslationTransform(3, (-4.0, 3.0, 2.0))\n"
        "    yield Stage('slow-affine', shift, shift.GetInverse(), clock.cost())\n"
        "    time.sleep(1000)\n"
        "main('SimpleITK', register)\n"
    )
    monkeypatch.setattr(peers, "TOOLS", tmp_path)
    monkeypatch.setitem(peers.PEERS, "slow", peers.Peer("SimpleITK", "SimpleITK", ("slow-affine", "slow")))
    (pair,) = read_pairs(pairs_path)
    monkeypatch.setattr(peers.subprocess, "run", stopped_after_its_first_stage)
    with pytest.raises(PeerTimeout, match="slow was stopped after 10 s") as stopped:
        peers.register_pair("slow", pair.fixed, pair.moving, python=HERE, limit_s=10.0)
    (stage,) = stopped.value.done
    assert stage.method == "slow-affine"
    np.testing.assert_allclose(stage.displacement_field_mm[0, 0, 0], SHIFT_MM, atol=1e-5)


@pytest.mark.parametrize(("text", "found"), [("greedy,syrup", "syrup given"), (",", "nothing given")])
def test_an_unknown_peer_is_refused(pairs_path: Path, text: str, found: str) -> None:
    done = run(pairs_path, text)
    assert done.exit_code == 2 and found in " ".join(done.output.split())


def test_a_list_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    done = run(tmp_path / "none.csv", "demons")
    assert done.exit_code == 1 and "none.csv" in done.output


def test_a_limit_takes_the_first_pairs_of_each_group(pairs_path: Path) -> None:
    lines = pairs_path.read_text().splitlines()
    more = [lines[1].replace("near", group) for group in ("near2", "near3")]
    swapped = [line.replace("moving.nii.gz,fixed.nii.gz", "fixed.nii.gz,fixed.nii.gz") for line in (lines[1], *more)]
    pairs_path.write_text("\n".join([*lines, *more, *swapped]) + "\n")
    kept = peers.limited(read_pairs(pairs_path), 1)
    assert [(pair.group, pair.name) for pair in kept] == [(g, "moving > fixed") for g in ("near", "near2", "near3")]
    assert len(peers.limited(read_pairs(pairs_path), None)) == 6


def test_a_peer_without_an_affine_stage_begins_with_ours(
    pairs_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    shutil.copy(peers.TOOLS / "stages.py", tools)
    (tools / "convexadam.py").write_text(
        "import SimpleITK as sitk\n"
        "from stages import START, Cost, Stage, main\n"
        "def register(fixed, moving, folder, threads):\n"
        "    start = sitk.ReadTransform(str(folder / START))\n"
        "    return [Stage('convexadam', start, None, Cost(1.0, 1.0, 1.0))]\n"
        "main('SimpleITK', register)\n"
    )
    monkeypatch.setattr(peers, "TOOLS", tools)
    found = peers.register_pair("convexadam", tmp_path / "fixed.nii.gz", tmp_path / "moving.nii.gz", python=HERE)
    middle = found.displacement_field_mm[tuple(slice(n // 3, -n // 3) for n in FIXED_GRID.shape)]
    assert np.linalg.norm(middle - SHIFT_MM, axis=-1).mean() < 0.5
    assert found.affine is None


def test_convexadam_sends_points_where_they_are(tmp_path: Path) -> None:
    python = peers.default_python()
    try:
        peers.check_installed("convexadam", python)
    except PeerError as missing:
        pytest.skip(str(missing))
    grid = centered_grid((40, 44, 36), (1.5, 1.2, 2.0), ((0, 0, 1), (-1, 0, 0), (0, -1, 0)))
    fixed, moving = make_pair(grid, grid, lambda y: y - bump(y))
    for name, image in (("fixed", fixed), ("moving", moving)):
        write_image(image, tmp_path / f"{name}.nii.gz")
    found = peers.register_pair("convexadam", tmp_path / "fixed.nii.gz", tmp_path / "moving.nii.gz", python=python)
    points = lattice_ras(grid)
    near = np.linalg.norm(points, axis=-1) < 18
    error = np.linalg.norm(found.displacement_field_mm - bump(points), axis=-1)[near]
    assert error.mean() < 0.4 * np.linalg.norm(bump(points), axis=-1)[near].mean()


def bump(points: np.ndarray) -> np.ndarray:
    """A displacement that no affine transform makes, another one along each axis."""
    return np.exp(-(points**2).sum(axis=-1, keepdims=True) / 400) * np.array([3.0, -2.0, 1.5])
