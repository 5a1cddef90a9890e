"""Two processes that train together: the same weights in both, and those of one process with the same pairs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from JointRegistrationLib.core.errors import ConfigError
from JointRegistrationLib.networks import checkpoint
from JointRegistrationLib.training.distributed import Ranks, any_of, mean_of, ranks_from_environment
from JointRegistrationLib.training.loop import Trainer
from Testing.Support.patience import patient
from Testing.Support.training_cases import shared_config, tiny_pool

ROOT = Path(__file__).resolve().parents[3]

#: One of two processes: four updates, two parts each, then every rank leaves its weights.
WORKER = """
import sys
from pathlib import Path
from Testing.Support.training_cases import shared_config, tiny_pool
from JointRegistrationLib.networks.checkpoint import Header, save_weights
from JointRegistrationLib.training.distributed import process_group
from JointRegistrationLib.training.loop import Trainer
import torch
torch.set_num_threads(1)
folder = Path(sys.argv[1])
with process_group("cpu") as ranks:
    run = Trainer(shared_config(), folder / "run", tiny_pool(), tiny_pool(), ranks=ranks)
    run.start()
    assert run.run()
    save_weights(folder / f"rank-{ranks.rank}.safetensors", run.model, Header("avsm"))
"""


def test_two_processes_agree_and_equal_one_with_the_same_pairs(tmp_path: Path) -> None:
    worker = tmp_path / "worker.py"
    worker.write_text(WORKER)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(worker)]
    done = subprocess.run(
        [*command, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=patient(30),
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    ranks = [checkpoint.read_tensors(tmp_path / f"rank-{n}.safetensors")[1] for n in (0, 1)]
    alone = Trainer(shared_config(accumulate=4), tmp_path / "alone", tiny_pool(), tiny_pool())
    start = {name: value.clone() for name, value in alone.model.state_dict().items()}
    alone.start()
    alone.run()
    assert all(torch.equal(ranks[0][name], ranks[1][name]) for name in start)
    # Adam makes whole steps out of gradients that are nothing but rounding (a bias before a normalisation has no
    # other), so that not every single value agrees.
    end = alone.model.state_dict()
    moved = torch.cat([(end[name] - start[name]).flatten() for name in start])
    apart = torch.cat([(end[name] - ranks[0][name]).flatten() for name in start])
    assert float(apart.norm() / moved.norm()) < 0.02
    assert float(apart[moved.abs() > 1e-3].abs().median()) < 1e-6
    logs = [(tmp_path / run / "log.csv").read_text().splitlines() for run in ("run", "alone")]
    losses = [[float(v) for v in log[-1].split(",")[3:]] for log in logs]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


def test_alone_nothing_is_exchanged() -> None:
    ranks, device = Ranks(), torch.device("cpu")
    assert ranks.first
    assert any_of(True, ranks, device) and not any_of(False, ranks, device)
    assert mean_of({"a": 1.5}, ranks, device) == {"a": 1.5}


def test_rank_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    assert ranks_from_environment() == Ranks(5, 8, 1)
    monkeypatch.setenv("WORLD_SIZE", "many")
    with pytest.raises(ConfigError, match="torchrun"):
        ranks_from_environment()
