"""The loop: exact resumption, safe stops, what a run leaves on disk."""

from __future__ import annotations

import csv
import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from JointRegistrationLib.core.errors import CheckpointError, ConfigError, FileError
from JointRegistrationLib.core.serialization import to_json
from JointRegistrationLib.networks import checkpoint
from JointRegistrationLib.ops import maps
from JointRegistrationLib.training.config import PRESETS, DataConfig, LossConfig, OptimizerConfig, TrainingConfig
from JointRegistrationLib.training.data.augment import AugmentConfig
from JointRegistrationLib.training.data.batches import stored_pair
from JointRegistrationLib.training.data.pool import Pool
from JointRegistrationLib.training.loop import Trainer
from JointRegistrationLib.training.objectives import TrainingTime
from JointRegistrationLib.training.optimizer import learning_rate
from JointRegistrationLib.training.record.examples import make_examples
from JointRegistrationLib.training.record.provenance import read_config
from Testing.Support.training_cases import tiny_config, tiny_pool, tiny_scan

POOL = tiny_pool()


def trainer(folder: Path, config: TrainingConfig | None = None) -> Trainer:
    return Trainer(config or tiny_config(), folder, POOL, POOL)


def weights(run: Trainer) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in run.model.state_dict().items()}


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.mark.parametrize("stage", ["affine", "vsvf", "joint"])
def test_resumed_training_equals_uninterrupted_training_bit_for_bit(tmp_path: Path, stage: str) -> None:
    losses = LossConfig(points=0.1, distances=1.0) if stage == "affine" else LossConfig(distances=1.0, momentum=1.0)
    config = tiny_config(stage, losses=losses)
    whole = trainer(tmp_path / "whole", config)
    whole.start()
    whole.run()
    first = trainer(tmp_path / "parts", config)
    first.start()
    first.run(until=3)
    second = trainer(tmp_path / "parts", config)
    second.resume()
    assert second.progress.step == 3
    second.run()
    for name, value in weights(whole).items():
        assert torch.equal(value, weights(second)[name]), name
    for part in ("log.csv", "validation.csv"):
        a, b = (rows(tmp_path / run / part) for run in ("whole", "parts"))
        drop = lambda table: [{k: v for k, v in row.items() if k != "seconds"} for row in table]  # noqa: E731
        assert drop(a) == drop(b)


def test_training_lowers_the_loss(tmp_path: Path) -> None:
    # Two knees whose offset is unknown to the alignment: the momentum network has to supply it.
    scans = tuple(replace(scan, affine_ras=np.eye(4)) for scan in (tiny_scan(0, 0), tiny_scan(1, 12)))
    pool = Pool(scans, POOL.grid)
    still = AugmentConfig(0, 0, 0, 0)
    config = tiny_config(
        "vsvf",
        vsvf_steps=1,
        validate_every=100,
        data=DataConfig(augment=still, residual=still, same_subject=0),
        optimizer=OptimizerConfig(learning_rate=3e-3, steps=90, batch=2, warmup_steps=2),
    )
    run = Trainer(config, tmp_path, pool, pool)
    losses = [run.update()["distances"] for _ in range(90)]
    assert sum(losses[-10:]) < 0.6 * sum(losses[:10])


