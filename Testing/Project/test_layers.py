"""The layer table of docs/architecture.md, enforced on the source text and by blocked imports."""

from __future__ import annotations

import ast
import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from Testing.Support.patience import patient

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = ROOT / "JointRegistrationLib"
MRML = ROOT / "JointRegistration" / "JointRegistrationMRML"
DEMO = ROOT / "JointRegistration" / "JointRegistrationDemo"
PANEL = ROOT / "JointRegistration" / "JointRegistrationPanel"
HOST = ROOT / "Testing" / "Host" / "slicer_host"

SLICER = {"slicer", "vtk", "vtkmodules", "qt", "ctk", "PythonQt"}
QT = {"qt", "ctk", "PythonQt"}
UPPER_LAYERS = {"JointRegistration", "JointRegistrationMRML", "JointRegistrationDemo", "JointRegistrationPanel"}
#: The folders and files of each package from top to bottom: one imports only what stands in a lower line. What shares a
#: line does not know of each other.
ORDER = {
    "JointRegistrationLib": (
        "__main__",
        "cli",
        "worker training evaluation",
        "segmentation",
        "registration",
        "phantom networks",
        "files",
        "ops",
        "core",
    ),
    "JointRegistrationMRML": (
        "report",
        "inspection checks",
        "measure",
        "run",
        "scene",
        "nodes",
        "pauses unforeseen",
        "translation mrml",
    ),
    "JointRegistrationPanel": (
        "selftests console",
        "widget",
        "run",
        "inputs inspection install",
        "messages window",
        "text",
    ),
    "JointRegistrationDemo": ("demo run_report", "scene_run story overview", "evaluation", "inputs"),
}
#: Below these no file imports PyTorch, and of the worker what the panel and the scene layer use of it.
TORCH_FREE_FOLDERS = ("core", "files")
TORCH_FREE_WORKER = ("client", "exchange", "folders", "messages", "process", "segments", "server")
EVERYWHERE_IN_LIBRARY = {"numpy", "torch", "safetensors", "JointRegistrationLib"}
#: Which parts of the library, a folder or a file, may import a package that the others may not.
ONLY_IN = {
    "SimpleITK": {
        "core/figures/metrics.py",
        "files",
        "phantom/from_labels.py",
        "segmentation/islands.py",
        "training/data/labels.py",
    },
    "click": {"cli"},
    "h5py": {"files/transforms/hdf5.py"},
    "pydicom": {"files/dicom/frames.py", "files/dicom/pixels.py"},
    "tqdm": {"cli"},
    "matplotlib": {"training/record/examples.py"},
}
#: The only arrows upwards, inside functions: the command hands over to the layer that draws, the extra "scene".
HANDS_OVER = {"cli/report.py": {"JointRegistrationDemo"}}
GLOBAL_SLICER = {"mrmlScene", "app", "modules", "util"}


