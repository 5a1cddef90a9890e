"""Time our methods beside other programs on the same pairs in the same run; write docs/performance.md's tables.

    make bench                                             # or: make bench ARGS="--minutes 40 --pairs 3"
    python Testing/Benchmarks/bench.py [PAIRS.csv] [--device cuda] [--peers none] [--no-write]

The pairs are phantoms (no data needed), or those of a list as ``joint-registration evaluate`` reads it. A round
runs every method once on every pair, ours in this process and each peer in one of its own, so that all meet the
machine in the same state. Ours begin with a warm-up that does not count. Rounds follow until ``--repeats`` or
``--minutes`` is reached. Seconds exclude reading and writing files. What was measured so far is kept in
``--raw`` after every run.
"""

from __future__ import annotations

import dataclasses
import gc
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

from JointRegistrationLib.config import DEVICES, RegistrationConfig  # noqa: E402
from JointRegistrationLib.errors import JointRegistrationError  # noqa: E402
from JointRegistrationLib.evaluation import EvaluationPair, Method, parse_methods, read_pairs  # noqa: E402
from JointRegistrationLib.files import read_image, read_labels, write_image, write_labels  # noqa: E402
from JointRegistrationLib.finish import jacobian  # noqa: E402
from JointRegistrationLib.geometry import Grid  # noqa: E402
from JointRegistrationLib.image import Image  # noqa: E402
from JointRegistrationLib.inference import register  # noqa: E402
from JointRegistrationLib.maps import from_displacement, warp_labels  # noqa: E402
from JointRegistrationLib.metrics import dice  # noqa: E402
from JointRegistrationLib.phantom import default_grid, make_pair  # noqa: E402

#: Labels of femoral and tibial cartilage, whose mean Dice is reported.
CARTILAGE = (2, 4)
METHODS = "affine-opt,vsvf-opt,avsm:vsvf_steps=3,avsm:vsvf_steps=3:refine=20"
FIRST_SEED = 7


@dataclasses.dataclass(frozen=True)
class Images:
    """A pair in memory."""

    fixed: Image
    moving: Image
    fixed_labels: Image
    moving_labels: Image


@dataclasses.dataclass(frozen=True)
class Measured:
    """One run of one method on one pair.

    ``dice`` in percent; nan, like ``folds``, where only the time was taken, because scores do not change.
    """

    method: str
    pair: str
    ours: bool
    seconds: float
    cpu_seconds: float
    peak_memory_mb: float
    dice: float = float("nan")
    folds: float = float("nan")
    version: str = ""


def phantom_pairs(folder: Path, count: int, size_ijk: tuple[int, int, int]) -> list[EvaluationPair]:
    """Phantom knees under known random maps, written as files for the peers."""
    pairs = []
    for seed in range(FIRST_SEED, FIRST_SEED + count):
        made = make_pair(seed, default_grid().resized(size_ijk))
        names = {}
        for role, knee in (("fixed", made.fixed), ("moving", made.moving)):
            names[role] = folder / f"phantom{seed}-{role}.nii.gz"
            names[f"{role}_labels"] = folder / f"phantom{seed}-{role}-labels.nii.gz"
            write_image(knee.image, names[role])
            write_labels(knee.labels, names[f"{role}_labels"])
        pairs.append(EvaluationPair("phantom", **names))
    return pairs


def load(pair: EvaluationPair) -> Images:
    """Images and label maps of a pair."""
    return Images(
        read_image(pair.fixed), read_image(pair.moving), read_labels(pair.fixed_labels), read_labels(pair.moving_labels)
    )


def cartilage_dice(images: Images, displacement_mm: np.ndarray, grid: Grid) -> float:
    """Mean Dice of the cartilages, in percent, of the moving labels through a field (k, j, i, 3) on ``grid``."""
    map_ras = from_displacement(torch.from_numpy(displacement_mm).movedim(-1, 0)[None], grid)
    warped = warp_labels(torch.from_numpy(images.moving_labels.array)[None, None], images.moving_labels.grid, map_ras)
    found = dice(images.fixed_labels.array, warped[0, 0].numpy(), CARTILAGE)
    return 100 * float(np.mean([found[label] for label in CARTILAGE]))


def run_ours(method: Method, images: Images, pair: str, device: str, score: bool) -> Measured:
    """Register in this process, which is warm."""
    config = dataclasses.replace(method.config, device=device)
    gc.collect()
    targets.reset_peak(device)
    begin, cpu = time.perf_counter(), time.process_time()
    result = register(images.fixed, images.moving, config)
    seconds, cpu_seconds = time.perf_counter() - begin, time.process_time() - cpu
    found = Measured(method.name, pair, True, seconds, cpu_seconds, targets.peak_mb(device))
    if not score:
        return found
    overlap = cartilage_dice(images, result.displacement_field_mm, result.fixed_grid)
    return dataclasses.replace(found, dice=overlap, folds=float(result.folds.count))


