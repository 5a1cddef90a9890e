"""Time our methods beside other programs on the same pairs in the same run; write docs/performance.md's tables.

    make bench                                             # or: make bench ARGS="--minutes 40 --pairs 3"
    python Testing/Benchmarks/bench.py [PAIRS.csv] [--device cuda] [--peers none] [--no-write]

The pairs are phantoms (no data needed), or those of a list as ``joint-registration evaluate`` reads it. A round
runs every method once on every pair, ours in this process and each peer in one of its own, so that all meet the
machine in the same state. Ours begin with a warm-up that does not count. Rounds follow until ``--repeats`` or
``--minutes`` is reached. A peer that takes longer than ``--limit`` is stopped, and its row says so; phantom pairs of
half the size, one round, then show where it would have ended. Seconds exclude reading and writing files. What was
measured so far is kept in ``--raw`` after every run.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).resolve().parent)]

import bench_report as report  # noqa: E402
import bench_targets as targets  # noqa: E402
import peers as peer_programs  # noqa: E402
import test_kernels as kernels  # noqa: E402
from bench_runs import Measured, load, phantom_pairs, run_ours, run_peer, shortened, unregistered  # noqa: E402

from JointRegistrationLib.core.config import DEVICES, RegistrationConfig  # noqa: E402
from JointRegistrationLib.core.errors import JointRegistrationError  # noqa: E402
from JointRegistrationLib.evaluation.methods import Method, parse_methods  # noqa: E402
from JointRegistrationLib.evaluation.pairs import EvaluationPair, read_pairs  # noqa: E402

METHODS = "affine-opt,avsm-affine,vsvf-opt,avsm:vsvf_steps=3,avsm:vsvf_steps=3:refine=20"

Jobs = dict[str, Callable[[bool], list[Measured]]]


@dataclasses.dataclass(frozen=True)
class Conditions:
    """What all methods share: where ours run, how many threads each has, and what a peer may take."""

    device: str
    threads: int
    peers: list[str]
    python: Path
    limit_s: float
    raw: Path


class Bench:
    """Rounds over all methods and pairs, until time or repeats are used up."""

    def __init__(self, minutes: float, repeats: int, raw: Path) -> None:
        self.runs: list[Measured] = []
        self.failures: list[str] = []
        self._end = time.monotonic() + 60 * minutes
        self._repeats = repeats
        self._raw = raw
        self._lasted: dict[str, float] = {}

    def rounds(self, jobs: Jobs) -> None:
        """``jobs``: by name, what runs a method on a pair and says whether to score it. Quick ones come first."""
        for number in range(self._repeats):
            for name, job in jobs.items():
                lasted = self._lasted.get(name, 0.0)
                if number and (lasted == np.inf or time.monotonic() + lasted > self._end):
                    continue
                self._run(name, job, number)

    def _run(self, name: str, job: Callable[[bool], list[Measured]], number: int) -> None:
        begin = time.monotonic()
        try:
            found = job(number == 0)
        except (peer_programs.PeerError, JointRegistrationError) as error:
            self.failures.append(f"{name}: {error}")
            self._lasted[name] = np.inf
            click.echo(self.failures[-1], err=True)
            return
        self._lasted[name] = np.inf if any(run.cut_off for run in found) else time.monotonic() - begin
        self.runs += found
        self._raw.parent.mkdir(parents=True, exist_ok=True)
        self._raw.write_text(json.dumps([dataclasses.asdict(run) for run in self.runs], indent=1), encoding="utf-8")
        for run in found:
            more = "stopped after " if run.cut_off else ""
            cpu = "" if run.cut_off else f", {run.cpu_seconds:.1f} CPU s"
            click.echo(f"round {number + 1}: {run.method}: {more}{run.seconds:.1f} s{cpu}", err=True)


def jobs_of(pairs: list[EvaluationPair], methods: tuple[Method, ...], given: Conditions) -> Jobs:
    """What a round consists of, our methods first within each pair."""
    jobs: Jobs = {}
    for pair in pairs:
        images = load(pair)
        for method in methods:
            jobs[f"{method.name}, {pair.name}"] = lambda score, m=method, i=images, p=pair: [
                run_ours(m, i, p.name, given.device, score)
            ]
        for peer in given.peers:
            jobs[f"{peer}, {pair.name}"] = lambda score, q=peer, i=images, p=pair: run_peer(
                q, p, i, given.threads, given.python, given.limit_s, score
            )
    return jobs


def compare(
    pairs: list[EvaluationPair], methods: tuple[Method, ...], given: Conditions, minutes: float, repeats: int
) -> report.Comparison:
    """Measure every method on every pair."""
    bench = Bench(minutes, repeats, given.raw)
    warm = load(pairs[0])
    for method in methods:  # the first call of each loads weights and finds its memory
        run_ours(shortened(method), warm, "", given.device, score=False)
    size = warm.fixed.grid.size_ijk
    before = unregistered(pairs)
    bench.rounds(jobs_of(pairs, methods, given))
    return report.Comparison(size, before, bench.runs, bench.failures)


def chosen_peers(_context: click.Context, _option: click.Parameter, text: str) -> list[str]:
    """Peers from a list; none for ``none``."""
    return [] if text == "none" else peer_programs.chosen(_context, _option, text)


@click.command(help=__doc__.split("\n")[0])
@click.argument("pairs_path", metavar="[PAIRS.csv]", type=click.Path(path_type=Path), required=False)
@click.option("--pairs", "count", type=click.IntRange(min=1), default=1, show_default=True, help="How many pairs.")
@click.option("--size", type=click.IntRange(min=32), nargs=3, default=(192, 192, 80), show_default=True)
@click.option("--methods", default=METHODS, show_default=True, help="Ours, as evaluate takes them.")
@click.option("--peers", default="greedy,elastix,demons,syn", callback=chosen_peers, help="Others, or none.")
@click.option("--device", type=click.Choice(DEVICES), default="cpu", show_default=True, help="For our methods.")
@click.option("--threads", type=click.IntRange(min=1), default=os.cpu_count() or 1, show_default=True)
@click.option("--repeats", type=click.IntRange(min=1), default=5, show_default=True, help="Rounds, at most.")
@click.option(
    "--minutes", type=float, default=17.0, show_default=True, help="No repetition begins that would end later."
)
@click.option("--limit", type=float, default=600.0, show_default=True, help="Seconds after which a peer is stopped.")
@click.option("--half/--no-half", default=True, help="One more round with phantom pairs of half the size.")
@click.option(
    "--targets/--no-targets",
    "with_targets",
    default=True,
    help="The native 384 x 384 x 160 case, the cold run, the kernels.",
)
@click.option("--raw", type=click.Path(path_type=Path), default=ROOT / "build" / "bench.json", show_default=True)
@click.option("--write/--no-write", default=True, help="Replace the tables and the picture of docs/performance.md.")
@click.option("--picture", type=click.Path(path_type=Path), help="Draw the picture there too.")
@click.option("--python", type=click.Path(path_type=Path), default=peer_programs.default_python)
def main(
    pairs_path: Path | None,
    count: int,
    size: tuple[int, int, int],
    methods: str,
    peers: list[str],
    device: str,
    threads: int,
    repeats: int,
    minutes: float,
    limit: float,
    half: bool,
    with_targets: bool,
    raw: Path,
    write: bool,
    picture: Path | None,
    python: Path,
) -> None:
    """Measure, and put the tables where they belong."""
    torch.set_num_threads(threads)
    machine = report.machine(device, threads)
    there = peer_programs.installed(peers, python)
    given = Conditions(device, threads, there, python, limit, raw)
    comparisons = []
    with tempfile.TemporaryDirectory() as scratch:
        try:
            ours = parse_methods(methods, RegistrationConfig())
            pairs = phantom_pairs(Path(scratch), count, size) if pairs_path is None else read_pairs(pairs_path)[:count]
        except JointRegistrationError as error:
            raise click.ClickException(str(error)) from error
        comparisons.append(compare(pairs, ours, given, minutes, repeats))
        if half and pairs_path is None:
            i, j, k = (n // 2 for n in size)
            small = phantom_pairs(Path(scratch), count, (i, j, k))
            given = dataclasses.replace(given, raw=raw.with_stem(f"{raw.stem}-half"))
            comparisons.append(compare(small, ours, given, 0, 1))
    missing = [f"{peer} did not install and was left out" for peer in peers if peer not in there]
    text = report.tables(comparisons, "phantom" if pairs_path is None else "listed", missing, machine)
    if write:
        report.write(text, comparisons)  # stays if the rest fails
    if with_targets:
        text += targets.section(device, threads, comparisons)
        text += f"\n### Kernels by size, one thread\n\n{kernels.study()}\n" if device == "cpu" else ""
    click.echo(text)
    if picture is not None:
        report.draw(comparisons, picture)
    if write:
        report.write(text, comparisons)


if __name__ == "__main__":
    main()
