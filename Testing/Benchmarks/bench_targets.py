"""The table of the speed targets: what was asked for, what is measured, and by how much it is met or missed."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import bench_report as report
import measure_plan
from bench_cases import (
    AVSM,
    NATIVE,
    REPEATS,
    WORKING,
    Case,
    at_size,
    cold_run,
    iteration_seconds,
    limits,
    measured,
    native_pair,
)

from JointRegistrationLib.core.config import RegistrationConfig
from JointRegistrationLib.core.errors import ResourceError
from JointRegistrationLib.core.image import Image
from JointRegistrationLib.core.plan import MIN_WORKING_VOXELS, estimate_plan, low_memory

#: The largest pair that must run, and the memory it is planned for.
LARGE, LARGE_BYTES = (512, 512, 200), 4e9


@dataclasses.dataclass(frozen=True)
class Row:
    """A target, what was measured, and by how much it is met or missed; without a verdict the figure only informs."""

    target: str
    measured: str
    verdict: str = ""


def at_most(target: str, limit: float, value: float, unit: str, cpu_seconds: float = math.nan) -> Row:
    """``value`` is to be no larger than ``limit``."""
    measured = f"{value:.3g} {unit}" + (f" ({cpu_seconds:.3g} CPU s)" if math.isfinite(cpu_seconds) else "")
    verdict = "met" if value <= limit else f"missed by {value - limit:.2g} {unit}"
    return Row(f"{target}: at most {limit:g} {unit}", measured, verdict)


def faster_than(peer: str, times: float, comparison: report.Comparison) -> list[Row]:
    """Avsm is to be ``times`` faster than a peer at no lower Dice; both on grids of the comparison's size."""
    ratio, runs = comparison.times_reference(peer), comparison.groups.get(peer, [])
    size = report.by_size(comparison.size_ijk)
    if not math.isfinite(ratio):
        return []
    more = "more than " if any(run.cut_off for run in runs) else ""
    verdict = "met" if ratio >= times else ("open" if more else f"missed by a factor of {times / ratio:.2g}")
    rows = [Row(f"{times:g} times faster than {peer}, {size}", f"{more}{ratio:.3g} times", verdict)]
    theirs, ours = (report.mean_scored(found, "dice") for found in (runs, comparison.reference))
    if math.isfinite(theirs):
        rows.append(
            Row(
                f"no lower cartilage Dice than {peer}, {size}",
                f"avsm {ours:.1f} %, {peer} {theirs:.1f} %",
                "met" if ours >= theirs else f"missed by {theirs - ours:.1f} points",
            )
        )
    return rows


def planned_and_measured(
    size_ijk: tuple[int, int, int], config: RegistrationConfig, available_bytes: float
) -> tuple[Row, Row]:
    """Memory of a run in a process of its own, planned for ``available_bytes``, and its time, against the plan's."""
    grid = measure_plan.knee_grid(size_ijk)
    what = f"{report.by_size(size_ijk)}, {config.method}, refine {config.network.refine}"
    target = f"memory estimate within 20 %: {what}, planned for {available_bytes / 1e9:g} GB"
    try:
        config = low_memory(dataclasses.replace(config, device="cpu"), (grid, grid), int(available_bytes))
    except ResourceError as error:
        return Row(target, str(error), "missed"), Row(what, "")
    plan = estimate_plan(grid, grid, config)
    found = measure_plan.in_new_process(size_ijk, size_ijk, config)
    ratio = plan.memory_bytes / found["peak"]
    measured = (
        f"{plan.memory_bytes / 1e9:.2f} GB planned, {found['peak'] / 1e9:.2f} GB measured, ratio {ratio:.2f}; "
        f"{plan.working_voxels / 1e6:.2f} million working voxels"
    )
    verdict = "met" if abs(ratio - 1) <= 0.2 else "missed"
    if found["peak"] > available_bytes:
        verdict += f", but {(found['peak'] - available_bytes) / 1e6:.0f} MB above what was allowed"
    seconds = f"{plan.work:.3g} s planned, {found['seconds']:.3g} CPU s measured"
    return Row(target, measured, verdict), Row(f"its time, one thread: {what}", seconds)


def section(device: str, threads: int, comparisons: Sequence[report.Comparison] = ()) -> str:
    """The table of the targets, Markdown; ``comparisons``: what :mod:`bench` measured beside other programs."""
    fixed, moving = native_pair()
    small = [at_size(image, WORKING) for image in (fixed, moving)]
    avsm = measured(fixed, moving, AVSM, device)
    rows = _on_gpu(avsm, small, fixed, moving) if device == "cuda" else _on_cpu(avsm, small, fixed, moving, threads)
    for comparison in comparisons:
        rows += [*faster_than("greedy", 10, comparison), *faster_than("syn", 100, comparison)]
        rows += _native_ratio(avsm, comparison)
    if device == "cpu":
        rows += _planned()
    lines = ["", "### Targets", "", "| target | measured | |", "|---|---|---|"]
    lines += [f"| {row.target} | {row.measured} | {row.verdict} |" for row in rows]
    stages = ", ".join(f"{name} {seconds:.2g}" for name, seconds in avsm.stages.items())
    lines += [
        "",
        "Avsm here: 7 affine and 3 vSVF steps, no refinement; both displacement fields, warped image and Jacobian on "
        f"the native grid. Stages of the first row, s: {stages}; spread of the total {avsm.spread:.2g} s over "
        f"{REPEATS} runs.",
        "",
    ]
    if device == "cpu":
        copy, product, convolution = limits()
        lines += [
            f"This machine, {threads} threads, float32: copying {copy:.0f} GB/s (read and write), matrix product "
            f"{product:.0f} GFLOP/s, the momentum network's largest convolution {convolution:.0f} GFLOP/s.",
            "",
        ]
    return "\n".join(lines)


