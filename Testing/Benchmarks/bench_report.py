"""Tables and picture of ``bench.py``, and where they stand in docs/performance.md."""

from __future__ import annotations

import datetime
import math
import os
import platform
import statistics
from collections.abc import Iterable, Sequence
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


def tables(
    runs: Sequence[Any], before: float, size: tuple[int, int, int] | None, notes: Iterable[str], where: str
) -> str:
    """The comparison as Markdown.

    Args:
        runs: :class:`bench.Measured`.
        before: cartilage Dice without registration, percent.
        size: of the phantoms; None for a list of pairs.
        notes: what was left out, or failed.
        where: :func:`machine`.
    """
    pairs = len({run.pair for run in runs})
    what = f"{pairs} phantom pair(s) of {' x '.join(map(str, size))} voxels" if size else f"{pairs} listed pair(s)"
    lines = [f"{what}; {where}", ""]
    lines += ["| method | runs | s, median (least - most) | CPU s | times avsm | peak GB | cartilage Dice, % | folds |"]
    lines += ["|---|---|---|---|---|---|---|---|", f"| none | | | | | | {before:.1f} | 0 |"]
    groups = grouped(runs)
    reference = next((_median(found, "seconds") for name, found in groups.items() if _is_reference(name)), float("nan"))
    for name, found in groups.items():
        seconds = [run.seconds for run in found]
        spread = f"{statistics.median(seconds):.1f} ({min(seconds):.1f} - {max(seconds):.1f})"
        ratio = f"{statistics.median(seconds) / reference:.2g}" if math.isfinite(reference) else ""
        lines.append(
            f"| {name} | {len(found)} | {spread} | {_median(found, 'cpu_seconds'):.1f} | {ratio} | "
            f"{max(run.peak_memory_mb for run in found) / 1e3:.2f} | {mean_dice(found):.1f} | "
            f"{_mean_folds(found):.0f} |"
        )
    versions = sorted({run.version for run in runs if run.version})
    lines += ["", f"Others: {', '.join(versions)}." if versions else "No other program was measured."]
    lines += [f"{note}." for note in notes]
    lines += ["FireANTs and uniGradICON need a GPU and were not measured.", ""]
    return "\n".join(lines)


def _is_reference(name: str) -> bool:
    return name.split(":", maxsplit=1)[0] == "avsm" and "refine" not in name


def grouped(runs: Sequence[Any]) -> dict[str, list[Any]]:
    """Runs by method, ours first, each in the order of its first run."""
    groups: dict[str, list[Any]] = {}
    for run in sorted(runs, key=lambda run: not run.ours):
        groups.setdefault(run.method, []).append(run)
    return groups


def mean_dice(runs: Sequence[Any]) -> float:
    """Over those runs that were scored, one a pair."""
    scored = [run.dice for run in runs if math.isfinite(run.dice)]
    return statistics.fmean(scored) if scored else float("nan")


def _mean_folds(runs: Sequence[Any]) -> float:
    scored = [run.folds for run in runs if math.isfinite(run.folds)]
    return statistics.fmean(scored) if scored else float("nan")


def _median(runs: Sequence[Any], name: str) -> float:
    return statistics.median(getattr(run, name) for run in runs)


def write(text: str, runs: Sequence[Any], before: float) -> None:
    """Replace what stands between the two marks in docs/performance.md, and the picture."""
    page = PAGE.read_text(encoding="utf-8")
    head, rest = page.split(BEGIN, 1)
    tail = rest.split(END, 1)[1]
    draw(runs, before, PICTURE)
    PAGE.write_text(f"{head}{BEGIN}\n\n{text}\n{END}{tail}", encoding="utf-8")


def draw(runs: Sequence[Any], before: float, path: Path) -> None:
    """Dice against time, ours and the others."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4.2), layout="constrained")
    axes.axhline(before, color="#999999", linewidth=1, linestyle=":")
    axes.text(
        0.995, before, "not registered", transform=axes.get_yaxis_transform(), ha="right", va="bottom", color="#666666"
    )
    labels = []
    for name, found in grouped(runs).items():
        seconds, overlap = _median(found, "seconds"), mean_dice(found)
        colour = "#0b6e99" if found[0].ours else "#8a8a8a"
        axes.plot(seconds, overlap, "o" if found[0].ours else "s", color=colour, markersize=7)
        labels.append((seconds, overlap, name.replace(":", ", ").replace("_", " "), colour))
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter("{x:g}")
    axes.margins(x=0.25, y=0.15)
    for seconds, overlap, name, colour in labels:
        axes.annotate(name, (seconds, overlap), xytext=(6, 5), textcoords="offset points", fontsize=8, color=colour)
    axes.set_xlabel("time, s (files excluded)")
    axes.set_ylabel("cartilage Dice, %")
    axes.set_title("Ours (blue) and others (grey) on the same pairs in the same run", fontsize=10)
    axes.grid(alpha=0.25, which="both")
    figure.savefig(path, dpi=130)
    pyplot.close(figure)