def test_a_stage_changes_only_its_own_network(tmp_path: Path) -> None:
    run = trainer(tmp_path, tiny_config("vsvf"))
    before = weights(run)
    run.update()
    changed = {name.split(".")[0] for name, value in weights(run).items() if not torch.equal(value, before[name])}
    assert changed == {"momentum"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_after_the_step_and_saves(tmp_path: Path, number: signal.Signals) -> None:
    lines: list[str] = []

    def report(line: str) -> None:
        lines.append(line)
        os.kill(os.getpid(), number)

    run = Trainer(tiny_config(), tmp_path, POOL, POOL, report)
    run.start()
    assert run.run() is False
    assert run.progress.step == 2 and lines
    resumed = trainer(tmp_path)
    resumed.resume()
    assert resumed.progress.step == 2
    assert signal.getsignal(number) is not signal.SIG_DFL or number == signal.SIGTERM


def test_rows_of_lost_steps_leave_the_log(tmp_path: Path) -> None:
    run = trainer(tmp_path)
    run.start()
    run.run(until=2)
    for _ in range(2):
        run.update()
    run._log([run.update()])  # logged, then killed before the state was saved
    resumed = trainer(tmp_path)
    resumed.resume()
    assert [row["step"] for row in rows(tmp_path / "log.csv")] == ["2"]


def test_a_run_leaves_best_weights_with_their_figures(tmp_path: Path) -> None:
    run = trainer(tmp_path)
    run.start()
    run.run()
    header = checkpoint.read_header(tmp_path / "best.safetensors")
    assert header.architecture == "avsm" and header.figures["trained"] == ["affine.", "momentum."]
    assert header.figures["score"] == max(float(row["score"]) for row in rows(tmp_path / "validation.csv"))
    assert read_config(tmp_path / "config.json") == run.config


def test_state_of_another_configuration_is_refused(tmp_path: Path) -> None:
    run = trainer(tmp_path)
    run.start()
    run.save()
    with pytest.raises(CheckpointError, match="another configuration"):
        trainer(tmp_path, tiny_config(seed=1)).resume()


def test_settings_that_a_state_does_not_know_count_as_their_defaults(tmp_path: Path) -> None:
    run = trainer(tmp_path)
    run.start()
    run.run(until=2)
    path = tmp_path / "state" / "state.json"
    index = json.loads(path.read_text())
    del index["values"]["config"]["data"]["listed_pairs"]
    path.write_text(json.dumps(index))
    resumed = trainer(tmp_path)
    resumed.resume()
    assert resumed.progress.step == 2
    other = tiny_config(data=replace(tiny_config().data, listed_pairs=True))
    with pytest.raises(CheckpointError, match="another configuration"):
        trainer(tmp_path, other).resume()
    index["values"]["config"]["tricks"] = 3
    path.write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match="another configuration"):
        trainer(tmp_path).resume()


def test_accumulated_parts_are_different_pairs(tmp_path: Path) -> None:
    config = tiny_config("vsvf", optimizer=OptimizerConfig(batch=1, accumulate=2, steps=2))
    run = trainer(tmp_path, config)
    parts = [run.terms(part, TrainingTime(0, 0.0))["distances"] for part in (0, 1, 0)]
    assert parts[0] == parts[2] != parts[1]
    both = run.update()["distances"]
    assert both == pytest.approx(float((parts[0] + parts[1]).detach()) / 2, rel=1e-5)


