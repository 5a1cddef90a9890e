"""The report that desktop Slicer can write: one file, every figure, pictures the right way round."""

from __future__ import annotations

import base64
import dataclasses
import io
import re

import numpy as np
import pytest
from conftest import GRIDS, latticePoints
from PIL import Image as PillowImage

from JointRegistrationLib.errors import FileError
from JointRegistrationLib.result import LandmarkErrors
from JointRegistrationMRML import export_report
from JointRegistrationMRML.export_report import exportReport
from JointRegistrationMRML.figures import tableRows
from JointRegistrationMRML.logic import registerVolumes


def _decoded(text):
    return np.asarray(PillowImage.open(io.BytesIO(base64.b64decode(text))))


def test_the_report_holds_every_figure_the_landmarks_and_the_pictures(knee, tmp_path):
    knee.result = dataclasses.replace(knee.result, landmark_errors_mm=LandmarkErrors(("notch",), (3.25,), (0.5,)))
    outputs = registerVolumes(knee.scene, knee.nodes, runner=knee.run)
    path = tmp_path / "report.html"
    exportReport(knee.scene, outputs, path)
    text = path.read_text()
    for row in tableRows(outputs.result, outputs.overlaps):
        assert f"<td>{row[0]}</td>" in text
    assert "<td>notch</td><td>3.25</td><td>0.50</td>" in text
    pictures = re.findall(r"base64,([^\"]+)", text)
    assert len(pictures) == 12
    assert min(_decoded(picture).shape[0] for picture in pictures) > 20
    assert "http" not in text
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.html"]


def test_a_picture_survives_as_png():
    picture = np.random.default_rng(1).integers(0, 256, (5, 7, 3)).astype(np.uint8)
    np.testing.assert_array_equal(_decoded(export_report.pngBase64(picture)), picture)


@pytest.mark.parametrize("name", ["RAS", "LAS-left-handed", "LPS", "sagittal-PIR"])
def test_pictures_are_turned_as_a_reader_of_images_expects(name):
    grid = GRIDS[name]
    points = latticePoints(grid) - grid.center_ras
    rgb = (127 + 2 * points).clip(0, 255).astype(np.uint8)  # red grows with R, green with A, blue with S
    sagittal, coronal, axial = export_report._slices(rgb, grid)
    assert sagittal[0, 0, 2] > sagittal[-1, 0, 2] and sagittal[0, 0, 1] > sagittal[0, -1, 1], "S up, A left"
    assert coronal[0, 0, 2] > coronal[-1, 0, 2] and coronal[0, 0, 0] > coronal[0, -1, 0], "S up, R left"
    assert axial[0, 0, 1] > axial[-1, 0, 1] and axial[0, 0, 0] > axial[0, -1, 0], "A up, R left"


def test_a_place_that_cannot_be_written_is_named(knee, tmp_path):
    outputs = registerVolumes(knee.scene, knee.nodes, runner=knee.run)
    with pytest.raises(FileError, match="choose another place"):
        exportReport(knee.scene, outputs, tmp_path / "nowhere" / "report.html")
