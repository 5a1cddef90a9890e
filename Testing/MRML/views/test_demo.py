"""The demo program: from nothing to a report, a scene and transforms; all of them or none."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

pytest.importorskip("slicer", reason="slicer-core is not installed")
pytest.importorskip("matplotlib", reason="the scene extra is not installed")

from click.testing import CliRunner, Result
from PIL import Image as PillowImage

from JointRegistrationDemo import demo, inputs
from JointRegistrationDemo.run_report import writeRunReport
from JointRegistrationLib.core.errors import FileError
from JointRegistrationLib.core.geometry import Grid
from JointRegistrationLib.core.image import Image
from JointRegistrationLib.files import write_image
from JointRegistrationMRML.scene.headless import createHeadlessScene, loadScene
from Testing.Support.patience import patient

ROOT = Path(__file__).resolve().parents[3]
FILES = {
    "scene.mrb", "report.html", "overview.png", "metrics.json", "transform.h5", "inverse_transform.h5", "affine.tfm",
    "warped.nrrd", "log2_jacobian.nrrd", "manifest.json",
}  # fmt: skip


def runProgram(*arguments: str) -> subprocess.CompletedProcess[str]:
    """As ``make demo`` does."""
    return subprocess.run(
        [sys.executable, "-m", "JointRegistrationDemo.demo", *arguments],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=patient(60),
        check=False,
    )


def runHere(*arguments: str) -> Result:
    return CliRunner().invoke(demo.demo, list(arguments))


@pytest.fixture(scope="module")
def tinyDemo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    folder = tmp_path_factory.mktemp("demo") / "out"
    return folder, runProgram("--output", str(folder), "--size", "tiny")


@pytest.fixture
def ownFiles(tmp_path: Path) -> tuple[str, str]:
    """A small pair of different grids, one 2 mm beside the other."""
    paths = []
    for name, shift, spacing in (("first", 0.0, 2.0), ("second", 2.0, 2.4)):
        grid = Grid((24, 24, 22), (spacing,) * 3, (-25.0, -25.0, -24.0))
        k, j, i = np.indices(grid.shape) * spacing
        ball = (i - 26 - shift) ** 2 + (j - 24) ** 2 + (0.8 * (k - 24)) ** 2
        array = 500 * np.exp(-ball / 200) + 200 * np.exp(-np.square(i - 14) / 30) + 0.2 * k
        paths.append(str(tmp_path / f"{name}.nii.gz"))
        write_image(Image(array.astype(np.float32), grid, name), Path(paths[-1]))
    return paths[0], paths[1]


@pytest.fixture
def quickMethod() -> str:
    """What quickRegistration runs."""
    return "affine-opt"


@pytest.fixture
def quickRegistration(quickMethod: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Affine only, so that what comes after can be tried quickly."""
    from JointRegistrationDemo import scene_run
    from JointRegistrationLib.core.config import AffineConfig, RegistrationConfig

    config = RegistrationConfig(method=quickMethod, affine=AffineConfig(iterations=10, levels=(2,)))
    real = scene_run.registerVolumes

    def quick(scene: Any, nodes: Any, _config: Any, **callbacks: Any) -> Any:
        return real(scene, nodes, config, **callbacks)

    monkeypatch.setattr(scene_run, "registerVolumes", quick)


def test_the_demo_ends_well_and_says_where_everything_is(tinyDemo):
    folder, done = tinyDemo
    assert done.returncode == 0, done.stderr
    for name in ("report.html", "overview.png", "scene.mrb", "metrics.json", "transform.h5"):
        assert str(folder / name) in done.stdout
    assert "Traceback" not in done.stderr
    assert "ERR|" not in done.stderr  # VTK's errors


def test_the_demo_uses_the_networks_and_report_and_figures_say_so(tinyDemo):
    folder, done = tinyDemo
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["method"] == "avsm"
    assert metrics["notes"] == []
    assert "Note:" not in done.stdout
    assert "avsm: affine and deformation predicted by the networks" in (folder / "report.html").read_text(
        encoding="utf-8"
    )