def test_mixed_precision_leaves_coordinates_alone(tmp_path: Path) -> None:
    losses = LossConfig(distances=1.0, overlap=1.0, momentum=1.0, similarity=1.0)
    exact, mixed = (
        trainer(tmp_path, tiny_config("joint", mixed_precision=flag, losses=losses, device="cpu"))
        for flag in (False, True)
    )
    batch = stored_pair(POOL, 0, 2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = mixed.model(batch.moving, batch.fixed, POOL.grid, 3, 2)
    for values in (*output.affines_ras, output.psi_displacement_mm, output.map_ras, output.warped):
        assert values.dtype == torch.float32
    # An untrained network leaves everything where it is, which bfloat16 would not.
    assert torch.allclose(output.affine_ras, torch.eye(4)[None], atol=1e-4)
    assert torch.allclose(output.map_ras, maps.identity(POOL.grid), atol=1e-3)
    rough = mixed.update()
    for name, value in exact.update().items():
        assert rough[name] == pytest.approx(value, rel=2e-2, abs=1e-3), name


def test_an_update_with_a_gradient_that_is_not_finite_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[str] = []
    run = Trainer(tiny_config(), tmp_path, POOL, POOL, lines.append)
    before = {name: value.clone() for name, value in run.model.state_dict().items()}
    terms = run.terms
    monkeypatch.setattr(
        run, "terms", lambda part, moment: {k: v * float("nan") for k, v in terms(part, moment).items()}
    )
    run.update()
    assert all(torch.equal(value, before[name]) for name, value in run.model.state_dict().items())
    assert lines == ["step 1: the gradient is not finite; this update was left out"]
    monkeypatch.undo()
    run.update()
    assert any(not torch.equal(value, before[name]) for name, value in run.model.state_dict().items())
    assert len(lines) == 1 and run.progress.step == 2


def test_validation_draws_its_examples(tmp_path: Path) -> None:
    run = trainer(tmp_path)
    run.start()
    run.run(until=3)
    with Image.open(tmp_path / "examples" / "step-0000003.png") as picture:
        assert picture.size == (960, 640)  # two pairs, three pictures each
    assert [example.title.split(":")[0] for example in make_examples(run.model, POOL, run.config)] == [
        "longitudinal",
        "cross-subject",
    ]


def test_initial_weights_of_two_stages_are_joined(tmp_path: Path) -> None:
    for stage in ("affine", "vsvf"):
        run = trainer(tmp_path / stage, tiny_config(stage, losses=LossConfig(distances=1.0)))
        run.update()
        run.start()
        run.save()
    files = tuple(str(tmp_path / stage / "last.safetensors") for stage in ("affine", "vsvf"))
    joint = trainer(tmp_path / "joint", tiny_config(initial_weights=files))
    joint.start()
    for stage, part in (("affine", "affine."), ("vsvf", "momentum.")):
        _, tensors = checkpoint.read_tensors(tmp_path / stage / "last.safetensors")
        for name, value in joint.model.state_dict().items():
            if name.startswith(part):
                assert torch.equal(value, tensors[name]), name


def test_symmetric_losses_use_both_directions(tmp_path: Path) -> None:
    losses = LossConfig(distances=1.0, map_symmetry=1.0, gradient_symmetry=0.1, momentum=1.0, similarity=1.0)
    terms = trainer(tmp_path, tiny_config("joint", losses=losses)).update()
    assert set(terms) == {"distances", "map_symmetry", "gradient_symmetry", "momentum", "similarity"}
    affine = LossConfig(similarity=1.0, affine_regularity=1.0, affine_symmetry=1.0)
    terms = trainer(tmp_path, tiny_config("affine", losses=affine)).update()
    assert set(terms) == {"similarity", "affine_regularity", "affine_symmetry"}


def test_landmarks_can_be_kept_while_overlap_is_trained(tmp_path: Path) -> None:
    losses = LossConfig(landmarks=0.1, heat_maps=0.3, points=0.1, distances=1.0, overlap=0.5)
    terms = trainer(tmp_path, tiny_config("affine", losses=losses)).update()
    assert set(terms) == {"landmarks", "heat_maps", "points", "distances", "overlap"}


def test_symmetric_losses_wait_for_their_epoch(tmp_path: Path) -> None:
    losses = LossConfig(distances=1.0, map_symmetry=1.0, symmetric_from_epoch=1)
    run = trainer(tmp_path, tiny_config("vsvf", losses=losses))
    seen = ["map_symmetry" in run.update() for _ in range(4)]
    assert seen == [False, False, True, True]


def test_learning_rate_schedules() -> None:
    published = PRESETS["published-vsvf"].optimizer
    assert learning_rate(published, 0) < 1e-6
    assert learning_rate(published, 1000) == pytest.approx(1e-4)
    assert learning_rate(published, 60 * 200) == pytest.approx(5e-5)
    cosine = OptimizerConfig(learning_rate=1.0, steps=100, warmup_steps=1)
    assert learning_rate(cosine, 0) == pytest.approx(1.0)
    assert learning_rate(cosine, 50) == pytest.approx(0.51)
    assert learning_rate(cosine, 100) == pytest.approx(0.02)


def test_presets_survive_json(tmp_path: Path) -> None:
    for name, preset in PRESETS.items():
        path = tmp_path / f"{name}.json"
        path.write_text(to_json(preset))
        assert read_config(path) == preset


def test_bad_configurations_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="stage"):
        tiny_config("both")
    with pytest.raises(ConfigError, match="schedule"):
        tiny_config(optimizer=OptimizerConfig(schedule="sawtooth"))
    with pytest.raises(ConfigError, match="batch"):
        tiny_config(optimizer=replace(OptimizerConfig(), batch=0))
    with pytest.raises(FileError, match="there is no such file"):
        read_config(tmp_path / "none.json")
    (tmp_path / "odd.json").write_text('{"stages": 3}')
    with pytest.raises(ConfigError, match="unknown setting 'stages'"):
        read_config(tmp_path / "odd.json")


def test_a_run_that_was_killed_before_its_first_state_is_begun_anew_without_its_rows(tmp_path: Path) -> None:
    run = trainer(tmp_path)
    run.start()
    run._log([run.update()])
    run.check()
    again = trainer(tmp_path)  # the first one was killed: there is no state
    again.start()
    again._log([again.update()])
    again.check()
    for part in ("log.csv", "validation.csv"):
        assert [row["step"] for row in rows(tmp_path / part)] == ["1"]


def test_a_row_that_was_cut_short_by_a_kill_leaves_the_log(tmp_path: Path) -> None:
    run = trainer(tmp_path)
    run.start()
    run.run(until=2)
    with (tmp_path / "log.csv").open("a") as stream:
        stream.write("2")
    (tmp_path / "validation.csv").write_text("step,sc")
    resumed = trainer(tmp_path)
    resumed.resume()
    assert [row["step"] for row in rows(tmp_path / "log.csv")] == ["2"]
    resumed.check()
    assert [row["step"] for row in rows(tmp_path / "validation.csv")] == ["2"]
