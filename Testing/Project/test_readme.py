"""The README says only what works: its examples are run, and its links and targets exist; so are those of the docs."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage

from Testing.Support.examples import ROOT, RUN_BY, examples, run_example
from Testing.Support.patience import patient

README = (ROOT / "README.md").read_text(encoding="utf-8")


def write_pair(folder: Path) -> None:
    """A smooth texture and the same one moved by 2 mm."""
    texture = ndimage.gaussian_filter(np.random.default_rng(0).random((28, 28, 28)), 2.5)
    texture = (texture - texture.min()) / np.ptp(texture)
    for name, voxels in (("fixed", texture), ("moving", ndimage.shift(texture, (0, 1, 0), order=3, mode="nearest"))):
        image = sitk.GetImageFromArray(voxels.astype(np.float32))
        image.SetSpacing((2.0, 2.0, 2.0))
        sitk.WriteImage(image, str(folder / f"{name}.nii.gz"))


def test_python_example_registers_and_writes_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_pair(tmp_path)
    monkeypatch.chdir(tmp_path)
    run_example("README.md", 0)

    before, after = map(float, re.findall(r"NCC (\S+) -> (\S+),", capsys.readouterr().out)[0])
    assert after > max(before, 0.97)

    fixed, moving, warped = (sitk.ReadImage(name) for name in ("fixed.nii.gz", "moving.nii.gz", "warped.nrrd"))
    resampled = sitk.Resample(moving, fixed, sitk.ReadTransform("transform.h5"), sitk.sitkLinear, 0.0)
    difference = np.abs(sitk.GetArrayFromImage(resampled) - sitk.GetArrayFromImage(warped))
    assert np.percentile(difference[3:-3, 3:-3, 3:-3], 99) < 1e-3


def test_command_line_example_writes_the_files_it_names(tmp_path: Path) -> None:
    write_pair(tmp_path)
    (line,) = re.findall(r"^\S*joint-registration (register fixed.*)$", README, re.MULTILINE)
    done = subprocess.run(
        [sys.executable, "-m", "JointRegistrationLib", *shlex.split(line)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=patient(20),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    sentence = README.split(line)[1].split("writes ")[1].split("`--moving")[0]
    for name in re.findall(r"`([^`]+)`", sentence):
        assert (tmp_path / "out" / Path(name).name).is_file(), name


def test_links_to_files_lead_somewhere() -> None:
    targets = [target for target in re.findall(r"\]\(([^)#]+)\)", README) if not target.startswith("http")]
    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []


def test_make_targets_named_in_the_readme_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"^make ([a-z]+)", README, re.MULTILINE)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_every_python_example_of_readme_and_docs_is_run_by_a_test() -> None:
    pages = ["README.md", *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md")))]
    assert {page: len(examples(page)) for page in pages if examples(page)} == {k: len(v) for k, v in RUN_BY.items()}
    for page, files in RUN_BY.items():
        for number, file in enumerate(files):
            text = (ROOT / "Testing" / file).read_text(encoding="utf-8")
            assert f'"{page}", {number}' in text or f'examples("{page}")' in text, (page, number, file)
