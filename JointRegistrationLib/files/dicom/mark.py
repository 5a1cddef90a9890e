"""Which paths are DICOM's, told without its library, which takes half a second to import."""

from __future__ import annotations

from pathlib import Path

_SUFFIXES = (".dcm", ".ima", ".dicom")
_MARK = b"DICM"
#: Where the file's own elements begin: after 128 bytes of anything, and the mark.
META_OFFSET = 132


def is_dicom(path: Path) -> bool:
    """Return whether a path is a folder, or a file with DICOM's mark or name."""
    return path.is_dir() or (path.is_file() and (path.name.lower().endswith(_SUFFIXES) or has_mark(path)))


def has_mark(path: Path) -> bool:
    """Return whether a file has DICOM's mark; False if it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(META_OFFSET)[-len(_MARK) :] == _MARK
    except OSError:
        return False
