"""Tables and picture of ``bench.py``, and where they stand in docs/performance.md."""

from __future__ import annotations

import datetime
import math
import os
import platform
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "performance.md"
PICTURE = ROOT / "docs" / "images" / "performance.png"
BEGIN, END = "<!-- bench.py writes from here -->", "<!-- to here -->"


def machine(device: str, threads: int) -> str:
    """Where and with what it was measured, as sentences; a busy machine is said to be one."""
    name = torch.cuda.get_device_name() if device == "cuda" else f"{threads} threads"
    packages = ", ".join(f"{package} {version(package)}" for package in ("torch", "numpy", "SimpleITK"))
    said = f"{datetime.date.today()}, {_processor()}, {name}; Python {platform.python_version()}, {packages}."
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    if load > 0.5 * (os.cpu_count() or 1):
        said += f" Other programs were running (load {load:.0f} on {os.cpu_count()} cores): go by the CPU seconds."
    return said


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.exists():
        return platform.processor() or platform.machine()
    lines = dict(line.split(":", 1) for line in cpuinfo.read_text(encoding="utf-8").splitlines() if ":" in line)
    found = {key.strip(): value.strip() for key, value in lines.items()}
    return f"{found.get('model name', platform.machine())} (family {found.get('cpu family', '?')})"


#: Colours of our points and of the others' in the picture.
OURS, OTHERS = "#0b6e99", "#7a7a7a"


@dataclass(frozen=True)
class Comparison:
    """All runs on pairs of one size.

    Args:
        size_ijk: voxels of the first pair's fixed image.
        before: cartilage Dice without registration, percent.
        runs: :class:`bench_runs.Measured`.
        failures: sentences about what failed.
    """

    size_ijk: tuple[int, int, int]
    before: float
    runs: Sequence[Any]
    failures: Sequence[str] = ()

    @property
    def groups(self) -> dict[str, list[Any]]:
        """Runs by method, ours first, each in the order of its first run."""
        groups: dict[str, list[Any]] = {}
        for run in sorted(self.runs, key=lambda run: not run.ours):
            groups.setdefault(run.method, []).append(run)
        return groups

    @property
    def reference(self) -> list[Any]:
        """The runs of avsm without refinement, which the others' times are divided by; empty if there is none."""
        return next((found for name, found in self.groups.items() if _is_reference(name)), [])

    def times_reference(self, method: str) -> float:
        """The method's median seconds by those of :attr:`reference`; nan where one of them was not run."""
        if not self.reference or method not in self.groups:
            return math.nan
        return median(self.groups[method], "seconds") / median(self.reference, "seconds")


def by_size(size_ijk: Sequence[int]) -> str:
    """E.g. 192 x 192 x 80."""
    return " x ".join(map(str, size_ijk))


def tables(comparisons: Sequence[Comparison], kind: str, notes: Iterable[str], where: str) -> str:
    """The comparisons as Markdown.

    Args:
        comparisons: each becomes a table.
        kind: of the pairs: phantom, or listed.
        notes: what was left out.
        where: :func:`machine`.
    """
    lines = [where, ""]
    for comparison in comparisons:
        lines += [*_table(comparison, kind), ""]
    runs = [run for comparison in comparisons for run in comparison.runs]
    versions = sorted({run.version for run in runs if run.version})
    lines += [f"Others: {', '.join(versions)}." if versions else "No other program was measured."]
    lines += [
        '"Times avsm": the median by that of avsm without refinement in the same table. Peak memory is the resident '
        "memory of the process, Python and libraries included; of ours also the images of the other runs."
    ]
    if any(run.cut_off for run in runs):
        lines += ["A program with > was stopped after that time, so its ratio is a lower bound."]
    lines += [f"{note}." for note in [*notes, *(note for found in comparisons for note in found.failures)]]
    lines += ["FireANTs and the uniGradICON architecture need a GPU, and this benchmark does not know them yet.", ""]
    return "\n".join(lines)


