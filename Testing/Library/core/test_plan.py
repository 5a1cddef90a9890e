"""What a run will take: against a run that is measured, and the rules that any estimate obeys."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest

from JointRegistrationLib.core.config import (
    METHODS,
    AffineConfig,
    LddmmConfig,
    NetworkConfig,
    PreprocessConfig,
    RegistrationConfig,
    VsvfConfig,
)
from JointRegistrationLib.core.errors import ResourceError
from JointRegistrationLib.core.geometry import Grid
from JointRegistrationLib.core.plan import MIN_WORKING_VOXELS, estimate_plan, low_memory
from JointRegistrationLib.core.serialization import to_dict

ROOT = Path(__file__).resolve().parents[3]


def _knee(size):
    return Grid(size, tuple(f / n for f, n in zip((140.0, 140.0, 112.0), size, strict=True)))


SMALL, STANDARD, LARGE = _knee((96, 96, 80)), _knee((192, 192, 80)), _knee((384, 384, 160))
CONFIGS = {method: RegistrationConfig(method=method) for method in METHODS}


MEASURED = {
    "vsvf-opt, small": (SMALL, RegistrationConfig(method="vsvf-opt", vsvf=VsvfConfig(iterations=3, tolerance=0.0))),
    "avsm planned for little memory": (
        STANDARD,
        low_memory(RegistrationConfig(network=NetworkConfig(refine=2)), (STANDARD, STANDARD), 800_000_000),
    ),
}


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc")
@pytest.mark.parametrize(("grid", "config"), MEASURED.values(), ids=MEASURED)
def test_memory_is_within_a_fifth_of_what_is_measured(grid, config):
    config = dataclasses.replace(config, affine=AffineConfig(iterations=1), device="cpu")
    case = json.dumps([grid.size_ijk, grid.size_ijk, to_dict(config)])
    script = ROOT / "Testing" / "Benchmarks" / "measure_plan.py"
    done = subprocess.run(
        [sys.executable, str(script), "one", case],
        env={"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"},
        capture_output=True,
        text=True,
        check=True,
    )
    measured = json.loads(done.stdout)["peak"]
    assert estimate_plan(grid, grid, config).memory_bytes == pytest.approx(measured, rel=0.2)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_larger_images_take_more_time_and_memory(config):
    plans = [estimate_plan(grid, grid, config) for grid in (SMALL, STANDARD, LARGE)]
    assert plans == sorted(plans, key=lambda plan: plan.memory_bytes)
    assert plans[0].seconds < min(plans[1].seconds, plans[2].seconds)  # those two have equal working grids
    assert plans[0].working_voxels == SMALL.num_voxels
    assert plans[2].working_voxels <= config.preprocess.max_working_voxels < LARGE.num_voxels


def test_more_work_takes_longer():
    def seconds(**blocks):
        return estimate_plan(STANDARD, STANDARD, RegistrationConfig(**blocks)).seconds

    def grows(*values):
        assert list(values) == sorted(set(values))

    grows(seconds(method="avsm-affine"), seconds(method="affine-opt"), seconds(method="vsvf-opt"))
    grows(
        *(seconds(method="avsm", network=NetworkConfig(refine=iterations)) for iterations in (0, 10, 20)),
        seconds(method="avsm", network=NetworkConfig(refine=20, refine_affine=True)),
    )
    grows(*(seconds(method="avsm", network=NetworkConfig(vsvf_steps=steps)) for steps in (1, 2, 3)))
    grows(*(seconds(method="vsvf-opt", vsvf=VsvfConfig(iterations=iterations)) for iterations in (5, 30, 60)))
    grows(*(seconds(method="lddmm-opt", lddmm=LddmmConfig(steps=steps)) for steps in (2, 5, 10)))
    grows(seconds(check_side=False, method="affine-opt"), seconds(method="affine-opt"))
    assert seconds(method="affine-opt", affine=AffineConfig(initialization="center")) < seconds(method="affine-opt")


def test_threads_help_but_not_in_proportion():
    one, four = (estimate_plan(STANDARD, STANDARD, CONFIGS["vsvf-opt"], threads=n).seconds for n in (1, 4))
    assert one / 4 < four < one


def test_the_speed_of_a_gpu_is_not_known_before_a_run_on_it():
    plan = estimate_plan(STANDARD, STANDARD, CONFIGS["avsm"], device="cuda")
    assert plan.seconds is None
    assert estimate_plan(LARGE, LARGE, CONFIGS["avsm"], device="cuda").work > plan.work > 0


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_low_memory_takes_the_finest_resolution_that_fits(config):
    grids = (STANDARD, STANDARD)
    full = estimate_plan(*grids, config).memory_bytes
    assert low_memory(config, grids, full) == config
    coarsest = dataclasses.replace(config, preprocess=PreprocessConfig(max_working_voxels=MIN_WORKING_VOXELS))
    least = estimate_plan(*grids, coarsest).memory_bytes
    available = (full + least) // 2
    if least == full:
        return  # what needs the memory does not depend on the working resolution
    chosen = low_memory(config, grids, available)
    assert dataclasses.replace(chosen, preprocess=config.preprocess) == config
    assert 0.9 * available < estimate_plan(*grids, chosen).memory_bytes <= available


def test_low_memory_says_when_nothing_fits():
    with pytest.raises(ResourceError, match=r"GB are needed even .* 0\.1 GB are free; crop the volumes"):
        low_memory(CONFIGS["avsm"], (LARGE, LARGE), 10**8)


def test_images_that_need_most_memory_themselves_are_said_to():
    assert "cropping" in estimate_plan(LARGE, LARGE, CONFIGS["avsm"]).notes[0]
    assert estimate_plan(SMALL, SMALL, CONFIGS["avsm"]).notes == ()
