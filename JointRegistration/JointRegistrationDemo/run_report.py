"""The report of a run from the files it left; ``joint-registration report`` on the command line."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from JointRegistrationLib.core.errors import FileError

if TYPE_CHECKING:
    from JointRegistrationLib.core.image import Image
    from JointRegistrationMRML.report.page import MeasureGroup

    from .inputs import DemoInputs


def writeRunReport(folder: Path, path: Path, fixed: Path | None = None, moving: Path | None = None) -> None:
    """Read a run's folder and its images, draw, and write ``path``, whole or not at all.

    Args:
        folder: of ``joint-registration register``, or of the demo.
        path: the HTML file.
        fixed, moving: the images; None for those that ``metrics.json`` names.

    Raises:
        FileError: a file is missing or damaged; nothing was written.
    """
    from JointRegistrationLib.core.progress import finished
    from JointRegistrationLib.files import read_metrics, read_result
    from JointRegistrationLib.files.output import atomic_file
    from JointRegistrationMRML.measure.measurement import measure
    from JointRegistrationMRML.report.export import reportSteps
    from JointRegistrationMRML.report.page import renderReport
    from JointRegistrationMRML.report.pictures import reportPictures
    from JointRegistrationMRML.scene.headless import createHeadlessScene

    from .evaluation import evaluate
    from .scene_run import registerInScene
    from .story import buildReport

    metrics = read_metrics(folder)
    inputs = _inputs(folder, metrics["inputs"], fixed, moving)
    result = read_result(folder, inputs.moving.grid)
    if not result.fixed_grid.is_close(inputs.fixed.grid):
        raise FileError(
            f"{inputs.fixed.name}: its grid ({inputs.fixed.grid.describe()}) is not that of the run "
            f"({result.fixed_grid.describe()}); give the fixed image of this run with --fixed"
        )
    evaluation = evaluate(inputs, result)
    hosted = createHeadlessScene()
    done = registerInScene(hosted.scene, inputs, runner=lambda *_: result)
    steps = reportSteps(done, reportPictures(done), measure(done))
    report = buildReport(inputs, result, evaluation, finished(steps))
    extra = [] if inputs.fixedLabels is not None else _labelGroups(metrics.get("labels", {}), inputs.labelNames)
    there = [(name, meaning) for name, meaning in report.files if (folder / name).exists()]
    report = dataclasses.replace(report, measures=[*extra, *report.measures], files=there)
    text = renderReport(report)
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _inputs(folder: Path, given: dict[str, Any], fixed: Path | None, moving: Path | None) -> DemoInputs:
    from JointRegistrationLib.files import read_labels

    from .inputs import filePair, samplePair

    if "sample" in given and fixed is None and moving is None:
        return samplePair(given["sample"]["size"], given["sample"]["seed"])
    files = given.get("files", given)
    pair = filePair(*(_found(folder, files, which, path) for which, path in (("fixed", fixed), ("moving", moving))))
    labels = {f"{which}Labels": files.get(f"{which}_labels") for which in ("fixed", "moving")}
    if None in labels.values() or not all(Path(path).exists() for path in labels.values()):
        return pair
    images: dict[str, Any] = {name: read_labels(Path(path)) for name, path in labels.items()}
    values = sorted({int(value) for image in images.values() for value in _values(image)})
    return dataclasses.replace(pair, labelNames={value: f"label {value}" for value in values}, **images)


def _found(folder: Path, files: dict[str, Any], which: str, given: Path | None) -> Path:
    path = given or (Path(files[which]) if isinstance(files.get(which), str) else None)
    if path is None or not path.exists():
        raise FileError(
            f"{folder}: the {which} image of the run is not at {path or 'any place it names'} any more; "
            f"say where it is with --{which}"
        )
    return path


def _values(labels: Image) -> Any:
    import numpy as np

    values = np.unique(labels.array)
    return values[values > 0]


def _labelGroups(scores: dict[str, Any], names: dict[int, str]) -> list[MeasureGroup]:
    """The label scores of metrics.json as groups of the table."""
    from JointRegistrationMRML.report.page import MeasureGroup
    from JointRegistrationMRML.report.words import compared

    nan = float("nan")
    groups = []
    for key, title, digits, larger in (
        ("dice", "Overlap (Dice)", 3, True),
        ("assd_mm", "Mean distance of surfaces, mm", 2, False),
        ("hd95_mm", "95th percentile of surface distance, mm", 2, False),
    ):
        lines = []
        for label, score in scores.items():
            before, after = (score.get(when, {}).get(key) for when in ("before", "after"))
            before, after = (nan if value is None else value for value in (before, after))
            name = names.get(int(label), f"label {label}") if label.isdigit() else label
            lines.append(compared(name.capitalize(), before, after, "", digits=digits, larger=larger))
        if lines:
            groups.append(MeasureGroup(title, lines))
    return groups
