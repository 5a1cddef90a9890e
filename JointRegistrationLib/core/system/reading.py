"""What holds for every input file before its format matters: it is a file, and what is malformed in it becomes an
error that names the place. Imports no PyTorch.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from ..errors import FileError, JointRegistrationError, ResourceError

_LARGEST_TEXT = 64 << 20


@contextmanager
def malformed(path: Path | str, kind: str, advice: str) -> Iterator[None]:
    """Turn whatever a parser raises in the block into a :class:`.FileError` about ``path``.

    Args:
        path: of the file, or the file and the place in it.
        kind: what the file should be, e.g. ``"a DICOM file"``.
        advice: what to do.
    """
    try:
        yield
    except JointRegistrationError:
        raise
    except MemoryError as error:
        raise ResourceError(f"{path}: there is not enough memory to read it; close other programs") from error
    except Exception as error:  # noqa: BLE001 what a parser raises on bytes of strangers has no end
        _raise_malformed(error, path, kind, advice)


def check_input_file(path: Path) -> None:
    """Refuse what is no plain file before anything is read of it: a device or a pipe may never end.

    Raises:
        FileError: if it is missing, a folder, a device, a pipe or a socket.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError as error:
        raise FileError(f"{path}: there is no such file; check the path") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise FileError(f"{path}: cannot be read ({reason}); check the path") from error
    if stat.S_ISDIR(mode):
        raise FileError(f"{path}: is a folder, but a file is needed; give a file in it")
    if not stat.S_ISREG(mode):
        raise FileError(f"{path}: is a device or a pipe, not a file; save its content as a file and give that")


def read_text(path: Path, advice: str) -> str:
    """The content of a text file of ours, UTF-8.

    Raises:
        FileError: if it is no plain file, no text, too large, or cannot be read.
    """
    check_input_file(path)
    if path.stat().st_size > _LARGEST_TEXT:
        raise FileError(f"{path}: has more than {_LARGEST_TEXT >> 20} MiB, which no such file has; {advice}")
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not a text file"
        raise FileError(f"{path}: cannot be read ({reason}); {advice}") from error


def _raise_malformed(error: Exception, path: Path | str, kind: str, advice: str) -> NoReturn:
    reason = " ".join(str(error).split())[:160]
    if isinstance(error, KeyError):
        reason = f"{reason} is missing"
    elif isinstance(error, RecursionError):
        reason = "nested too deeply"
    raise FileError(f"{path}: not {kind} ({reason or type(error).__name__}); {advice}") from error