def shortened(method: Method) -> Method:
    """The method with one iteration of each optimisation: enough to warm up."""
    config = method.config
    return dataclasses.replace(
        method,
        config=dataclasses.replace(
            config,
            affine=dataclasses.replace(config.affine, iterations=1),
            vsvf=dataclasses.replace(config.vsvf, iterations=1),
            network=dataclasses.replace(config.network, refine=min(config.network.refine, 1)),
        ),
    )


def run_peer(
    peer: str, pair: EvaluationPair, images: Images, threads: int, python: Path, score: bool
) -> list[Measured]:
    """Register in a process of its own: the affine stage and the whole."""
    found = []
    for stage in peer_programs.register_pair(peer, pair.fixed, pair.moving, threads, python).stages():
        one = Measured(
            stage.method,
            pair.name,
            False,
            stage.seconds,
            stage.cpu_seconds,
            stage.peak_memory_mb,
            version=stage.version,
        )
        if score:
            field, grid = stage.displacement_field_mm, images.fixed.grid
            folds = float(jacobian(grid, field)[1].count)
            one = dataclasses.replace(one, dice=cartilage_dice(images, field, grid), folds=folds)
        found.append(one)
    return found


class Bench:
    """Rounds over all methods and pairs, until time or repeats are used up."""

    def __init__(self, minutes: float, repeats: int, raw: Path) -> None:
        self.runs: list[Measured] = []
        self.failures: list[str] = []
        self._end = time.monotonic() + 60 * minutes
        self._repeats = repeats
        self._raw = raw
        self._lasted: dict[str, float] = {}

    def rounds(self, jobs: dict[str, Callable[[bool], list[Measured]]]) -> None:
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
        self._lasted[name] = time.monotonic() - begin
        self.runs += found
        self._raw.parent.mkdir(parents=True, exist_ok=True)
        self._raw.write_text(json.dumps([dataclasses.asdict(run) for run in self.runs], indent=1), encoding="utf-8")
        for run in found:
            click.echo(f"round {number + 1}: {run.method}: {run.seconds:.1f} s, {run.cpu_seconds:.1f} CPU s", err=True)


def jobs_of(
    pairs: list[EvaluationPair], methods: tuple[Method, ...], peers: list[str], device: str, threads: int, python: Path
) -> dict[str, Callable[[bool], list[Measured]]]:
    """What a round consists of, our methods first within each pair."""
    jobs: dict[str, Callable[[bool], list[Measured]]] = {}
    for pair in pairs:
        images = load(pair)
        for method in methods:
            jobs[f"{method.name}, {pair.name}"] = lambda score, m=method, i=images, p=pair: [
                run_ours(m, i, p.name, device, score)
            ]
        for peer in peers:
            jobs[f"{peer}, {pair.name}"] = lambda score, q=peer, i=images, p=pair: run_peer(
                q, p, i, threads, python, score
            )
    return jobs


def unregistered(pairs: list[EvaluationPair]) -> float:
    """Mean cartilage Dice where the headers put the images."""
    found = []
    for images in map(load, pairs):
        grid = images.fixed.grid
        found.append(cartilage_dice(images, np.zeros((*grid.shape, 3), np.float32), grid))
    return float(np.mean(found))


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
    "--minutes", type=float, default=12.0, show_default=True, help="No repetition begins that would end later."
)
@click.option(
    "--targets/--no-targets", "with_targets", default=True, help="The native 384 x 384 x 160 case and the cold run."
)
@click.option("--raw", type=click.Path(path_type=Path), default=ROOT / "build" / "bench.json", show_default=True)
@click.option("--write/--no-write", default=True, help="Replace the tables and the picture of docs/performance.md.")
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
    with_targets: bool,
    raw: Path,
    write: bool,
    python: Path,
) -> None:
    """Measure, and put the tables where they belong."""
    torch.set_num_threads(threads)
    machine = report.machine(device, threads)
    with tempfile.TemporaryDirectory() as scratch:
        try:
            pairs = phantom_pairs(Path(scratch), count, size) if pairs_path is None else read_pairs(pairs_path)[:count]
            ours = parse_methods(methods, RegistrationConfig())
        except JointRegistrationError as error:
            raise click.ClickException(str(error)) from error
        there = peer_programs.installed(peers, python)
        bench = Bench(minutes, repeats, raw)
        warm = load(pairs[0])
        for method in ours:  # the first call of each loads weights and finds its memory
            run_ours(shortened(method), warm, "", device, score=False)
        before = unregistered(pairs)
        bench.rounds(jobs_of(pairs, ours, there, device, threads, python))
    missing = [f"{peer} did not install and was left out" for peer in peers if peer not in there]
    text = report.tables(bench.runs, before, size if pairs_path is None else None, missing + bench.failures, machine)
    if with_targets:
        text += targets.section(device, threads)
    click.echo(text)
    if write:
        report.write(text, bench.runs, before)


if __name__ == "__main__":
    main()
