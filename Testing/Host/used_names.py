"""Which names of the application the extension's sources use, read off the sources and the forms.

What a variable is, is known where it is made on the spot (``qt.QTimer()``, ``newNode("vtkMRMLTextNode", ...)``) or
is a control of the form (``ui.registerButton``); the host refuses other wrong names while the tests run.
"""

from __future__ import annotations

import ast
import functools
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

MODULE = Path(__file__).resolve().parents[2] / "JointRegistration"

#: Namespaces whose names are collected as they are written or imported.
NAMESPACES = (
    "slicer",
    "slicer.util",
    "slicer.app",
    "slicer.ScriptedLoadableModule",
    "slicer.parameterNodeWrapper",
    "qt",
    "ctk",
    "vtk",
)
_MAKERS = ("newNode", "AddNewNodeByClass", "GetFirstNodeByClass", "GetTransformFromParentAs", "GetTransformToParentAs")
_CLASS_NAME = re.compile(r"(vtk(MRML|Slicer|Segment|Oriented)|qMRML|ctk)\w*")
_NODE_IDS = {"vtkMRMLColorTableNodeGrey"}
#: Python's own modules and ours, whose names look like those of VTK.
_MODULES = (
    "ctypes",
    "subprocess",
    "tempfile",
    "unittest",
    "zipfile",
    "argparse",
    "enum",
    "npt",
    "sitk",
    "packages",
    "packagesModule",
)


def sources() -> list[Path]:
    """The files that run inside the application."""
    layers = (MODULE / "JointRegistrationMRML", MODULE / "JointRegistrationPanel")
    tests = sorted((MODULE.parent / "Testing" / "Slicer").glob("*.py"))
    return [
        MODULE / "JointRegistration.py",
        *tests,
        *(path for layer in layers for path in sorted(layer.rglob("*.py"))),
    ]


def forms() -> list[Path]:
    """The .ui files."""
    return sorted((MODULE / "Resources" / "UI").glob("*.ui"))


@functools.cache
def controls() -> dict[str, str]:
    """Class of each named widget of the forms."""
    widgets = (widget for form in forms() for widget in ElementTree.parse(form).iter("widget"))
    return {widget.get("name", ""): widget.get("class", "") for widget in widgets}


def formProperties() -> dict[str, set[str]]:
    """The properties that the forms set, by class; those made by Qt Designer alone are left out."""
    found: dict[str, set[str]] = defaultdict(set)
    for form in forms():
        for widget in ElementTree.parse(form).iter("widget"):
            declared = (entry for entry in widget.findall("property") if entry.get("stdset") != "0")
            names = {entry.get("name", "") for entry in declared}
            found[widget.get("class", "")] |= names - {"buddy"}  # no property: Qt's loader makes it a label's buddy
    return found


@functools.cache
def usedNames() -> dict[str, set[str]]:
    """What is used of each namespace and class, by its name."""
    found: dict[str, set[str]] = defaultdict(set)
    for path in sources():
        for owner, name in _usesIn(path.read_text(encoding="utf-8"), controls()):
            found[owner].add(name)
    return dict(found)


def signalNames() -> set[str]:
    """The signals that are connected by their signature, which the application does not complain about loudly."""
    texts = (path.read_text(encoding="utf-8") for path in sources())
    return {signature for text in texts for signature in re.findall(r"\.connect\(\s*\"([^\"]+)\"", text)}


def methodNames() -> set[str]:
    """Names in the style of VTK (``GetName``) that are taken from any object."""
    trees = (ast.parse(path.read_text(encoding="utf-8")) for path in sources())
    taken = (node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Attribute))
    ofModules = (*NAMESPACES, *_MODULES)
    return {
        node.attr
        for node in taken
        if re.match(r"[A-Z][a-zA-Z0-9]*[a-z]", node.attr) and ast.unparse(node.value) not in ofModules
    }


def _usesIn(source: str, controls: dict[str, str]) -> Iterator[tuple[str, str]]:
    tree = ast.parse(source)
    everywhere = {name: kind for name, kind in _kindsIn(tree, controls).items() if "." in name}
    scopes = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    for scope in (tree, *scopes):
        kinds = everywhere | ({} if scope is tree else _kindsIn(scope, controls))
        for node in ast.walk(scope):
            if isinstance(node, ast.Attribute):
                yield from _attribute(node, kinds, controls, source)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module in NAMESPACES:
            yield from ((node.module, alias.name) for alias in node.names)
        elif isinstance(node, ast.Constant) and _isClassName(node.value):
            yield "slicer", node.value


def _isClassName(value: object) -> bool:
    return isinstance(value, str) and bool(_CLASS_NAME.fullmatch(value)) and value not in _NODE_IDS


def _attribute(
    node: ast.Attribute, kinds: dict[str, str], controls: dict[str, str], source: str
) -> Iterator[tuple[str, str]]:
    owner = ast.unparse(node.value)
    kind = _control(node.value, controls) or kinds.get(owner)
    if owner in NAMESPACES:
        if f'hasattr({owner}, "{node.attr}")' not in source:
            yield owner, node.attr
    elif owner == "slicer.mrmlScene":
        yield "vtkMRMLScene", node.attr
    elif kind is not None:
        yield kind, node.attr
    elif re.fullmatch(r"(slicer|qt|vtk)\.(q|Q|vtk|ctk)\w+", owner):  # a class: its constants and static functions
        yield owner.partition(".")[2], node.attr


def _kindsIn(scope: ast.AST, controls: dict[str, str]) -> dict[str, str]:
    """The class of variables that are only ever given one kind of object in a file or function."""
    seen: dict[str, set[str]] = defaultdict(set)
    for node in ast.walk(scope):
        if isinstance(node, ast.Assign):
            for target, value in _pairs(node.targets[0], node.value):
                seen[ast.unparse(target)].add(_kindOf(value, controls))
        elif isinstance(node, ast.arg):
            seen[node.arg].add("")
        elif isinstance(node, ast.For | ast.comprehension):
            seen[ast.unparse(node.target)].add("")
        elif isinstance(node, ast.withitem) and node.optional_vars is not None:
            seen[ast.unparse(node.optional_vars)].add("")
    return {name: next(iter(kinds)) for name, kinds in seen.items() if len(kinds) == 1 and "" not in kinds}


def _pairs(target: ast.expr, value: ast.expr) -> Iterator[tuple[ast.expr, ast.expr]]:
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts):
        yield from zip(target.elts, value.elts, strict=True)
    else:
        yield target, value


def _kindOf(value: ast.expr, controls: dict[str, str]) -> str:
    """The class of what an expression makes; empty if that cannot be told."""
    if not isinstance(value, ast.Call):
        return _control(value, controls)
    made = re.fullmatch(r"(?:qt|vtk|slicer)\.(\w+)", ast.unparse(value.func))
    if made is not None:
        return made.group(1)
    named = ast.unparse(value.func).rpartition(".")[2]
    if named in _MAKERS and value.args and isinstance(value.args[0], ast.Constant):
        return str(value.args[0].value)
    return ""


def _control(value: ast.expr, controls: dict[str, str]) -> str:
    """The class of ``ui.name``, however the form is reached; empty for anything else."""
    if isinstance(value, ast.Attribute) and ast.unparse(value.value).rpartition(".")[2] in ("ui", "_ui"):
        return controls.get(value.attr, "")
    return ""
