"""What ``JointRegistrationLib`` offers by name: the list, where each comes from, and that nothing is loaded early."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import JointRegistrationLib
from Testing.Support.examples import examples
from Testing.Support.patience import patient

ROOT = Path(__file__).resolve().parents[2]
NAMES = {name for name in JointRegistrationLib.__all__ if name != "__version__"}

#: Scripts import these: none may vanish.
PROMISED = """
    AffineConfig CheckpointError ConfigError FileError FoldCount GeometryError Grid Image InputError
    JointRegistrationError LabelMetrics LandmarkConfig LandmarkErrors LandmarkPairs LddmmConfig NetworkConfig
    OutOfMemory PreprocessConfig RegistrationCancelled RegistrationConfig RegistrationResult ResourceError Segmentation
    SimilarityConfig SpatialTransform StartingMap VelocityConfig VsvfConfig dice fit_transform label_metrics read_image
    read_labels read_landmark_pairs read_landmarks read_mask read_metrics read_result read_transform register segment
    starting_map warp_label_image write_affine write_displacement_field write_image write_labels write_transform
""".split()  # noqa: SIM905 a list of 47 lines says no more


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=patient(20), check=False
    )


def test_the_list_is_what_was_promised() -> None:
    assert sorted(NAMES) == PROMISED


@pytest.mark.parametrize("name", PROMISED)
def test_each_name_is_there_and_documented(name: str) -> None:
    thing = getattr(JointRegistrationLib, name)
    assert thing.__name__ == name
    # A dataclass without a docstring of its own gets its signature as one.
    assert len(inspect.getdoc(thing) or "") > 20 and not (thing.__doc__ or "").startswith(f"{name}(")
    assert name in dir(JointRegistrationLib)


def test_type_checkers_see_the_same_names_from_the_same_modules() -> None:
    (block,) = [
        node
        for node in ast.parse(Path(JointRegistrationLib.__file__).read_text(encoding="utf-8")).body
        if isinstance(node, ast.If)
    ]
    seen = {alias.name: node.module for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert seen == JointRegistrationLib._HOMES
    assert seen.keys() == NAMES
    assert (ROOT / "JointRegistrationLib" / "py.typed").exists()


def test_the_reference_begins_with_the_same_names() -> None:
    index = (ROOT / "docs" / "reference" / "index.rst").read_text(encoding="utf-8")
    listed = re.findall(r"^   ~JointRegistrationLib\.(\S+)\.(\w+)$", index, re.MULTILINE)
    assert sorted((name, module) for module, name in listed) == sorted(JointRegistrationLib._HOMES.items())


def test_importing_it_loads_neither_torch_nor_numpy() -> None:
    done = run("import sys, JointRegistrationLib; print({'torch', 'numpy'} & sys.modules.keys())")
    assert done.stdout == "set()\n", done.stderr


def test_what_needs_no_torch_loads_none() -> None:
    done = run("import sys\nfrom JointRegistrationLib import Grid, Image, read_image\nprint('torch' in sys.modules)")
    assert done.stdout == "False\n", done.stderr


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'JointRegistrationLib' has no attribute 'registr'"):
        JointRegistrationLib.registr  # noqa: B018


def test_the_architecture_shows_register_as_it_is() -> None:
    (shown,) = ast.parse(examples("docs/architecture.md")[0]).body
    assert isinstance(shown, ast.FunctionDef) and shown.name == "register"
    parameters = inspect.signature(JointRegistrationLib.register).parameters.values()
    for kind, arguments in (("POSITIONAL_OR_KEYWORD", shown.args.args), ("KEYWORD_ONLY", shown.args.kwonlyargs)):
        assert [argument.arg for argument in arguments] == [p.name for p in parameters if p.kind.name == kind]
