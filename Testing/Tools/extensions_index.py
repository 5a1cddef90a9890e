"""What the checks of Slicer's Extensions Index would refuse today: ``make index`` prints one list.

What only a public repository can mend stands apart; anything else in the list is a fault, and the exit code is 1.
"""

from __future__ import annotations

import ast
import dataclasses
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

#: Keys of the entry's schema, version 1.0.2.
_REQUIRED = {"$schema", "category", "scm_url"}
_ALLOWED = _REQUIRED | {
    "scm_revision", "scm_type", "build_dependencies", "dicom_support_rule", "build_subdirectory", "enabled", "tier",
}  # fmt: skip
_LARGEST_CLONE_BYTES = 100e6
_PICTURES = (".png", ".jpg", ".jpeg", ".gif")
#: What a module may do when it is imported: the application imports every module while it starts.
_AT_FILE_SCOPE = (ast.Import, ast.ImportFrom, ast.ClassDef, ast.FunctionDef, ast.Assign, ast.AnnAssign, ast.Try)
_HEAVY = ("torch", "numpy", "SimpleITK", "safetensors", "scipy", "h5py", "matplotlib")


@dataclasses.dataclass(frozen=True)
class Refusal:
    """Something that a check would refuse.

    Attributes:
        what: what is wrong, and what to do.
        needs_address: whether it can only be mended once the project has a public repository.
    """

    what: str
    needs_address: bool = False


def refusals(root: Path = ROOT) -> list[Refusal]:
    """Everything, in the order of the checks."""
    return [refusal for check in (_entry, _metadata, _readme, _repository, _module) for refusal in check(root)]


def _cmake(root: Path, name: str) -> str:
    text = (root / "CMakeLists.txt").read_text(encoding="utf-8")
    found = re.search(rf'set\({name}\s+"([^"]*)"\)', text)
    return found[1] if found else ""


def _is_address(text: str) -> bool:
    return bool(re.match(r"https://[\w-]+(\.[\w-]+)+/", text)) and ".invalid/" not in text


def _entry(root: Path) -> Iterator[Refusal]:
    """The file that is sent to the index."""
    (path,) = root.glob("*.json")
    project = re.search(r"project\((\w+)\)", (root / "CMakeLists.txt").read_text(encoding="utf-8"))
    if project is None or project[1] != path.stem:
        yield Refusal(f"{path.name} has another name than the project of CMakeLists.txt: rename one of them")
    entry = json.loads(path.read_text(encoding="utf-8"))
    if missing := _REQUIRED - set(entry):
        yield Refusal(f"{path.name} lacks {', '.join(sorted(missing))}")
    if more := set(entry) - _ALLOWED:
        yield Refusal(f"{path.name} has keys that the schema does not know: {', '.join(sorted(more))}")
    if entry.get("category") != _cmake(root, "EXTENSION_CATEGORY"):
        yield Refusal(f"{path.name} and CMakeLists.txt name different categories")
    if entry.get("build_dependencies", []) != _cmake(root, "EXTENSION_DEPENDS").split():
        yield Refusal(f"{path.name} and CMakeLists.txt name different dependencies")
    repository = entry.get("scm_url", "").removesuffix(".git").rpartition("/")[2]
    if path.stem.startswith("Slicer") or not repository.startswith("Slicer"):
        yield Refusal("the repository's name must begin with Slicer, the extension's must not")
    if not _is_address(entry.get("scm_url", "")):
        yield Refusal(
            f"scm_url in {path.name} is no address that can be cloned: set it to the repository's, with the branch as "
            "scm_revision",
            needs_address=True,
        )


def _metadata(root: Path) -> Iterator[Refusal]:
    """What the Extensions Manager shows."""
    for name in ("EXTENSION_CATEGORY", "EXTENSION_CONTRIBUTORS", "EXTENSION_DESCRIPTION"):
        if not _cmake(root, name):
            yield Refusal(f"{name} in CMakeLists.txt is empty")
    if not _is_address(_cmake(root, "EXTENSION_HOMEPAGE")):
        yield Refusal("EXTENSION_HOMEPAGE in CMakeLists.txt is no http address: set the repository's", True)
    for name, files in (("EXTENSION_ICONURL", "Resources/"), ("EXTENSION_SCREENSHOTURLS", "docs/images/")):
        addresses = _cmake(root, name).split()
        if not addresses or not all(_is_address(a) and a.lower().endswith(_PICTURES) for a in addresses):
            text = f"{name} in CMakeLists.txt is no http address of a picture: set that of one in {files}"
            yield Refusal(text, needs_address=True)


def _readme(root: Path) -> Iterator[Refusal]:
    """What a reader of the front page must find."""
    text = (root / "README.md").read_text(encoding="utf-8")
    wanted = {
        "a picture": r"!\[[^\]]+\]\([^)]+\.png\)",
        "a section 'Modules' with a sentence for each module": r"^## Modules\n+- \*\*Joint Registration\*\*: .+\.",
        "a section 'How to cite'": r"^## How to cite\n",
        "a tutorial": r"\(docs/tutorial\.md\)",
        "the licence": r"LICENSE\.txt",
        "the versions of Slicer that it runs in": r"^## Versions of Slicer\n",
        "where sample data come from": r"Make a sample pair",
    }
    for what, pattern in wanted.items():
        if not re.search(pattern, text, re.MULTILINE | re.DOTALL):
            yield Refusal(f"README.md lacks {what}")


def _repository(root: Path) -> Iterator[Refusal]:
    """What is cloned."""
    if not (root / "LICENSE.txt").is_file():
        yield Refusal("LICENSE.txt is missing in the root")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True, check=False)
    files = [root / name for name in listed.stdout.split("\0") if name]
    size = sum(path.stat().st_size for path in files if path.is_file())
    if size > _LARGEST_CLONE_BYTES:
        yield Refusal(
            f"the files have {size / 1e6:.0f} MB, {_LARGEST_CLONE_BYTES / 1e6:.0f} are allowed: move some out"
        )
    for path in files:
        if path.suffix in (".py", ".md", ".txt", ".cmake", ".json", ".ui") and b"\r\n" in path.read_bytes():
            yield Refusal(f"{path.relative_to(root)} has Windows' line ends: save it with Unix ones")
    yield Refusal("the repository needs the topic 3d-slicer-extension", needs_address=True)


def _module(root: Path) -> Iterator[Refusal]:
    """What the application runs while it starts."""
    for path in sorted((root / "JointRegistration").glob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if why := _wrong_at_file_scope(node):
                yield Refusal(f"{path.name}, line {node.lineno}: {why} at file scope; do it on use")


def _wrong_at_file_scope(node: ast.stmt) -> str:
    for part in ast.walk(node) if isinstance(node, ast.Try | ast.Import | ast.ImportFrom) else ():
        names = [a.name for a in part.names] if isinstance(part, ast.Import) else []
        names += [part.module or ""] if isinstance(part, ast.ImportFrom) else []
        heavy = [name for name in names if name.partition(".")[0] in _HEAVY]
        if heavy:
            return f"{heavy[0]} is imported"
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return ""  # a docstring
    return "" if isinstance(node, _AT_FILE_SCOPE) else "something is done"


def main() -> int:
    """Print the list."""
    found = refusals()
    faults = [refusal for refusal in found if not refusal.needs_address]
    for title, listed in (
        ("The Extensions Index would refuse:", faults),
        ("To do once there is a public repository:", [refusal for refusal in found if refusal.needs_address]),
    ):
        if listed:
            print(title)  # noqa: T201
            for number, refusal in enumerate(listed, start=1):
                print(f"  {number}. {refusal.what}")  # noqa: T201
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