def sources(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.py"))


def imports(path: Path, *, module_level_only: bool = False) -> Iterator[tuple[str, int]]:
    """(top-level package, line) of each absolute import, including those inside functions unless told otherwise."""
    pending: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Import):
            yield from ((alias.name.partition(".")[0], node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.partition(".")[0], node.lineno
        elif isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            pending.extend(node.orelse)
            continue
        if module_level_only and isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        pending.extend(ast.iter_child_nodes(node))


def violations(folder: Path, banned: set[str], **options: bool) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in sources(folder)
        for name, line in imports(path, **options)
        if name in banned
    ]


def places(path: Path) -> set[str]:
    """A library file and its folders, relative to the library."""
    relative = path.relative_to(LIBRARY)
    return {relative.as_posix(), *(folder.as_posix() for folder in relative.parents)}


def allowed_in_library(path: Path) -> set[str]:
    """Third-party packages that a library file may import, by the layer table."""
    extra = {package for package, parts in ONLY_IN.items() if parts & places(path)}
    return EVERYWHERE_IN_LIBRARY | extra | handed_over_to(path) | set(sys.stdlib_module_names)


def handed_over_to(path: Path) -> set[str]:
    return HANDS_OVER.get(path.relative_to(LIBRARY).as_posix(), set())


# -- the source text ----------------------------------------------------------------------------------


def test_the_scanner_sees_imports_inside_functions_and_skips_those_for_type_checkers(tmp_path: Path) -> None:
    path = tmp_path / "example.py"
    path.write_text(
        "from typing import TYPE_CHECKING\nfrom . import sibling\nif TYPE_CHECKING:\n    import qt\n"
        "def run():\n    import slicer.util\n"
    )
    assert {name for name, _ in imports(path)} == {"typing", "slicer"}
    assert {name for name, _ in imports(path, module_level_only=True)} == {"typing"}


def test_library_imports_neither_slicer_vtk_qt_nor_an_upper_layer() -> None:
    assert violations(LIBRARY, SLICER | UPPER_LAYERS, module_level_only=True) == []
    upwards = {
        path.relative_to(LIBRARY).as_posix(): found
        for path in sources(LIBRARY)
        if (found := {name for name, _ in imports(path)} & (SLICER | UPPER_LAYERS))
    }
    assert upwards == HANDS_OVER


@pytest.mark.parametrize("path", sources(LIBRARY), ids=lambda path: str(path.relative_to(LIBRARY)))
def test_library_file_imports_only_what_the_layer_table_allows(path: Path) -> None:
    assert [f"line {line}: {name}" for name, line in imports(path) if name not in allowed_in_library(path)] == []


@pytest.mark.parametrize("package", ONLY_IN)
def test_layer_table_allows_no_more_than_is_used(package: str) -> None:
    users = [places(path) for path in sources(LIBRARY) if package in {name for name, _ in imports(path)}]
    assert {part for part in ONLY_IN[package] if not any(part in user for user in users)} == set()


def torch_free() -> list[Path]:
    folders = [path for folder in TORCH_FREE_FOLDERS for path in sources(LIBRARY / folder)]
    return [LIBRARY / "__init__.py", *folders, *(LIBRARY / "worker" / f"{name}.py" for name in TORCH_FREE_WORKER)]


@pytest.mark.parametrize("path", torch_free(), ids=lambda path: str(path.relative_to(LIBRARY)))
def test_foundation_module_imports_no_torch_even_in_functions(path: Path) -> None:
    assert "torch" not in {imported for imported, _ in imports(path)}


# -- the order of folders ------------------------------------------------------------------------------


def modules() -> dict[str, Path]:
    """Every module of the project's packages by its dotted name."""
    found = {}
    for root in (LIBRARY, MRML, PANEL, DEMO, HOST):
        for path in sources(root):
            parts = path.relative_to(root.parent).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported_modules(name: str, known: dict[str, Path]) -> set[str]:
    """The modules of ``known`` that one of them imports anywhere, those for type checkers included."""
    package = name.split(".") if known[name].name == "__init__.py" else name.split(".")[:-1]
    found = set()
    for node in ast.walk(ast.parse(known[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*above, *([node.module] if node.module else [])])
            found |= {inner if (inner := f"{source}.{alias.name}") in known else source for alias in node.names}
    return (found & known.keys()) - {name}


def circles(arrows: dict[str, set[str]]) -> list[list[str]]:
    """Modules that import each other: what is left when those without arrows out are taken away again and again."""
    left = {name: set(targets) for name, targets in arrows.items()}
    while ends := [name for name, targets in left.items() if not targets & left.keys()]:
        for name in ends:
            del left[name]
    return [sorted(left)] if left else []


def rank(module: str) -> tuple[str, str, int] | None:
    """(package, folder or file of its root, line in ORDER) of a module; None where there is no order."""
    package, _, rest = module.partition(".")
    entry = rest.partition(".")[0]
    lines = ORDER.get(package, ())
    line = next((number for number, entries in enumerate(lines) if entry in entries.split()), None)
    return None if line is None else (package, entry, line)


def upward_arrows() -> list[str]:
    known = modules()
    found = []
    for name in known:
        for other in imported_modules(name, known):
            here, there = rank(name), rank(other)
            if here and there and here[0] == there[0] and here[1] != there[1] and there[2] <= here[2]:
                found.append(f"{name} imports {other}")
    return sorted(found)


def test_every_entry_of_a_package_has_its_place_in_the_order() -> None:
    unplaced = [
        f"{root.name}/{entry.name}"
        for root in (LIBRARY, MRML, PANEL, DEMO)
        for entry in root.iterdir()
        if (entry.suffix == ".py" or (entry / "__init__.py").exists())
        and entry.stem != "__init__"
        and rank(f"{root.name}.{entry.stem}") is None
    ]
    assert unplaced == []


def test_imports_run_downwards_only() -> None:
    assert upward_arrows() == []


def test_a_circle_is_found() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}) == [["a", "b", "c", "d"]]
    assert circles({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


def test_no_modules_import_each_other() -> None:
    known = modules()
    assert circles({name: imported_modules(name, known) for name in known}) == []


def test_mrml_layer_imports_no_qt_and_no_torch_at_module_level() -> None:
    assert violations(MRML, QT | {"JointRegistrationDemo", "JointRegistrationPanel"}) == []
    assert violations(MRML, {"torch"}, module_level_only=True) == []


def test_mrml_layer_gets_its_scene_as_an_argument() -> None:
    uses = [
        f"{path.relative_to(ROOT)}:{node.lineno} uses slicer.{node.attr}"
        for path in sources(MRML)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "slicer"
        and node.attr in GLOBAL_SLICER
    ]
    assert uses == []


def test_views_import_no_qt() -> None:
    assert violations(DEMO, QT | {"JointRegistrationPanel"}) == []


def test_panel_imports_no_torch() -> None:
    assert violations(PANEL, {"torch"}) == []


def test_module_file_imports_nothing_heavy_when_slicer_loads_it() -> None:
    module = ROOT / "JointRegistration" / "JointRegistration.py"
    assert "torch" not in {name for name, _ in imports(module)}
    early = {name for name, _ in imports(module, module_level_only=True)}
    assert early - set(sys.stdlib_module_names) == {"slicer"}


# -- importing with modules blocked -------------------------------------------------------------------

BLOCKER = """
import importlib, sys

class Blocked:
    def __init__(self, names): self.names = names
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.names:
            raise ImportError(name + " is blocked in this test")

sys.meta_path.insert(0, Blocked(set(sys.argv[1].split(","))))
for name in sys.argv[2:]:
    importlib.import_module(name)
"""


def import_with_blocked(blocked: set[str], modules: list[str]) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(ROOT), str(ROOT / "JointRegistration")])
    return subprocess.run(
        [sys.executable, "-c", BLOCKER, ",".join(blocked), *modules],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=patient(20),
        check=False,
    )


def module_names(folder: Path) -> list[str]:
    """Dotted names of a package's modules; ``__main__`` runs the program, so it is left out."""
    names = [".".join(path.relative_to(folder.parent).with_suffix("").parts) for path in sources(folder)]
    return [name.removesuffix(".__init__") for name in names if not name.endswith("__main__")]


def test_the_blocker_blocks() -> None:
    done = import_with_blocked({"numpy"}, ["JointRegistrationLib.core.geometry"])
    assert done.returncode != 0
    assert "numpy is blocked" in done.stderr


def test_whole_library_imports_without_slicer_vtk_and_qt() -> None:
    done = import_with_blocked(SLICER, module_names(LIBRARY))
    assert done.returncode == 0, done.stderr


def test_foundation_modules_import_without_torch() -> None:
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in torch_free()]
    done = import_with_blocked(SLICER | {"torch"}, names)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(importlib.util.find_spec("slicer") is None, reason="slicer-core is not installed")
def test_mrml_layer_imports_without_torch_and_qt() -> None:
    done = import_with_blocked(QT | {"torch"}, module_names(MRML))
    assert done.returncode == 0, done.stderr
