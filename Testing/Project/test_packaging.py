"""What is installed, published and committed: the lists and metadata agree with the tree."""

from __future__ import annotations

import json
import re
import struct
import subprocess
from pathlib import Path

import pytest
import yaml

import JointRegistrationLib

ROOT = Path(__file__).resolve().parents[2]
MODULE = ROOT / "JointRegistration"
LIBRARY = ROOT / "JointRegistrationLib"

IMAGE_DATA = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd", ".dcm", ".mrb", ".mrml")
IMAGE_DATA += (".h5", ".tfm", ".npy", ".npz")
#: Computed blobs of 12 voxels a side: a scene as an earlier version saved it.
EARLIER_SCENES = ["Testing/MRML/run/saved_before_records.mrb"]
LARGEST_EARLIER_SCENE_BYTES = 100 * 1024
LARGEST_FILE_BYTES = 512 * 1024
LARGEST_WEIGHTS_BYTES = 100 * 1024 * 1024


def cmake_list(folder: Path, name: str) -> list[str]:
    """The values of ``set(NAME ...)`` in a folder's CMakeLists.txt."""
    text = re.sub(r"#.*", "", (folder / "CMakeLists.txt").read_text(encoding="utf-8"))
    found = re.search(rf"set\({name}\s+(.*?)\)\s*$", text, re.DOTALL | re.MULTILINE)
    return re.findall(r'"[^"]*"|\S+', found.group(1)) if found else []


def cmake_value(name: str) -> str:
    (value,) = cmake_list(ROOT, name)
    return value.strip('"')


def tracked_files() -> list[Path]:
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in done.stdout.split("\0") if name and (ROOT / name).exists()]


