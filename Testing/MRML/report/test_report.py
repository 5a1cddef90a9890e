"""The report and the overview: complete, self-contained, and saying what the figures say."""

from __future__ import annotations

import base64
import dataclasses
import io
import re
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="the scene extra is not installed")

from PIL import Image as PillowImage

from JointRegistrationDemo.evaluation import Evaluation, TruthError
from JointRegistrationDemo.inputs import DemoInputs
from JointRegistrationDemo.overview import ORIENTATIONS, writeOverview
from JointRegistrationDemo.story import buildReport, keyFigures, verdict
from JointRegistrationLib.core.figures.map_statistics import DisplacementStatistics
from JointRegistrationLib.core.figures.metrics import LabelMetrics
from JointRegistrationLib.core.geometry import Grid
from JointRegistrationLib.core.image import Image
from JointRegistrationLib.core.progress import finished
from JointRegistrationLib.core.result import FoldCount, RegistrationResult
from JointRegistrationLib.phantom import LABEL_NAMES
from JointRegistrationMRML.measure.measurement import Measurement
from JointRegistrationMRML.report.captions import positionText
from JointRegistrationMRML.report.export import reportSteps
from JointRegistrationMRML.report.page import ColorBar, PictureRow, Report, ReportPictures, Table, renderReport
from JointRegistrationMRML.run.registration_nodes import InputNodes, OutputNodes, RegistrationOutputs
from JointRegistrationMRML.scene.transaction import RunRecord
from Testing.Support.results import made_result

GRID = Grid((8, 8, 8))
KEYS = (
    "fixed", "moving", "warped", "outlines_before", "outlines_after", "difference_before", "difference_after",
    "checkerboard_before", "checkerboard_after", "grid", "jacobian",
)  # fmt: skip
POSITIONS = {name: positionText(name, value) for name, value in (("Sagittal", -17.2), ("Coronal", 3.0), ("Axial", 0.2))}
FIGURES = Measurement((), None, 0.5, 0.9, 0.004, 0.1, 0, DisplacementStatistics(0.0, 0.0, 0.0))


def result(**changes: object) -> RegistrationResult:
    return made_result(GRID, **{"inverse_error_mean_mm": 0.004, "timings_s": {"affine": 1.0, "total": 12.0}, **changes})


def inputs(name: str = "Fixed knee") -> DemoInputs:
    image = Image(np.zeros(GRID.shape, np.float32), GRID, name)
    return DemoInputs(image, image, "Demo", "Two knees.", labelNames=dict(LABEL_NAMES))


def evaluation() -> Evaluation:
    def scores(dice: float) -> dict[int, LabelMetrics]:
        return {label: LabelMetrics(dice, 2.0 - dice, 1.0 - dice, 100.0, 100.0) for label in LABEL_NAMES}

    return Evaluation(scores(0.4), scores(0.8), TruthError(3.1, 6.0), TruthError(0.7, 1.5), None)


def rows(keys: tuple[str, ...] = KEYS) -> list[PictureRow]:
    pictures = {
        orientation: np.full((30, 20 + 5 * n, 3), 40 * n, np.uint8) for n, orientation in enumerate(ORIENTATIONS)
    }
    return [PictureRow(key, f"Title of {key}", f"How to read {key}.", pictures) for key in keys]


def content(
    evaluated: Evaluation | None = None,
    *,
    given: DemoInputs | None = None,
    keys: tuple[str, ...] = KEYS,
    figures: Measurement = FIGURES,
    **changes: object,
) -> Report:
    """The demo's report of a run of two volumes."""
    ran, shown = result(**changes), given or inputs()
    nodes = InputNodes(*(SimpleNamespace(GetName=lambda: shown.fixed.name),) * 2)
    outputs = RegistrationOutputs(OutputNodes(), 0, ran, nodes, RunRecord(None))
    base = finished(reportSteps(outputs, ReportPictures(rows(keys), {}, POSITIONS), figures))
    return buildReport(shown, ran, evaluated or evaluation(), base)


def report(**changes: object) -> str:
    return renderReport(content(**changes))


