"""Register the evaluation's pairs with other programs and add their rows to its table.

    python3 -m venv .venv-peers
    .venv-peers/bin/pip install -c constraints.txt -r Testing/Benchmarks/peer_tools/requirements.txt
    python Testing/Benchmarks/peers.py runs/evaluation/PAIRS.csv --output runs/evaluation/table.csv \\
        --peers syn,greedy,elastix,demons,convexadam [--limit 2] [--threads 1]

The table is that of ``joint-registration evaluate``, and rows that are in it stay. Each peer runs alone in a
process of its own (peer_tools/), in an environment of its own, because antspyx wants an older NumPy. It leaves
displacement fields; labels are warped, and everything is measured, by the library, as for our own methods.
Affine stages are rows of their own; ConvexAdam, which has none, begins with our ``affine-opt``, whose time does not
count as its. Seconds are those of the registration, without reading and writing; peak memory is that of the peer's
process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import numpy.typing as npt
import SimpleITK as sitk
import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from JointRegistrationLib.core.config import PreprocessConfig, RegistrationConfig  # noqa: E402
from JointRegistrationLib.core.errors import JointRegistrationError  # noqa: E402
from JointRegistrationLib.evaluation.pairs import EvaluationPair, label_values, read_pairs  # noqa: E402
from JointRegistrationLib.evaluation.run import score_labels  # noqa: E402
from JointRegistrationLib.evaluation.table import ResultTable, summary  # noqa: E402
from JointRegistrationLib.files import read_image, read_labels, write_affine  # noqa: E402
from JointRegistrationLib.ops.maps import from_displacement, jacobian_determinant  # noqa: E402
from JointRegistrationLib.registration.local_map import LocalMap  # noqa: E402
from JointRegistrationLib.registration.native_grids import round_trip_error  # noqa: E402
from JointRegistrationLib.registration.register import prepare_pair, register, similarities  # noqa: E402
from Testing.Benchmarks.peer_tools.stages import START  # noqa: E402

TOOLS = Path(__file__).resolve().parent / "peer_tools"
REQUIREMENTS = TOOLS / "requirements.txt"
FloatVolume = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Peer:
    """A program in peer_tools/: the package and module it needs, and the rows it makes, its last stage last.

    ``needs_affine``: it has no affine stage, and begins with ours.
    """

    package: str
    module: str
    methods: tuple[str, ...]
    needs_affine: bool = False


PEERS = {
    "syn": Peer("antspyx", "ants", ("syn-affine", "syn")),
    "greedy": Peer("picsl-greedy", "picsl_greedy", ("greedy-affine", "greedy")),
    "elastix": Peer("itk-elastix", "itk", ("elastix-affine", "elastix")),
    "demons": Peer("SimpleITK", "SimpleITK", ("demons-affine", "demons")),
    "convexadam": Peer("convexAdam", "convexAdam", ("convexadam",), needs_affine=True),
}


#: What starting a peer's process and reading its files may take on top of its time limit.
_START_S = 30.0


class PeerError(Exception):
    """A peer is not installed, or failed; the message says which and what to do."""


class PeerTimeout(PeerError):
    """A peer was stopped at its time limit. ``done``: the stages it had finished."""

    def __init__(self, message: str, done: list[PeerResult]) -> None:
        super().__init__(message)
        self.done = done


@dataclass(frozen=True)
class PeerResult:
    """What a peer made of a pair.

    Args:
        method: name of the row.
        displacement_field_mm: (k, j, i, 3) float32 on the fixed grid, RAS mm: moving point minus fixed point.
        inverse_displacement_field_mm: the same on the moving grid, back; None where the tool gives none.
        seconds, cpu_seconds: wall and processor time from the start of the registration, stages before this one
            included. On a machine with other work the latter, by the number of threads, is the better figure.
        peak_memory_mb: of the peer's process up to then.
        version: package and version.
        affine: the stage before; None if this is it.
    """

    method: str
    displacement_field_mm: FloatVolume
    inverse_displacement_field_mm: FloatVolume | None
    seconds: float
    cpu_seconds: float
    peak_memory_mb: float
    version: str
    affine: PeerResult | None = None

    def stages(self) -> list[PeerResult]:
        """The affine stage, if any, and this one."""
        return [*(self.affine.stages() if self.affine else []), self]


def default_python() -> Path:
    """The peers' interpreter: .venv-peers of the checkout if it is there, else this one."""
    own = ROOT / ".venv-peers" / "bin" / "python"
    return own if own.exists() else Path(sys.executable)