def _on_cpu(avsm: Case, small: Sequence[Image], fixed: Image, moving: Image, threads: int) -> list[Row]:
    native, working = (report.by_size(size) for size in (NATIVE, WORKING))
    affine = measured(fixed, moving, dataclasses.replace(AVSM, method="avsm-affine"), "cpu", repeats=1)
    at_working = measured(small[0], small[1], AVSM, "cpu")
    half, full = (iteration_seconds(small[0], small[1], "cpu", level) for level in (2, 1))
    cold = cold_run(fixed, moving, threads, "cpu")
    voxels = math.prod(NATIVE) / math.prod(WORKING)
    exponent = math.log(avsm.seconds / at_working.seconds) / math.log(voxels)
    return [
        at_most(f"avsm, {native}, warm", 6, avsm.seconds, "s", avsm.cpu_seconds),
        at_most("the same: peak resident memory", 3, avsm.peak_mb / 1e3, "GB"),
        at_most("affine stage alone (sampling and judging included)", 1.5, affine.stages["network"], "s"),
        at_most("an iteration of refinement at half resolution", 1, half[0], "s", half[1]),
        Row("an iteration of refinement at full resolution", f"{full[0]:.2g} s ({full[1]:.2g} CPU s)"),
        at_most(f"command line, {native}, cold, all told", 10, *_with_unit(cold["all told"])),
        at_most("of which importing and loading weights", 3, *_with_unit(cold["importing and loading the weights"])),
        Row(
            f"command line, {working}, cold, all told",
            "{:.3g} s ({:.3g} CPU s)".format(*cold_run(small[0], small[1], threads, "cpu")["all told"]),
        ),
        Row(
            "cost grows linearly with voxels",
            f"{working}: {at_working.seconds:.3g} s; {native}, {voxels:.3g} times the voxels: {avsm.seconds:.3g} s; "
            f"exponent {exponent:.2f}",
            "met" if exponent <= 1.1 else "missed",
        ),
    ]


def _with_unit(seconds: tuple[float, float]) -> tuple[float, str, float]:
    return seconds[0], "s", seconds[1]


def _on_gpu(avsm: Case, small: Sequence[Image], fixed: Image, moving: Image) -> list[Row]:
    grids = (fixed.grid, moving.grid)
    low = dataclasses.replace(
        AVSM, preprocess=dataclasses.replace(AVSM.preprocess, max_working_voxels=MIN_WORKING_VOXELS)
    )
    least = measured(fixed, moving, low, "cuda")
    half, _ = iteration_seconds(small[0], small[1], "cuda", 2)
    full, _ = iteration_seconds(small[0], small[1], "cuda", 1)
    sizes = report.by_size(grids[0].size_ijk)
    return [
        at_most(f"avsm, {sizes}, warm", 60, 1e3 * avsm.seconds, "ms"),
        Row("the same: GPU memory", f"{avsm.peak_mb / 1e3:.2f} GB"),
        at_most("GPU memory at the coarsest working resolution", 1.5, least.peak_mb / 1e3, "GB"),
        at_most("an iteration of refinement at full resolution", 20, 1e3 * full, "ms"),
        Row("an iteration of refinement at half resolution", f"{1e3 * half:.3g} ms"),
    ]


def _native_ratio(avsm: Case, comparison: report.Comparison) -> list[Row]:
    """Greedy on the working grid against avsm with its results on the native one."""
    runs = comparison.groups.get("greedy", [])
    if not runs or tuple(comparison.size_ijk) != WORKING:
        return []
    ratio = report.median(runs, "seconds") / avsm.seconds
    what = f"greedy, {report.by_size(WORKING)}, by avsm with results at {report.by_size(NATIVE)}"
    return [Row(what, f"{ratio:.3g} times")]


def _planned() -> list[Row]:
    """Estimates against runs in processes of their own, one thread each."""
    refined = dataclasses.replace(AVSM, network=dataclasses.replace(AVSM.network, refine=3))
    cases = [
        (NATIVE, AVSM, 8e9),
        (WORKING, refined, 8e9),
        (WORKING, refined, 0.8e9),
        (LARGE, AVSM, LARGE_BYTES),
    ]
    return [row for case in cases for row in planned_and_measured(*case)]
