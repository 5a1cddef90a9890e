"""Temporary folders that tell whether their maker still lives: it holds a lock on a file in them.

What a process that was killed leaves behind is thereby found and removed by the next one, and what a living one
works in is not, whoever looks.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .locks import Lock, try_lock

LOCK_NAME = ".joint-registration.lock"
#: What files and results are written into, beside their place, until they are whole.
UNFINISHED = ".unfinished-"

_held: dict[Path, Lock] = {}
_swept: set[tuple[Path, str]] = set()


def make_held_folder(prefix: str, root: Path) -> Path:
    """A fresh folder in ``root`` that only this user can enter, held until :func:`remove_held_folder`.

    Raises:
        OSError: if it cannot be made.
    """
    while True:
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=root))
        try:
            lock = try_lock(folder / LOCK_NAME, must_be_new=True)
        except (FileNotFoundError, FileExistsError):
            continue  # another process took it for a leftover
        except OSError:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        if lock is not None:
            _held[folder] = lock
            return folder


def remove_held_folder(folder: Path) -> None:
    """Remove a folder and what is in it, this process's or another's. What Windows holds open stays for a sweep."""
    lock = _held.pop(folder, None)
    emptied = _emptied(folder)
    if lock is not None:
        lock.release(remove=emptied)  # what is left is found by its lock
    if emptied:
        shutil.rmtree(folder, ignore_errors=True)


def remove_left_folders(prefix: str, root: Path) -> list[Path]:
    """Remove the folders of processes that have ended; returns them.

    Only folders of this user are touched, and of those only empty ones and those with a lock file that nobody holds.
    """
    removed = []
    with contextlib.suppress(OSError):
        for entry in list(os.scandir(root)):
            folder = Path(entry.path)
            if entry.name.startswith(prefix) and folder not in _held and _removed(folder):
                removed.append(folder)
    return removed


@contextmanager
def unfinished_folder(root: Path) -> Iterator[Path]:
    """A held folder in ``root`` for what is not whole yet; gone when the block ends. Earlier leftovers go first.

    Raises:
        OSError: if it cannot be made.
    """
    place = (root.absolute(), UNFINISHED)
    if place not in _swept:  # once a process: a folder may hold very many files
        _swept.add(place)
        remove_left_folders(UNFINISHED, root)
    folder = make_held_folder(UNFINISHED, root)
    try:
        yield folder
    finally:
        remove_held_folder(folder)


def _removed(folder: Path) -> bool:
    """Remove ``folder`` if it was left behind."""
    with contextlib.suppress(OSError):
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or (hasattr(os, "getuid") and found.st_uid != os.getuid()):
            return False
        with contextlib.suppress(FileNotFoundError):
            lock = try_lock(folder / LOCK_NAME, must_exist=True)
            if lock is None:
                return False
            emptied = lock.sure and _emptied(folder)
            lock.release(remove=emptied)
            if emptied:
                shutil.rmtree(folder, ignore_errors=True)
            return emptied
        folder.rmdir()  # if it is empty: its maker was killed before it could lock it
        return True
    return False


def _emptied(folder: Path) -> bool:
    """Remove all but the lock file, so that nobody takes the folder for a leftover meanwhile; whether that worked."""
    with contextlib.suppress(OSError):
        for entry in list(os.scandir(folder)):
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path, ignore_errors=True)
            elif entry.name != LOCK_NAME:
                with contextlib.suppress(OSError):
                    Path(entry.path).unlink()
        return {entry.name for entry in os.scandir(folder)} <= {LOCK_NAME}
    return False