def check_installed(peer: str, python: Path | None = None) -> None:
    """Raise PeerError if the peer's package is not installed for ``python``."""
    python = python or default_python()
    package, module = PEERS[peer].package, PEERS[peer].module
    code = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({module!r}) is None)"
    if subprocess.run([str(python), "-c", code], check=False, capture_output=True).returncode:
        raise PeerError(
            f"{peer}: the package {package} is not installed for {python}; install it by: "
            f"{python} -m pip install -c {ROOT / 'constraints.txt'} -r {REQUIREMENTS}"
        )


def register_pair(
    peer: str,
    fixed_path: Path,
    moving_path: Path,
    threads: int = 1,
    python: Path | None = None,
    limit_s: float | None = None,
) -> PeerResult:
    """Run a peer in a process of its own.

    Args:
        peer: one of PEERS.
        fixed_path, moving_path: NIfTI files.
        threads: how many the peer may use.
        python: interpreter that has the peer's package; None for :func:`default_python`.
        limit_s: stop it when its registration has taken longer than this; None to wait.

    Raises:
        PeerError: if it fails.
        PeerTimeout: if it was stopped.
    """
    count = str(threads)
    names = ("ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    with tempfile.TemporaryDirectory() as scratch:
        files = [str(path.resolve()) for path in (fixed_path, moving_path)]
        command = [str(python or default_python()), str(TOOLS / f"{peer}.py"), *files, scratch, count]
        environment = {**os.environ, **dict.fromkeys(names, count)}
        if PEERS[peer].needs_affine:
            write_affine(Path(scratch) / START, our_affine(fixed_path, moving_path))
        wait = None if limit_s is None else limit_s + _START_S
        try:
            run = subprocess.run(
                command, check=False, capture_output=True, text=True, cwd=scratch, env=environment, timeout=wait
            )
        except subprocess.TimeoutExpired as slow:
            done = _result(Path(scratch)).stages() if (Path(scratch) / "stages.json").exists() else []
            raise PeerTimeout(f"{peer} was stopped after {limit_s:.0f} s", done) from slow
        if run.returncode:
            said = (run.stderr.strip() or run.stdout.strip() or "no message").splitlines()[-1]
            raise PeerError(f"{peer} failed on {moving_path.name} > {fixed_path.name} (exit {run.returncode}): {said}")
        return _result(Path(scratch))


def our_affine(fixed_path: Path, moving_path: Path) -> npt.NDArray[np.float64]:
    """4x4, fixed to moving points, RAS, of ``affine-opt``."""
    config = RegistrationConfig(method="affine-opt", device="cpu")
    return register(read_image(fixed_path), read_image(moving_path), config).affine_ras


def _result(folder: Path) -> PeerResult:
    """The stages that peer_tools/stages.py left, the last of them."""
    content = json.loads((folder / "stages.json").read_text(encoding="utf-8"))
    result: PeerResult | None = None
    for stage in content["stages"]:
        forward, backward = (folder / f"{stage['method']}{end}.mha" for end in ("", "-inverse"))
        inverse = read_field(backward) if backward.exists() else None
        result = PeerResult(
            stage["method"],
            read_field(forward),
            inverse,
            stage["seconds"],
            stage["cpu_seconds"],
            stage["peak_memory_mb"],
            content["version"],
            result,
        )
    assert result is not None, "a peer leaves at least one stage"
    return result


def read_field(path: Path) -> FloatVolume:
    """A displacement field of ITK's, LPS mm, as (k, j, i, 3) RAS mm."""
    field = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
    return np.ascontiguousarray(field * np.float32([-1, -1, 1]))


def figures(pair: EvaluationPair, result: PeerResult) -> dict[str, object]:
    """The row of a result, but for the names: the library's metrics, as ``evaluate`` takes them of our methods."""
    fixed, moving = read_image(pair.fixed), read_image(pair.moving)
    fixed_labels, moving_labels = read_labels(pair.fixed_labels), read_labels(pair.moving_labels)
    field = torch.from_numpy(result.displacement_field_mm).movedim(-1, 0)[None]
    map_ras = from_displacement(field, fixed.grid)
    folds = int((jacobian_determinant(map_ras, fixed.grid) <= 0).sum())
    working = prepare_pair(fixed, moving, PreprocessConfig(), torch.device("cpu"))
    _, alike = similarities(working, np.eye(4), LocalMap(field, field, fixed.grid))  # the inverse is not used
    backward, error = result.inverse_displacement_field_mm, float("nan")
    if backward is not None:
        error, _ = round_trip_error(fixed.grid, result.displacement_field_mm, moving.grid, backward)
    return {
        **score_labels(fixed_labels, moving_labels, map_ras),
        "folds": folds,
        "folds_percent": 100.0 * folds / fixed.array.size,
        "inverse_error_mean_mm": error,
        "ncc": alike,
        "seconds": result.seconds,
        "peak_memory_mb": result.peak_memory_mb,
        "notes": f"{result.version}, {result.cpu_seconds:.1f} s of CPU time",
    }


def limited(pairs: Iterable[EvaluationPair], limit: int | None) -> list[EvaluationPair]:
    """The first ``limit`` pairs of each group; all if it is None."""
    counts: dict[str, int] = {}
    kept = []
    for pair in pairs:
        counts[pair.group] = counts.get(pair.group, 0) + 1
        if limit is None or counts[pair.group] <= limit:
            kept.append(pair)
    return kept


def pending(
    pairs: Sequence[EvaluationPair], peers: Sequence[str], table: ResultTable
) -> list[tuple[EvaluationPair, str]]:
    """The pairs of which a peer's rows are not all in the table, pair by pair."""
    return [
        (pair, peer)
        for pair in pairs
        for peer in peers
        if any((pair.group, pair.name, method) not in table for method in PEERS[peer].methods)
    ]


def add_rows(pair: EvaluationPair, result: PeerResult, table: ResultTable) -> list[dict[str, str]]:
    """Score every stage that is not in the table yet, and save it."""
    return [
        table.append({"group": pair.group, "pair": pair.name, "method": stage.method, **figures(pair, stage)})
        for stage in result.stages()
        if (pair.group, pair.name, stage.method) not in table
    ]


def installed(peers: Sequence[str], python: Path) -> list[str]:
    """Those of the peers that can run; says what is missing of the others."""
    there = []
    for peer in peers:
        try:
            check_installed(peer, python)
            there.append(peer)
        except PeerError as error:
            click.echo(f"skipped: {error}", err=True)
    return there


def chosen(_context: click.Context, _option: click.Parameter, text: str) -> list[str]:
    """Peers from a comma-separated list, each once."""
    names = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    unknown = [name for name in names if name not in PEERS]
    if unknown or not names:
        raise click.BadParameter(f"{', '.join(unknown) or 'nothing'} given; choose of {', '.join(PEERS)}")
    return names


@click.command(help=__doc__.split("\n")[0])
@click.argument("pairs_path", metavar="PAIRS", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="The table to go on with, CSV.")
@click.option("--peers", default=",".join(PEERS), callback=chosen, show_default=True, help="Which, comma-separated.")
@click.option("--limit", type=click.IntRange(min=1), default=None, help="Pairs a group, the first; all if not given.")
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True, help="For each peer.")
@click.option("--python", type=click.Path(path_type=Path), default=default_python, help="Interpreter with the peers.")
def main(pairs_path: Path, output: Path, peers: list[str], limit: int | None, threads: int, python: Path) -> None:
    """Register, score, and print the summary."""
    torch.set_num_threads(threads)
    try:
        pairs = read_pairs(pairs_path)
        table = ResultTable(output, label_values(pairs))
    except JointRegistrationError as error:
        raise click.ClickException(str(error)) from error
    failures = 0
    for pair, peer in pending(limited(pairs, limit), installed(peers, python), table):
        try:
            rows = add_rows(pair, register_pair(peer, pair.fixed, pair.moving, threads, python), table)
        except PeerError as error:
            failures += 1
            click.echo(str(error), err=True)
            continue
        for row in rows:
            dice = 100 * float(row["dice_cartilage"] or "nan")
            done = f"cartilage Dice {dice:.1f} %, {float(row['seconds']):.1f} s"
            click.echo(f"{row['group']}: {row['pair']}: {row['method']}: {done}", err=True)
    click.echo(f"{output}: mean (standard deviation) over the pairs of each group\n")
    click.echo(summary(table.rows))
    if failures:
        raise click.ClickException(f"{failures} registrations failed; the same command tries them again")


if __name__ == "__main__":
    main()
