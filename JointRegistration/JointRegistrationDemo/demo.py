"""``python -m JointRegistrationDemo.demo``: a registration in an embedded Slicer scene, and its report.

Heavy imports are inside the functions, so that ``--help`` answers at once.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from JointRegistrationLib.cli.shared.failures import CommandLine, Interruption, debug_option, interruptible
from JointRegistrationLib.cli.shared.progress import shown_progress
from JointRegistrationLib.cli.shared.terminal import say
from JointRegistrationLib.core.progress import ProgressCallback

if TYPE_CHECKING:
    from .evaluation import Evaluation
    from .inputs import DemoInputs


NAMES = ("scene.mrb", "report.html", "overview.png")
_SIZES = ("tiny", "small", "standard", "full")
_FILE = click.Path(path_type=Path)

# Shares of the whole, as measured on two cores.
_SAMPLE_END, _REGISTERED, _SCORED, _DRAWN = 0.15, 0.8, 0.85, 0.95


@click.group(
    cls=CommandLine,
    invoke_without_command=True,
    subcommand_metavar="",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option("-o", "--output", type=_FILE, default="demo-output", show_default=True, help="Folder for the results.")
@click.option("--fixed", type=_FILE, help="Your fixed image; with --moving, instead of the sample knees.")
@click.option("--moving", type=_FILE, help="Your moving image.")
@click.option("--size", type=click.Choice(_SIZES), default="standard", show_default=True, help="Of the sample knees.")
@click.option("--seed", type=click.IntRange(min=0), default=7, show_default=True, help="Of the sample knees.")
@debug_option
def demo(output: Path, fixed: Path | None, moving: Path | None, size: str, seed: int) -> None:
    """Register two knees in an embedded Slicer scene and write pictures, a report and the scene.

    Without --fixed and --moving a pair of computed knees is made first. Results of an earlier demo in
    the output folder are replaced, all together, at the end.
    """
    if (fixed is None) != (moving is None):
        raise click.UsageError("give both --fixed and --moving, or neither")
    from .inputs import filePair, samplePair

    with interruptible() as interruption, shown_progress(quiet=False) as progress:
        assert progress is not None
        if fixed is not None and moving is not None:
            inputs = filePair(fixed, moving)
        else:
            progress("sample knees", 0.0, None)
            inputs = samplePair(size, seed)
        lines = run(inputs, output, progress, interruption)
    say("\n".join(lines))


def run(inputs: DemoInputs, output: Path, progress: ProgressCallback, interruption: Interruption) -> list[str]:
    """Register, score, draw and write; returns what to tell the user.

    Raises:
        JointRegistrationError: the output folder is as it was then.
    """
    from JointRegistrationLib.core.progress import finished
    from JointRegistrationLib.files import RESULT_NAMES, output_folder, result_bytes, write_result
    from JointRegistrationMRML.measure.measurement import measure
    from JointRegistrationMRML.pauses import telling
    from JointRegistrationMRML.report.export import reportSteps
    from JointRegistrationMRML.report.page import renderReport
    from JointRegistrationMRML.report.pictures import pictureSteps
    from JointRegistrationMRML.scene.headless import createHeadlessScene, saveScene

    from .evaluation import evaluate
    from .overview import writeOverview
    from .scene_run import arrangeDesktopViews, registerInScene
    from .story import buildReport

    numBytes = 3 * result_bytes(inputs.fixed.grid, inputs.moving.grid)
    with output_folder(output, (*RESULT_NAMES, *NAMES), num_bytes=numBytes, overwrite=True) as folder:
        hosted = createHeadlessScene()
        done = registerInScene(
            hosted.scene, inputs, progress=_part(progress, _SAMPLE_END, _REGISTERED), cancelled=interruption.asked
        )
        progress("measuring", _REGISTERED, None)
        evaluation = evaluate(inputs, done.result)
        drawing = _part(progress, _SCORED, _DRAWN)
        pictures = finished(telling(pictureSteps(done), lambda told: drawing("drawing", told[0], None)))
        report = buildReport(inputs, done.result, evaluation, finished(reportSteps(done, pictures, measure(done))))
        progress("writing", _DRAWN, None)
        arrangeDesktopViews(hosted, done, pictures.positionsMm)
        saveScene(hosted.scene, folder / "scene.mrb")
        write_result(
            done.result, folder, _metrics(inputs, done.result, evaluation), warped_labels=evaluation.warpedLabels
        )
        writeOverview(folder / "overview.png", pictures, "Joint Registration", inputs.title, report.figures)
        (folder / "report.html").write_text(renderReport(report), encoding="utf-8")
        interruption.too_late()
    progress("done", 1.0, None)
    return _closingLines(output, done.result, evaluation)


def _metrics(inputs: DemoInputs, result: Any, evaluation: Evaluation) -> dict[str, Any]:
    from JointRegistrationLib.core.serialization import to_dict

    from .story import versions

    return {
        **result.summary(),
        **evaluation.summary(inputs.labelNames),
        "inputs": {
            "description": inputs.description,
            "fixed": {"name": inputs.fixed.name, "grid": inputs.fixed.grid.to_dict()},
            "moving": {"name": inputs.moving.name, "grid": inputs.moving.grid.to_dict()},
            **inputs.source,
        },
        "versions": versions(),
        "config": to_dict(result.config),
    }


def _closingLines(output: Path, result: Any, evaluation: Evaluation) -> list[str]:
    from .story import verdict

    folder = output.resolve()
    return [
        verdict(result, evaluation),
        *(f"Note: {note}" for note in result.notes),
        "",
        f"Report    {folder / 'report.html'}",
        f"Overview  {folder / 'overview.png'}",
        f"Scene     {folder / 'scene.mrb'}  (opens in 3D Slicer)",
        f"Figures   {folder / 'metrics.json'}",
        f"Transform {folder / 'transform.h5'}, inverse_transform.h5, affine.tfm",
    ]


def _part(progress: ProgressCallback, start: float, end: float) -> ProgressCallback:
    """A progress callback for the part from ``start`` to ``end`` of the whole, which is not done with it."""

    def update(stage: str, fraction: float, loss: float | None) -> None:
        if stage != "done":
            progress(stage, start + (end - start) * fraction, loss)

    return update


def main() -> None:
    """Entry point."""
    # Threads that wait for work must sleep: by default they spin, and another busy program then slows
    # PyTorch's many short steps six times (measured). Read when PyTorch is loaded, so before that.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    demo(prog_name="python -m JointRegistrationDemo.demo")


if __name__ == "__main__":
    main()