class References(HTMLParser):
    """Collects every attribute by which a page can refer to something, and all element names."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.references: list[str] = []
        self.names: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.references += [value or "" for name, value in attributes if name in ("src", "href", "srcset", "data")]


def test_the_report_has_every_section_with_its_caption():
    text = report()
    for key in KEYS:
        assert f'id="{key}"' in text
        assert f"How to read {key}." in text
    for heading in ("The images", "Tissue borders", "Checkerboards", "The deformation", "Figures before and after",
                    "How it was made", "Files beside this report"):  # fmt: skip
        assert f"<h2>{heading}" in text
    assert text.count("<img ") == 3 * len(KEYS)


def test_the_report_refers_to_nothing_outside():
    text = report()
    page = References(text)
    assert page.references
    assert all(reference.startswith("data:image/png;base64,") for reference in page.references)
    assert not {"script", "link", "iframe", "object", "embed"} & page.names
    assert "http" not in re.sub(r"base64,[A-Za-z0-9+/=]+", "", text)
    assert "url(" not in text


def test_the_embedded_pictures_are_the_pictures():
    text = report()
    first = re.search(r"data:image/png;base64,([A-Za-z0-9+/=]+)", text).group(1)
    picture = np.asarray(PillowImage.open(io.BytesIO(base64.b64decode(first))))
    np.testing.assert_array_equal(picture, rows()[0].pictures["Sagittal"])


def test_every_picture_has_a_text_for_those_who_cannot_see_it():
    text = report()
    assert text.count('alt="Title of') == text.count("<img ")


def test_the_table_shows_figures_before_and_after_and_judges_them():
    text = report()
    assert re.search(r'Mean</td><td class="n">3.10</td><td class="n good">0.70', text)
    assert re.search(r'Similarity \(NCC\)</td><td class="n">0.500</td><td class="n good">0.900', text)
    worse = report(similarity_after=0.3, folds=FoldCount(12, 2.3, 10))
    assert 'class="n bad">0.300' in worse
    assert 'class="n bad">12 (2.3 %)' in worse


def test_tables_of_numbers_follow_with_their_heading_and_how_to_read_them():
    table = Table("Agreement of segments", "1 is < perfect.", ("Segment", "Dice"), [("Femur", "0.91")])
    folds = Table("Folds", "None.", (), ())
    text = renderReport(dataclasses.replace(content(), tables=[table, folds], plots=()))
    assert "<h2>Agreement of segments</h2>\n<p>1 is &lt; perfect.</p>" in text
    assert '<th>Segment</th><th class="n">Dice</th>' in text and '<td>Femur</td><td class="n">0.91</td>' in text
    assert "<h2>Folds</h2>\n<p>None.</p>\n<h2>How it was made" in text


def test_slice_positions_are_named_as_in_slicer():
    text = report()
    for position in ("Sagittal, L17 mm", "Coronal, A3 mm", "Axial, 0 mm"):
        assert position in text


def test_without_labels_the_report_leaves_out_what_it_does_not_know():
    keys = tuple(key for key in KEYS if not key.startswith("outlines"))
    text = renderReport(content(Evaluation({}, {}), keys=keys))
    assert "Tissue borders" not in text
    assert "Dice" not in text
    assert "warped_labels.nrrd" not in text
    assert "Similarity (NCC)" in text


def test_file_names_cannot_break_the_page():
    odd = dataclasses.replace(inputs("<script>alert(1)</script>"), description="<img src=x>")
    text = report(given=odd)
    assert "<script" not in text
    assert "<img src=x>" not in text


def test_notices_of_the_run_are_shown():
    figures = dataclasses.replace(FIGURES, notes=("A list has no points.",))
    text = report(figures=figures, notes=("The GPU was full.",))
    assert '<p class="notice">A list has no points.</p>' in text
    assert '<p class="notice">The GPU was full.</p>' in text


def test_the_verdict_tells_success_failure_and_folds():
    assert "3.1 to 0.7 mm" in verdict(result(), evaluation())
    assert "folds nowhere" in verdict(result(), evaluation())
    assert "folds at 12 voxels" in verdict(result(folds=FoldCount(12, 2.3, 10)), evaluation())
    assert "do not use it" in verdict(result(similarity_after=0.4), evaluation())


@pytest.mark.parametrize("keys", [KEYS, tuple(key for key in KEYS if not key.startswith("outlines"))])
def test_the_overview_holds_six_rows_with_and_without_labels(tmp_path, keys):
    path = tmp_path / "overview.png"
    pictures = ReportPictures(rows(keys), {"jacobian": ColorBar(["#0000ff", "#ff0000"], "-1", "+1")}, POSITIONS)
    writeOverview(path, pictures, "Title", "Subtitle", keyFigures(result(), evaluation()))
    picture = np.asarray(PillowImage.open(path).convert("RGB"))
    height, width, _ = picture.shape
    assert width > height > 800
    assert (picture[:, :30] == 255).all()  # white margin
    axial = np.all(picture == 80, axis=2)  # the grey of the third picture of each row
    columns = np.flatnonzero(axial.any(axis=0))
    assert np.count_nonzero(np.diff(columns) > 1) == 1  # two blocks
    scale = picture[-40:, width // 2 :].astype(int)  # of the volume change, below
    for strong, weak in ((2, 0), (0, 2)):
        assert (scale[..., strong] - scale[..., weak] > 200).any()
