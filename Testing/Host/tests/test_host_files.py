"""Files written and read by nodes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def volume(host: Any) -> Any:
    import numpy as np
    import slicer

    return slicer.util.addVolumeFromArray(np.ones((3, 4, 5)), name="knee")


def test_a_node_saved_under_a_relative_name_goes_to_the_scenes_folder(
    host: Any, volume: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import slicer

    monkeypatch.chdir(tmp_path)
    assert slicer.util.saveNode(volume, "knee.nrrd") is True
    assert not (tmp_path / "knee.nrrd").exists()
    assert (Path(host.scene.GetRootDirectory()) / "knee.nrrd").is_file()
    assert slicer.util.saveNode(volume, str(tmp_path / "knee.nrrd")) is True
    assert (tmp_path / "knee.nrrd").is_file()


def test_saving_that_fails_is_told_by_the_return_value_alone(
    volume: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import slicer

    monkeypatch.chdir(tmp_path)
    assert slicer.util.saveNode(volume, "results/knee.nrrd") is False  # the folder is made where it is not needed
    assert (tmp_path / "results").is_dir()


def test_transforms_read_from_a_file_have_cubic_interpolation(host: Any, tmp_path: Path) -> None:
    import slicer
    import vtk

    grid = vtk.vtkImageData()
    grid.SetDimensions(4, 4, 4)
    grid.AllocateScalars(vtk.VTK_DOUBLE, 3)
    grid.GetPointData().GetScalars().Fill(0.0)
    transform = slicer.vtkOrientedGridTransform()
    transform.SetDisplacementGridData(grid)
    transform.SetInterpolationModeToLinear()
    node = host.scene.AddNewNodeByClass("vtkMRMLGridTransformNode", "map")
    node.SetAndObserveTransformFromParent(transform)
    assert slicer.util.saveNode(node, str(tmp_path / "map.nrrd"))
    read = host.scene.AddNewNodeByClass("vtkMRMLGridTransformNode", "map read")
    assert node.GetStorageNode().ReadData(read)
    assert read.GetTransformFromParent().GetInterpolationModeAsString() == "Cubic"
