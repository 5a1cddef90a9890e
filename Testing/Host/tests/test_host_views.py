"""Slice views: when colour legends are seen in them."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture
def shown(host: Any) -> Any:
    """A volume with a legend, and which node the red view's composite node has as layers."""
    import numpy as np
    import slicer

    volume = slicer.util.addVolumeFromArray(np.arange(60.0).reshape(3, 4, 5), name="numbers")
    volume.CreateDefaultDisplayNodes()
    volume.GetDisplayNode().SetAndObserveColorNodeID("vtkMRMLColorTableNodeGrey")
    legend = slicer.vtkSlicerColorLogic.AddDefaultColorLegendDisplayNode(volume)
    composite = host.layoutManager.sliceWidget("Red").mrmlSliceCompositeNode()
    return volume, legend, composite


def test_a_legend_is_seen_only_once_it_is_modified_after_the_layers(shown: Any, host: Any) -> None:
    volume, legend, composite = shown
    composite.SetForegroundVolumeID(volume.GetID())
    host.processEvents()
    assert host.legendsShown() == []
    legend.Modified()
    assert host.legendsShown() == [legend]


def test_a_legend_stays_when_the_layers_go_until_it_is_modified(shown: Any, host: Any) -> None:
    volume, legend, composite = shown
    composite.SetForegroundVolumeID(volume.GetID())
    legend.Modified()
    composite.SetForegroundVolumeID(None)
    host.processEvents()
    assert host.legendsShown() == [legend]
    legend.Modified()
    assert host.legendsShown() == []


def test_layers_changed_by_a_persons_hand_show_and_hide_a_legend(shown: Any, host: Any) -> None:
    volume, legend, composite = shown
    composite.SetInteractionFlags(composite.ForegroundVolumeFlag)
    composite.SetForegroundVolumeID(volume.GetID())
    assert host.legendsShown() == [legend]
    composite.SetForegroundVolumeID(None)
    assert host.legendsShown() == []


def test_views_count_who_lets_them_wait(host: Any) -> None:
    view = host.layoutManager.sliceWidget("Red")
    for pause, count in ((True, 1), (True, 2), (False, 1), (False, 0)):
        view.setRenderPaused(pause)
        assert view._pauses == count
    view.setRenderPaused(False)
    assert view._pauses == 0
    assert host.console == ["Cannot resume rendering, pause render count is already 0!"]
    host.console.clear()
