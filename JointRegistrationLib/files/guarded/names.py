"""Names of files as libraries in C++ can take them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ...core.errors import FileError


@contextmanager
def native_input(path: Path) -> Iterator[str]:
    """A name for an existing file that libraries in C++ can open: its own, or that of a link for as long as the block.

    Names that are not UTF-8, or have letters that the locale lacks, end the process in some of them.
    """
    with _linked_folder(path) as folder:
        if folder is None:
            yield str(path)
        elif _is_native(path.name):
            yield f"{folder}/{path.name}"
        else:
            link = Path(folder).parent / f"input{_plain_suffix(path)}"
            link.symlink_to(path.absolute())
            yield str(link)


@contextmanager
def native_output(path: Path) -> Iterator[str]:
    """As :func:`native_input` for a file to be written. It appears under its own name when the block ends well."""
    with _linked_folder(path) as folder:
        if folder is None:
            yield str(path)
            return
        plain = f".{os.getpid()}-output{_plain_suffix(path)}"
        try:
            yield f"{folder}/{plain}"
            path.with_name(plain).replace(path)
        finally:
            path.with_name(plain).unlink(missing_ok=True)


@contextmanager
def _linked_folder(path: Path) -> Iterator[str | None]:
    """A link with a plain name to the folder of ``path``; None if ``path`` is plain itself."""
    if _is_native(str(path)):
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="joint-registration-") as own:
        link = Path(own) / "folder"
        try:
            link.symlink_to(path.absolute().parent, target_is_directory=True)
        except OSError as error:
            raise FileError(
                f"{path}: this name has characters that image libraries cannot open here; rename the file or folder"
            ) from error
        yield str(link)


def _is_native(name: str) -> bool:
    """Whether the bytes of a name in UTF-8, as libraries pass it on, are those that the system has it under."""
    try:
        encoded = name.encode("utf-8")
        return os.name == "nt" or encoded == os.fsencode(name)
    except UnicodeEncodeError:
        return False


def _plain_suffix(path: Path) -> str:
    suffixes = path.suffixes[-2:] if path.name.lower().endswith(".nii.gz") else path.suffixes[-1:]
    suffix = "".join(suffixes)
    return suffix if suffix.isascii() else ""
