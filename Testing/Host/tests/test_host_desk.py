"""The panel beside slice views, as ``make app`` opens it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from Testing.Support.slice_view import canRender

EXAMPLE = Path(__file__).parents[1] / "Example" / "HostExample.py"


@pytest.fixture
def desk(host: Any) -> Any:
    if not canRender():
        pytest.skip("no off-screen OpenGL here; run: make rendering")
    from slicer_host.desk.window import Desk

    opened = Desk(host, str(EXAMPLE))
    yield opened
    opened.close()


def _addVolume(host: Any, name: str, value: float) -> Any:
    import slicer

    voxels = np.full((12, 12, 12), value, dtype=np.float32)
    voxels[:, :, :6] = 0
    return slicer.util.addVolumeFromArray(voxels, name=name)


def _picture(desk: Any, host: Any) -> np.ndarray:
    host.wait(lambda: desk.views.drawn)
    image = desk.views._views[0]._picture.pixmap.toImage()
    rows = range(0, image.height(), 8)
    return np.array([[image.pixelColor(x, y).lightness() for x in range(0, image.width(), 8)] for y in rows])


def test_views_show_the_layers_that_a_module_sets_and_follow_their_changes(desk: Any, host: Any) -> None:
    import slicer

    volume = _addVolume(host, "half bright", 100)
    slicer.util.setSliceViewerLayers(background=volume, fit=True)
    before = _picture(desk, host)
    assert before.max() > 200
    assert before.min() == 0
    volume.GetDisplayNode().SetAutoWindowLevel(False)
    volume.GetDisplayNode().SetWindowLevel(400, 200)  # 100 becomes a quarter of full brightness
    after = _picture(desk, host)
    assert np.median(after[before > 200]) == pytest.approx(64, abs=8)


def test_views_show_the_label_layer(desk: Any, host: Any) -> None:
    import slicer

    slicer.util.setSliceViewerLayers(background=_addVolume(host, "volume", 0), fit=True)
    assert _picture(desk, host)[4:-4].max() < 250  # but for the ruler and letters at the rim
    labels = slicer.util.addVolumeFromArray(
        np.full((12, 12, 12), 200, dtype=np.uint8), name="edges", nodeClassName="vtkMRMLLabelMapVolumeNode"
    )
    labels.GetDisplayNode().SetAndObserveColorNodeID("vtkMRMLColorTableNodeGreen")
    before = _picture(desk, host)
    slicer.util.setSliceViewerLayers(label=labels, labelOpacity=1.0)
    assert np.median(_picture(desk, host)) > np.median(before) + 60
    slicer.util.setSliceViewerLayers(labelOpacity=0.0)
    assert np.median(_picture(desk, host)) == np.median(before)


def test_the_slider_moves_the_slice_within_the_volume(desk: Any, host: Any) -> None:
    import slicer

    slicer.util.setSliceViewerLayers(background=_addVolume(host, "volume", 50), fit=True)
    host.wait(lambda: desk.views.drawn)
    view = desk.views._views[0]
    view._slider.setValue(view._slider.maximum)
    host.wait(lambda: desk.views.drawn)
    assert host.layoutManager.sliceWidget("Red").sliceLogic().GetSliceOffset() == pytest.approx(11.5)
    assert view._position.text == "S 11.5 mm"


def test_samples_are_in_the_menu_and_closing_the_scene_empties_the_views(desk: Any, host: Any) -> None:
    import slicer

    (source,) = slicer.modules.sampleDataSources["Host"]
    desk.addSample(source)
    host.scene.Clear()
    host.wait(lambda: desk.views.drawn)
    assert desk.views._views[0]._picture.text == "no volume"