def in_tree(folder: Path, *, python: bool) -> list[str]:
    found = [path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    return sorted(str(path.relative_to(folder).as_posix()) for path in found if (path.suffix == ".py") == python)


# -- the installed extension --------------------------------------------------------------------------


@pytest.mark.parametrize("folder", [MODULE, LIBRARY], ids=lambda folder: folder.name)
def test_cmake_installs_every_script(folder: Path) -> None:
    listed = cmake_list(folder, "MODULE_PYTHON_SCRIPTS")
    assert listed == sorted(listed)
    assert listed == in_tree(folder, python=True)


@pytest.mark.parametrize("folder", [MODULE, LIBRARY], ids=lambda folder: folder.name)
def test_cmake_installs_every_resource(folder: Path) -> None:
    resources = [name for name in in_tree(folder, python=False) if not name.endswith("CMakeLists.txt")]
    assert sorted(cmake_list(folder, "MODULE_PYTHON_RESOURCES")) == resources


def test_only_the_module_lies_directly_in_the_module_folder() -> None:
    # Slicer takes every Python file there for a module.
    assert [path.name for path in MODULE.glob("*.py")] == ["JointRegistration.py"]


def test_cmake_adds_every_folder_it_must() -> None:
    text = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    for folder in ("JointRegistration", "JointRegistrationLib", "Testing"):
        assert f"add_subdirectory({folder})" in text
        assert (ROOT / folder / "CMakeLists.txt").is_file()


def test_extension_metadata_is_what_the_index_expects() -> None:
    assert "project(JointRegistration)" in (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    assert cmake_value("EXTENSION_CATEGORY") == "Registration"
    assert "PyTorch" in cmake_value("EXTENSION_DEPENDS").split()
    assert len(cmake_value("EXTENSION_DESCRIPTION")) > 40
    for name in ("LICENSE.txt", "README.md"):
        assert (ROOT / name).is_file()


def test_index_entry_keeps_the_indexs_rules() -> None:
    entry = json.loads((ROOT / "JointRegistration.json").read_text(encoding="utf-8"))
    allowed = {"$schema", "build_dependencies", "build_subdirectory", "category", "enabled", "scm_revision", "scm_url"}
    assert {"$schema", "category", "scm_url"} <= set(entry) <= allowed | {"tier"}
    assert entry["$schema"].endswith("slicer-extension-catalog-entry-schema-v1.0.2.json#")
    assert entry["category"] == cmake_value("EXTENSION_CATEGORY")
    assert entry["build_dependencies"] == cmake_value("EXTENSION_DEPENDS").split()
    # The repository's name begins with "Slicer", the extension's does not.
    assert re.fullmatch(r"https://[\w./-]+/SlicerJointRegistration(\.git)?", entry["scm_url"])
    assert 1 <= entry["tier"] <= 5


def test_module_says_the_same_as_the_extension() -> None:
    text = (MODULE / "JointRegistration.py").read_text(encoding="utf-8")
    assert f'categories = ["{cmake_value("EXTENSION_CATEGORY")}"]' in text
    assert f'contributors = ["{cmake_value("EXTENSION_CONTRIBUTORS")}"]' in text


@pytest.mark.parametrize("path", [ROOT / "Resources", MODULE / "Resources" / "Icons"], ids=["extension", "module"])
def test_icon_is_a_128_pixel_png(path: Path) -> None:
    header = (path / "JointRegistration.png").read_bytes()[:24]
    assert header[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", header[16:24]) == (128, 128)


# -- the installed Python packages ---------------------------------------------------------------------


def test_library_scene_and_view_layer_are_installed_whole() -> None:
    from setuptools.config.pyprojecttoml import read_configuration

    setup = read_configuration(ROOT / "pyproject.toml")["tool"]["setuptools"]
    roots = {"JointRegistrationLib": ROOT, "JointRegistrationMRML": MODULE, "JointRegistrationDemo": MODULE}
    expected = {
        ".".join(path.parent.relative_to(root).parts)
        for name, root in roots.items()
        for path in (root / name).rglob("__init__.py")
    }
    # A folder without Python, such as that of the weights, counts as a package of its own.
    assert expected <= set(setup["packages"])
    assert {name.partition(".")[0] for name in setup["packages"]} == set(roots)
    folders = [root / name for name, root in roots.items() if root == MODULE]
    resources = [name for folder in folders for name in in_tree(folder, python=False)]
    assert resources == [], "files that package-data must name"


# -- versions and licence -----------------------------------------------------------------------------


def test_version_is_the_same_everywhere() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert str(citation["version"]) == JointRegistrationLib.__version__
    assert citation["license"] == "Apache-2.0"
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(rf"^## \[({re.escape(JointRegistrationLib.__version__)}|Unreleased)\]", changelog, re.MULTILINE)


def test_constraints_name_only_packages_that_the_project_asks_for() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            name, _, version = line.partition("==")
            assert version, f"constraints.txt: {line!r} pins no version"
            assert f'"{name}>=' in project


# -- what is committed --------------------------------------------------------------------------------


def test_no_image_data_is_committed() -> None:
    found = [path for path in tracked_files() if path.name.lower().endswith(IMAGE_DATA)]
    assert [path.relative_to(ROOT).as_posix() for path in found] == EARLIER_SCENES
    assert max(path.stat().st_size for path in found) <= LARGEST_EARLIER_SCENE_BYTES


def test_nothing_of_a_shared_folder_or_an_output_is_committed() -> None:
    names = [path.relative_to(ROOT).parts[0] for path in tracked_files()]
    assert not {"shared", "demo-output", "runs"} & set(names)
    assert [str(path) for path in tracked_files() if path.is_symlink()] == []


def test_no_committed_file_is_large() -> None:
    for path in tracked_files():
        limit = LARGEST_WEIGHTS_BYTES if path.suffix == ".safetensors" else LARGEST_FILE_BYTES
        assert path.stat().st_size <= limit, path


def test_text_files_have_unix_line_ends() -> None:
    texts = [path for path in tracked_files() if path.suffix in (".py", ".md", ".txt", ".toml", ".yml", ".cff")]
    assert [str(path) for path in texts if b"\r\n" in path.read_bytes()] == []
