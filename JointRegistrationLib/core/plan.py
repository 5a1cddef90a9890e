"""What a run will take, before it starts: memory, and about how long.

The numbers are fitted to runs that ``Testing/Benchmarks/measure_plan.py`` measured; its ``fit`` prints the
tables below. This module imports no PyTorch, so that a panel can show a plan before PyTorch is installed.

Memory is the largest resident memory of the process that registers, on the CPU. Time is modelled as work, in
seconds of one core of the machine where it was measured: what one run took tells the pace of another machine.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from .config import LddmmConfig, RegistrationConfig, VsvfConfig
from .errors import ResourceError
from .geometry import Grid
from .lattices.working_grid import shrunk_grid, working_grid

#: Below this many working voxels a knee's cartilage is no longer resolved.
MIN_WORKING_VOXELS = 100_000

#: The inverse and the round trip are computed at no more points than about this, see :func:`.native_grids.finish`.
_BOUNDED_VOXELS = 3_000_000
_NATIVE_GRID_NOTE = "Most memory is for the results on the images' own grids: cropping the volumes saves most."


@dataclass(frozen=True)
class Plan:
    """What a run will take.

    Args:
        seconds: about how long; None where nothing is known of the device's speed yet.
        memory_bytes: largest resident memory of the registering process.
        working_voxels: of the fixed image's working grid, on which the images are compared.
        notes: sentences for the user.
        work: the same run in seconds of one core of the machine where the model was measured.
    """

    seconds: float | None
    memory_bytes: int
    working_voxels: int
    notes: tuple[str, ...] = ()
    work: float = 0.0


@dataclass(frozen=True)
class _Size:
    """What memory and time depend on: voxels of the native and working grids, and of the finest level."""

    fixed: int
    moving: int
    working: int
    working_moving: int
    finest: int

    @property
    def features(self) -> tuple[int, ...]:
        """Return what the columns of the memory table are multiplied by."""
        bounded = min(self.fixed, _BOUNDED_VOXELS) + min(self.moving, _BOUNDED_VOXELS)
        return (1, self.fixed, self.moving, self.working + self.working_moving, self.finest, bounded)


def estimate_plan(
    fixed_grid: Grid, moving_grid: Grid, config: RegistrationConfig, device: str = "cpu", threads: int = 1
) -> Plan:
    """Estimate what registering two images will take.

    Args:
        fixed_grid, moving_grid: the images' native grids.
        config: method and settings.
        device: ``"cpu"`` or another one; for others the time is not known before a first run.
        threads: computing threads on the CPU.
    """
    size = _size(fixed_grid, moving_grid, config)
    stages = {stage: _stage_bytes(stage, size) for stage in _stages(config)}
    largest = max(stages, key=lambda stage: stages[stage])
    work = _work(fixed_grid, size, config)
    return Plan(
        seconds=work * _thread_factor(threads) if device == "cpu" else None,
        memory_bytes=round(stages[largest]),
        working_voxels=size.working,
        notes=(_NATIVE_GRID_NOTE,) if largest in ("finish", "similarities") and size.fixed > _BOUNDED_VOXELS else (),
        work=work,
    )


def low_memory(
    config: RegistrationConfig, grids: tuple[Grid, Grid], available_bytes: int, device: str = "cpu"
) -> RegistrationConfig:
    """``config`` with the finest working resolution that fits into ``available_bytes``.

    Args:
        config: method and settings; returned as it is if it fits.
        grids: native grids of the fixed and the moving image.
        available_bytes: free memory.
        device: as in :func:`estimate_plan`.

    Raises:
        ResourceError: if no working resolution fits.
    """

    def needed(candidate: RegistrationConfig) -> int:
        return estimate_plan(*grids, candidate, device).memory_bytes

    if needed(config) <= available_bytes:
        return config
    high = estimate_plan(*grids, config, device).working_voxels
    low = min(MIN_WORKING_VOXELS, high)
    least = needed(_with_voxels(config, low))
    if least > available_bytes:
        raise ResourceError(
            f"about {least / 1e9:.1f} GB are needed even at the coarsest working resolution, but "
            f"{available_bytes / 1e9:.1f} GB are free; crop the volumes, or close other programs"
        )
    while high - low > 0.01 * high:
        middle = (low + high) // 2
        low, high = (middle, high) if needed(_with_voxels(config, middle)) <= available_bytes else (low, middle)
    return _with_voxels(config, low)


def _with_voxels(config: RegistrationConfig, voxels: int) -> RegistrationConfig:
    return dataclasses.replace(
        config, preprocess=dataclasses.replace(config.preprocess, max_working_voxels=max(voxels, 1000))
    )


# -- which stages, on which lattices ------------------------------------------------------------------


def _stages(config: RegistrationConfig) -> list[str]:
    """The stages of a run whose memory is modelled."""
    side = (
        ["side"] if config.network.side == "auto" and (config.check_side or "network" in _main_stages(config)) else []
    )
    return ["prepare", *side, *_main_stages(config), "finish", "similarities"]


def _main_stages(config: RegistrationConfig) -> list[str]:
    network = config.network
    return {
        "affine-opt": ["affine"],
        "vsvf-opt": ["affine", "deformable"],
        "lddmm-opt": ["affine", "geodesic"],
        "avsm-affine": ["network"],
        "avsm": ["network", "deformable"] if network.refine else ["network"],
    }[config.method]


def _deformable(config: RegistrationConfig) -> VsvfConfig | LddmmConfig | None:
    """The settings of the method's deformable optimisation, if it has one."""
    return None if config.method == "avsm" and not config.network.refine else config.deformation


