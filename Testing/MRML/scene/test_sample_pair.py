"""The sample pair: made once by a child process, loaded as nodes."""

from __future__ import annotations

import numpy as np
import pytest
import slicer

from JointRegistrationLib.core.errors import FileError, ResourceError
from JointRegistrationLib.core.geometry import Grid
from JointRegistrationLib.core.image import Image
from JointRegistrationLib.core.system.children import code_command
from JointRegistrationLib.files import output_folder, write_image, write_labels
from JointRegistrationLib.files.manifest import MANIFEST_NAME
from JointRegistrationLib.worker import sample
from JointRegistrationMRML.nodes.arrays import numpyView
from JointRegistrationMRML.nodes.segments.segmentations import labelsFromSegmentation
from JointRegistrationMRML.scene import sample_pair
from JointRegistrationMRML.scene.sample_pair import addSamplePair, loadSampleSteps, sampleFileSteps
from Testing.Support.at_once import loadSample, sampleFiles
from Testing.Support.known_scene import sceneState

GRID = Grid((12, 11, 10), (3.0, 3.0, 3.5), (1.0, 2.0, 3.0), ((0, 0, 1), (-1, 0, 0), (0, -1, 0)))
TINY = (24, 24, 16)


@pytest.fixture
def folder(tmp_path):
    values = np.arange(GRID.num_voxels, dtype=np.int16).reshape(GRID.shape)
    for name in (sample.FIXED, sample.MOVING):
        write_image(Image(values, GRID), tmp_path / name)
    for name in (sample.FIXED_LABELS, sample.MOVING_LABELS):
        write_labels(Image((values % 7).astype(np.uint8), GRID), tmp_path / name)
    return tmp_path


def test_the_pair_becomes_two_volumes_and_two_segmentations(scene, folder):
    pair = loadSample(scene, folder)
    assert (pair.fixed.GetName(), pair.moving.GetName()) == ("Fixed knee", "Moving knee")
    assert numpyView(pair.moving.GetImageData())[3, 4, 5] == 3 * 132 + 4 * 12 + 5
    np.testing.assert_allclose(pair.fixed.GetOrigin(), GRID.origin_ras, atol=1e-6)
    segmentation = pair.movingSegmentation
    names = [segmentation.GetSegmentation().GetNthSegment(n).GetName() for n in range(6)]
    assert names == [name for name, _ in sample.LABELS.values()]
    assert segmentation.GetNodeReference(segmentation.GetReferenceImageGeometryReferenceRole()) is pair.moving
    labels = labelsFromSegmentation(segmentation, GRID)
    assert (labels.layers[0].labels > 0).sum() == (np.arange(GRID.num_voxels) % 7 > 0).sum()
    assert all(node.GetDisplayNode() is not None for node in (pair.fixed, pair.moving, segmentation))
    again = loadSample(scene, folder)
    assert again.fixed.GetName() == "Fixed knee_1"


def test_a_damaged_file_leaves_the_scene_as_it_was(scene, folder):
    slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    (folder / sample.MOVING_LABELS).write_bytes(b"NRRD0004\n")
    before = sceneState(scene)
    with pytest.raises(FileError, match="moving_labels"):
        loadSample(scene, folder)
    assert sceneState(scene) == before


def test_the_pair_is_computed_by_a_child_process_and_only_once(scene, tmp_path, monkeypatch):
    folder = sampleFiles(tmp_path / "new" / "pair", TINY)
    assert sorted(path.name for path in folder.iterdir()) == sorted([*sample.NAMES, MANIFEST_NAME])
    monkeypatch.setattr(sample_pair, "module_command", None)  # would fail if it were computed again
    pair = addSamplePair(scene, folder)
    assert pair.fixed.GetImageData().GetDimensions() == TINY


def test_an_impatient_caller_ends_the_process_and_nothing_is_written(tmp_path, monkeypatch):
    started, begin = [], sample_pair.subprocess.Popen

    def noted(*args, **options):
        started.append(begin(*args, **options))
        return started[0]

    monkeypatch.setattr(sample_pair.subprocess, "Popen", noted)
    steps = sampleFileSteps(tmp_path / "pair", TINY)
    while not started:
        next(steps)
    assert started[0].poll() is None
    steps.close()
    assert started[0].poll() is not None
    assert not sample.is_complete(tmp_path / "pair")


def test_a_process_that_fails_is_reported_in_a_sentence(tmp_path, monkeypatch):
    occupied = tmp_path / "file"
    occupied.write_text("in the way", encoding="utf-8")
    with pytest.raises(ResourceError, match="could not be made"):
        sampleFiles(occupied / "pair", TINY)
    (tmp_path / "torch.py").write_text("raise ModuleNotFoundError(\"No module named 'torch'\")", encoding="utf-8")
    command = sample_pair.module_command("JointRegistrationLib.worker.sample", str(tmp_path / "pair"), *map(str, TINY))
    paths = f"{tmp_path}:{command.environment['PYTHONPATH']}"
    blocked = command._replace(environment={**command.environment, "PYTHONPATH": paths})
    monkeypatch.setattr(sample_pair, "module_command", lambda *_: blocked)
    with pytest.raises(ResourceError, match="PyTorch is needed"):
        sampleFiles(tmp_path / "pair", TINY)
    (tmp_path / "torch.py").write_text("raise ModuleNotFoundError(\"No module named 'SimpleITK'\")", encoding="utf-8")
    with pytest.raises(ResourceError, match=r"SimpleITK is needed .* install it .*pip_install"):
        sampleFiles(tmp_path / "pair", TINY)


def test_the_folder_is_in_the_users_cache(monkeypatch, tmp_path):
    monkeypatch.setattr(sample_pair.sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert sample_pair.sampleFolder().is_relative_to(tmp_path)
    monkeypatch.setattr(sample_pair.sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    assert sample_pair.sampleFolder().is_relative_to(tmp_path / "local")
    monkeypatch.setattr(sample_pair.sys, "platform", "darwin")
    assert "Library" in sample_pair.sampleFolder().parts


def test_a_process_that_says_very_much_does_not_stop_at_a_full_pipe(tmp_path, monkeypatch):
    talkative = code_command("sys.stderr.write('x' * 10**6 + '\\nlast words\\n'); sys.exit(1)")
    monkeypatch.setattr(sample_pair, "module_command", lambda *_: talkative)
    with pytest.raises(ResourceError, match=r"could not be made \(last words\)"):
        sampleFiles(tmp_path / "pair", TINY)


def test_a_sample_of_which_a_file_was_cut_short_is_not_taken(tmp_path):
    with output_folder(tmp_path, sample.NAMES) as staging:
        for name in sample.NAMES:
            (staging / name).write_text("a file")
    assert sample.is_complete(tmp_path)
    (tmp_path / sample.MOVING).write_text("half")
    assert not sample.is_complete(tmp_path)


def test_the_pair_is_added_one_node_at_a_time(scene, folder):
    own = ("vtkMRMLScalarVolumeNode", "vtkMRMLSegmentationNode")
    counts = [sum(scene.GetNumberOfNodesByClass(kind) for kind in own) for _ in loadSampleSteps(scene, folder)]
    assert counts == [0, 0, 0, 0, 1, 2, 3, 4]  # four files are read before