def _table(comparison: Comparison, kind: str) -> list[str]:
    pairs = len({run.pair for run in comparison.runs})
    lines = [f"### {pairs} {kind} pair{'s' * (pairs != 1)}, {by_size(comparison.size_ijk)} voxels", ""]
    lines += ["| method | runs | s, median (least - most) | CPU s | times avsm | peak GB | cartilage Dice, % | folds |"]
    lines += ["|---|---|---|---|---|---|---|---|", f"| none | | | | | | {comparison.before:.1f} | 0 |"]
    for name, found in comparison.groups.items():
        seconds = [run.seconds for run in found]
        cut_off = any(run.cut_off for run in found)
        spread = f"{statistics.median(seconds):.3g} ({min(seconds):.3g} - {max(seconds):.3g})"
        cells = [
            name,
            f"{len(found)}",
            f"> {max(seconds):.0f}" if cut_off else spread,
            _cell(median(found, "cpu_seconds"), ".3g"),
            "> " * cut_off + _cell(comparison.times_reference(name), ".2g"),
            _cell(max(run.peak_memory_mb for run in found) / 1e3, ".2f"),
            _cell(mean_scored(found, "dice"), ".1f"),
            _cell(mean_scored(found, "folds"), ".0f"),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _cell(value: float, form: str) -> str:
    """A number; empty where there is none."""
    return format(value, form) if math.isfinite(value) else ""


def _is_reference(name: str) -> bool:
    return name.split(":", maxsplit=1)[0] == "avsm" and "refine" not in name


def mean_scored(runs: Sequence[Any], name: str) -> float:
    """Of Dice or folds, over those runs that were scored, one a pair."""
    scored = [getattr(run, name) for run in runs if math.isfinite(getattr(run, name))]
    return statistics.fmean(scored) if scored else float("nan")


def median(runs: Sequence[Any], name: str) -> float:
    """Of an attribute of the runs."""
    return statistics.median(getattr(run, name) for run in runs)


def write(text: str, comparisons: Sequence[Comparison]) -> None:
    """Replace what stands between the two marks in docs/performance.md, and the picture."""
    page = PAGE.read_text(encoding="utf-8")
    head, rest = page.split(BEGIN, 1)
    tail = rest.split(END, 1)[1]
    draw(comparisons, PICTURE)
    alternative = "Cartilage Dice against time, ours and other programs"
    PAGE.write_text(
        f"{head}{BEGIN}\n\n{text.strip()}\n\n![{alternative}](images/{PICTURE.name})\n\n{END}{tail}", encoding="utf-8"
    )


def draw(comparisons: Sequence[Comparison], path: Path) -> None:
    """Dice against time, ours and the others, one panel a comparison."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(
        1, len(comparisons), figsize=(6.2 * len(comparisons), 4.4), layout="constrained", squeeze=False, sharey=True
    )
    for axes, comparison in zip(panels[0], comparisons, strict=True):
        _panel(axes, comparison)
    panels[0][0].set_ylabel("cartilage Dice, %")
    figure.suptitle("Ours (blue) and others (grey; affine stages hollow), same pairs, same run", fontsize=10)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _panel(axes: Any, comparison: Comparison) -> None:
    axes.axhline(comparison.before, color="#999999", linewidth=1, linestyle=":")
    axes.text(
        0.995,
        comparison.before,
        "not registered",
        transform=axes.get_yaxis_transform(),
        ha="right",
        va="bottom",
        color="#666666",
        fontsize=8,
    )
    stopped = 0
    labels: list[tuple[float, float, str, bool]] = []
    for name, found in comparison.groups.items():
        seconds, overlap = median(found, "seconds"), mean_scored(found, "dice")
        ours = found[0].ours
        colour = OURS if ours else OTHERS
        label = name.replace(":vsvf_steps=3", "").replace(":", ", ").replace("=", " ")
        if not math.isfinite(overlap):
            where = (seconds, 0.02 + 0.045 * stopped)
            stopped += 1
            axes.axvline(seconds, color=colour, linewidth=1, linestyle="--")
            axes.text(
                *where, f"{label}: longer ", transform=axes.get_xaxis_transform(), ha="right", fontsize=8, color=colour
            )
            continue
        affine = "affine" in name
        axes.plot(
            seconds,
            overlap,
            "o" if ours else "s",
            color=colour,
            markerfacecolor="white" if affine else colour,
            markersize=7,
        )
        if not affine:
            labels.append((seconds, overlap, label, ours))
    for ours in (True, False):
        _annotate(axes, sorted(at[:3] for at in labels if at[3] == ours), above=ours)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.margins(x=0.22, y=0.15)
    axes.set_xlabel("time, s (files excluded)")
    axes.set_title(f"{by_size(comparison.size_ijk)} voxels", fontsize=9)
    axes.grid(alpha=0.25, which="both")


def _annotate(axes: Any, labels: Sequence[tuple[float, float, str]], *, above: bool) -> None:
    """Names beside their points, (seconds, Dice, name); those of points close together one over the other."""
    level, before = 0, (0.0, 0.0)
    for seconds, overlap, label in labels:
        close = seconds < 2.5 * before[0] and abs(overlap - before[1]) < 1.5
        level, before = level + 1 if close else 0, (seconds, overlap)
        beside = (6, 5 + 10 * level) if above else (6, -11 - 10 * level)
        colour = OURS if above else OTHERS
        axes.annotate(label, (seconds, overlap), xytext=beside, textcoords="offset points", fontsize=8, color=colour)