def _size(fixed: Grid, moving: Grid, config: RegistrationConfig) -> _Size:
    bound = config.preprocess.max_working_voxels
    working = working_grid(fixed, bound)
    settings = _deformable(config)
    finest = 1 if settings is None else settings.levels[-1]
    return _Size(
        fixed.num_voxels,
        moving.num_voxels,
        working.num_voxels,
        working_grid(moving, bound).num_voxels,
        shrunk_grid(working, finest).num_voxels,
    )


# -- memory ---------------------------------------------------------------------------------------------

#: Bytes: of the process itself; of a native voxel of the fixed and of the moving image, a working voxel of
#: either image, a voxel of the finest level of the deformable stage, and a voxel of a bounded lattice.
_BYTES = {
    "prepare": (3.5e8, 6, 6, 0, 0, 1),
    "side": (3.6e8, 2, 2, 5, 0, 0),
    "affine": (3.8e8, 2, 1, 22, 0, 0),
    "network": (4.3e8, 3, 0, 18, 0, 0),
    "deformable": (3.9e8, 2, 0, 21, 142, 0),
    "geodesic": (4.3e8, 2, 2, 8, 480, 0),
    "finish": (4.7e8, 23, 14, 0, 0, 20),
    "similarities": (4.6e8, 23, 13, 18, 0, 0),
}


def _stage_bytes(stage: str, size: _Size) -> float:
    return sum(cost * count for cost, count in zip(_BYTES[stage], size.features, strict=True))


# -- time -----------------------------------------------------------------------------------------------

#: Seconds of one core: a run's start, a native voxel and a working voxel of either image, the side.
_START_S, _NATIVE_S, _WORKING_S, _SIDE_S = 0.2, 9e-8, 1.5e-7, 0.1
#: The affine network with sampling and judging, and a step of the momentum network.
_NETWORK_S, _NETWORK_STEP_S = 0.3, 0.25
#: Seconds of one evaluation of the energy: at least, and a voxel.
_EVALUATION_S = {
    "affine": (0.002, 1.2e-7),
    "deformable": (0.005, 1.9e-7),
    "refining": (0.005, 2.0e-7),
    "geodesic": (0.02, 1.05e-6),
}
_EVALUATIONS_PER_ITERATION = 1.25
#: Share of the work that more threads make faster: the runs of docs/results.md had two.
_PARALLEL = 0.8


def _thread_factor(threads: int) -> float:
    return 1 - _PARALLEL + _PARALLEL / max(threads, 1)


def _work(fixed: Grid, size: _Size, config: RegistrationConfig) -> float:
    working = working_grid(fixed, config.preprocess.max_working_voxels)
    stages = _stages(config)
    seconds = _START_S + _NATIVE_S * (size.fixed + size.moving) + _WORKING_S * (size.working + size.working_moving)
    seconds += _SIDE_S * ("side" in stages)
    if "network" in stages:
        seconds += _NETWORK_S + _NETWORK_STEP_S * (config.network.vsvf_steps if config.method == "avsm" else 0)
    if "affine" in stages:
        starts = 3 if config.affine.initialization == "auto" else 1  # of which the coarsest level is run from each
        levels = (*config.affine.levels[:1] * starts, *config.affine.levels[1:])
        seconds += _evaluations_work(working, "affine", levels, config.affine.iterations)
    settings = _deformable(config)
    if settings is not None:
        seconds += _evaluations_work(working, _optimiser(config), settings.levels, settings.iterations) * _steps(config)
        if config.method == "avsm" and config.network.refine_affine:
            seconds += _evaluations_work(working, "affine", settings.levels[:1], settings.iterations)
    return seconds


def _optimiser(config: RegistrationConfig) -> str:
    return {"vsvf-opt": "deformable", "lddmm-opt": "geodesic", "avsm": "refining"}[config.method]


def _steps(config: RegistrationConfig) -> float:
    """Time by the number of steps of a geodesic, against the default's."""
    return config.lddmm.steps / LddmmConfig().steps if config.method == "lddmm-opt" else 1.0


def _evaluations_work(working: Grid, stage: str, levels: Sequence[int], iterations: int) -> float:
    least, voxel = _EVALUATION_S[stage]
    count = _EVALUATIONS_PER_ITERATION * iterations + 2
    return sum(count * (least + voxel * shrunk_grid(working, level).num_voxels) for level in levels)