@pytest.mark.parametrize("quickMethod", ["avsm-affine"])
@pytest.mark.usefixtures("quickRegistration")
def test_without_weights_the_demo_falls_back_and_says_so(
    ownFiles: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from JointRegistrationLib.networks import weights

    monkeypatch.setattr(weights, "DEFAULT_WEIGHTS", tmp_path / "none.safetensors")
    done = runHere("-o", str(tmp_path / "out"), "--fixed", ownFiles[0], "--moving", ownFiles[1])
    assert done.exit_code == 0, done.output
    assert "Note: The networks' weights are missing" in done.stdout
    assert "affine-opt was run instead of avsm-affine" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


def test_the_demo_writes_all_files_and_nothing_else(tinyDemo):
    folder, _ = tinyDemo
    assert {path.name for path in folder.iterdir()} == FILES | {"warped_labels.nrrd"}


def test_the_demo_brings_the_knees_together(tinyDemo):
    metrics = json.loads((tinyDemo[0] / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["ncc_after"] > metrics["ncc_before"] + 0.03
    error = metrics["error_at_bone_and_cartilage"]
    assert error["after"]["mean_mm"] < 0.8 * error["before"]["mean_mm"]
    assert metrics["folds"] == 0
    assert set(metrics["versions"]) >= {"torch", "slicer-core", "joint-registration"}
    assert metrics["labels"]["femur"]["after"]["dice"] > metrics["labels"]["femur"]["before"]["dice"]


def test_the_scene_opens_again_with_inputs_and_results(tinyDemo):
    hosted = createHeadlessScene()
    loadScene(hosted.scene, tinyDemo[0] / "scene.mrb")
    scene = hosted.scene

    def names(className: str) -> set[str]:
        nodes = scene.GetNodesByClass(className)
        return {nodes.GetItemAsObject(n).GetName() for n in range(nodes.GetNumberOfItems())}

    volumes = names("vtkMRMLScalarVolumeNode")
    assert {"Fixed knee", "Moving knee", "Moving knee warped"} <= volumes
    assert not [name for name in volumes if " - " in name or " / " in name]  # pictures' temporary nodes
    assert "Moving knee tissues warped" in names("vtkMRMLSegmentationNode")
    assert "Moving knee to Fixed knee" in names("vtkMRMLTransformNode")


def test_desktop_slicer_will_open_the_scene_on_the_result(tinyDemo):
    hosted = createHeadlessScene()
    loadScene(hosted.scene, tinyDemo[0] / "scene.mrb")
    for view, orientation in (("Red", "Axial"), ("Yellow", "Sagittal"), ("Green", "Coronal")):
        composite = hosted.scene.GetNodeByID(f"vtkMRMLSliceCompositeNode{view}")
        assert hosted.scene.GetNodeByID(composite.GetBackgroundVolumeID()).GetName() == "Fixed knee"
        assert hosted.scene.GetNodeByID(composite.GetForegroundVolumeID()).GetName() == "Moving knee warped"
        sliceNode = hosted.scene.GetNodeByID(f"vtkMRMLSliceNode{view}")
        assert sliceNode.GetOrientation() == orientation
        fov = sliceNode.GetFieldOfView()
        assert 100 < min(fov[0], fov[1]) < 200
    assert hosted.scene.GetFirstNodeByName("JointRegistrationOffScreen") is None


def test_the_saved_transform_resamples_the_moving_image_in_the_scene_to_the_warped_one(tinyDemo):
    folder, _ = tinyDemo
    hosted = createHeadlessScene()
    loadScene(hosted.scene, folder / "scene.mrb")
    from JointRegistrationMRML.nodes.volumes import imageFromVolume

    moving, warped = (
        imageFromVolume(hosted.scene.GetFirstNodeByName(name)) for name in ("Moving knee", "Moving knee warped")
    )
    image = sitk.GetImageFromArray(moving.array.astype(np.float32))
    image.SetSpacing(moving.grid.spacing_mm)
    image.SetOrigin(moving.grid.origin_lps)
    image.SetDirection(moving.grid.direction_lps)
    resampled = sitk.Resample(image, image, sitk.ReadTransform(str(folder / "transform.h5")), sitk.sitkLinear)
    inner = (slice(4, -4),) * 3
    difference = np.abs(sitk.GetArrayFromImage(resampled) - warped.array)[inner]
    assert np.percentile(difference, 99) < 1e-3 * np.ptp(warped.array)


def test_the_report_stands_alone_and_the_overview_is_a_picture(tinyDemo):
    folder, _ = tinyDemo
    text = (folder / "report.html").read_text(encoding="utf-8")
    assert text.count("data:image/png;base64,") == 33 + 4  # cartilages, the femoral one from two sides
    assert text.count("<svg ") == 4
    assert 'src="http' not in text
    assert PillowImage.open(folder / "overview.png").size[0] > 1500


def test_own_files_are_registered_likewise(ownFiles, tmp_path, quickRegistration):
    folder = tmp_path / "out"
    done = runHere("--fixed", ownFiles[0], "--moving", ownFiles[1], "--output", str(folder))
    assert done.exit_code == 0, done.output
    assert {path.name for path in folder.iterdir()} == FILES
    text = (folder / "report.html").read_text(encoding="utf-8")
    assert "first" in text
    assert text.count("data:image/png;base64,") == 27  # no outlines without labels
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["ncc_after"] > metrics["ncc_before"]


def test_one_image_alone_is_refused(tmp_path):
    done = runHere("--fixed", "a.nii.gz", "--output", str(tmp_path / "out"))
    assert done.exit_code == 2
    assert "--moving" in done.output


def test_a_missing_file_is_one_sentence_and_leaves_nothing(tmp_path):
    done = runHere("--fixed", "absent.nii.gz", "--moving", "b.nii.gz", "--output", str(tmp_path / "out"))
    assert done.exit_code == 2
    assert "absent.nii.gz" in done.output
    assert "Traceback" not in done.output
    assert list(tmp_path.iterdir()) == []


def test_a_failure_at_the_very_end_leaves_the_earlier_results(ownFiles, tmp_path, monkeypatch, quickRegistration):
    from JointRegistrationMRML.report import page

    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "report.html").write_text("earlier")
    (folder / "notes.txt").write_text("the user's own")

    def fail(_report: object) -> str:
        raise MemoryError

    monkeypatch.setattr(page, "renderReport", fail)
    done = runHere("--fixed", ownFiles[0], "--moving", ownFiles[1], "--output", str(folder))
    assert done.exit_code == 4
    assert "memory" in done.output
    assert sorted(path.name for path in folder.iterdir()) == ["notes.txt", "report.html"]
    assert (folder / "report.html").read_text(encoding="utf-8") == "earlier"


def test_results_of_an_earlier_demo_are_replaced_and_other_files_kept(ownFiles, tmp_path, quickRegistration):
    folder = tmp_path / "out"
    folder.mkdir()
    for name in ("report.html", "warped_labels.nrrd", "notes.txt"):
        (folder / name).write_text("earlier")
    done = runHere("--fixed", ownFiles[0], "--moving", ownFiles[1], "--output", str(folder))
    assert done.exit_code == 0, done.output
    assert {path.name for path in folder.iterdir()} == FILES | {"notes.txt"}
    assert (folder / "report.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT to send")
def test_ctrl_c_ends_the_demo_tidily(tmp_path):
    folder = tmp_path / "out"
    command = [sys.executable, "-m", "JointRegistrationDemo.demo", "--size", "tiny", "--output", str(folder)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        while "network" not in process.stderr.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
    assert process.returncode == 3
    assert "cancelled" in rest
    assert "Traceback" not in rest
    assert list(tmp_path.iterdir()) == []


def test_the_output_may_not_be_a_file(tmp_path):
    (tmp_path / "out").write_text("a file")
    done = runHere("--size", "tiny", "--output", str(tmp_path / "out"))
    assert done.exit_code == 2
    assert "out" in done.output
    assert (tmp_path / "out").read_text(encoding="utf-8") == "a file"


def test_sample_knees_have_labels_truth_and_the_stated_size():
    pair = inputs.samplePair("tiny", 3)
    assert pair.fixed.grid.size_ijk == inputs.SAMPLE_SIZES["tiny"]
    assert pair.truthMm.shape == (*pair.fixed.grid.shape, 3)
    assert set(inputs.CARTILAGES) <= set(np.unique(pair.fixedLabels.array))


def test_the_report_can_be_made_again_from_the_folder_alone(
    tinyDemo: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = tinyDemo
    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"] or ["matplotlib"]:
        monkeypatch.setitem(sys.modules, name, None)  # the demo's overview alone needs it
    page = tmp_path / "again.html"
    writeRunReport(folder, page)
    again, first = page.read_text(encoding="utf-8"), (folder / "report.html").read_text(encoding="utf-8")
    assert again.count("data:image/png") == first.count("data:image/png") > 20
    for said in ("Position error", "Femoral cartilage", "scene.mrb"):
        assert said in again
    with pytest.raises(FileError, match=r"is not that of the run .* --fixed"):
        other = tmp_path / "other.nrrd"
        write_image(Image(np.ones((8, 9, 10), np.float32), Grid((10, 9, 8))), other)
        writeRunReport(folder, tmp_path / "none.html", other, other)
    assert not (tmp_path / "none.html").exists()
