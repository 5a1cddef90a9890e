"""Results are put into the scene without a copy: nodes hold the arrays' own memory, for as long as they need it."""

from __future__ import annotations

import gc
import shutil
import sys
import weakref

import numpy as np
import pytest
import slicer

from JointRegistrationLib.core.image import Image
from JointRegistrationLib.worker.exchange import read_result, write_result
from JointRegistrationMRML.nodes.arrays import numpyView, vtkImage
from JointRegistrationMRML.nodes.volumes import imageFromVolume, volumeFromImage
from JointRegistrationMRML.run.publish import publishResult
from JointRegistrationMRML.run.registration_nodes import OutputOptions
from JointRegistrationMRML.scene.transaction import discard
from Testing.Support.known_scene import FIXED_GRID


def fieldOf(node):
    return numpyView(node.GetTransformFromParentAs("vtkOrientedGridTransform").GetDisplacementGrid())


def owner(array):
    """What holds an array's memory: it goes when nothing uses the memory any more."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return weakref.ref(array)


@pytest.mark.skipif(sys.platform == "win32", reason="there mapped results are copied")
def test_fields_and_the_warped_volume_are_the_result_s_own_memory(knee, tmp_path):
    write_result(tmp_path, knee.result)
    result = read_result(tmp_path)
    nodes = publishResult(knee.scene, knee.nodes, result).nodes
    for held, given in (
        (fieldOf(nodes.transform), result.displacement_field_mm),
        (fieldOf(nodes.inverseTransform), result.inverse_displacement_field_mm),
        (numpyView(nodes.warpedVolume.GetImageData()), result.warped),
    ):
        assert np.shares_memory(held, given)
        assert held.dtype == given.dtype


@pytest.mark.skipif(sys.platform == "win32", reason="there mapped results are copied")
def test_mapped_results_outlive_their_files_and_go_with_their_nodes(knee, tmp_path):
    write_result(tmp_path, knee.result)
    result = read_result(tmp_path)
    expected = np.array(result.warped), np.array(result.displacement_field_mm)
    alive = [owner(result.warped), owner(result.displacement_field_mm)]
    outputs = publishResult(knee.scene, knee.nodes, result)
    shutil.rmtree(tmp_path)
    nodes, record = outputs.nodes, outputs.record
    del result, outputs
    gc.collect()
    np.testing.assert_array_equal(numpyView(nodes.warpedVolume.GetImageData()), expected[0])
    np.testing.assert_array_equal(fieldOf(nodes.transform), expected[1])

    mine = slicer.vtkMRMLScalarVolumeNode()
    mine.CopyContent(nodes.warpedVolume, False)  # as a reused node gets it
    discard(knee.scene, record)
    del nodes, record
    gc.collect()
    assert [reference() is None for reference in alive] == [False, True]
    np.testing.assert_array_equal(numpyView(mine.GetImageData()), expected[0])
    del mine
    gc.collect()
    assert alive[0]() is None


def test_what_is_written_to_a_node_reaches_no_file(knee, tmp_path):
    write_result(tmp_path, knee.result)
    outputs = publishResult(knee.scene, knee.nodes, read_result(tmp_path), OutputOptions(folds=False))
    numpyView(outputs.nodes.warpedVolume.GetImageData())[...] = -7
    np.testing.assert_array_equal(read_result(tmp_path).warped, knee.result.warped)


def test_volumes_have_voxels_of_their_own_unless_asked(knee):
    image = imageFromVolume(knee.nodes.fixed)
    assert not np.shares_memory(numpyView(volumeFromImage(image, "copy").GetImageData()), image.array)


@pytest.mark.parametrize("case", ["read-only", "strided", "mapped on Windows"])
def test_memory_that_vtk_must_not_hold_is_copied(case, tmp_path, monkeypatch):
    array = np.arange(np.prod(FIXED_GRID.shape), dtype=np.float32).reshape(FIXED_GRID.shape)
    given = array.copy()
    if case == "read-only":
        given.flags.writeable = False
    elif case == "strided":
        given = np.asfortranarray(array)
    else:
        np.save(tmp_path / "array.npy", array)
        given = np.asarray(np.load(tmp_path / "array.npy", mmap_mode="c"))
        assert np.shares_memory(numpyView(vtkImage(given, share=True)), given) == (sys.platform != "win32")
        monkeypatch.setattr(sys, "platform", "win32")
    held = numpyView(vtkImage(given, share=True))
    assert not np.shares_memory(held, given)
    np.testing.assert_array_equal(held, array)
    assert volumeFromImage(Image(given, FIXED_GRID), "volume", share=True).GetImageData() is not None
