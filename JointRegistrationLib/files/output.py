"""Writing whole or not at all: one file, or all files of a run.

A file is written in a hidden folder beside its place, which only this user can enter, and renamed at the end: a
reader never meets half a file, a failure leaves what was there before, and a link that somebody planted is not
followed. All files of a run are written in such a folder too; :mod:`.manifest` puts them in their place.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

from ..core.errors import FileError, ResourceError
from ..core.system.held_folders import LOCK_NAME, UNFINISHED, remove_left_folders, unfinished_folder
from ..core.system.locks import try_lock
from .manifest import finish_publishing, publish

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
#: How a file system says that it cannot set space aside.
_NOT_SUPPORTED = {errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL}
_HEADER_BYTES = 16384


@contextmanager
def atomic_file(path: Path | str, num_bytes: int = 0) -> Iterator[Path]:
    """A temporary file of the same name that takes the place of ``path`` when the block ends well.

    Args:
        path: the file wanted; its folder must exist.
        num_bytes: about how many bytes will be written, without headers; that much space is checked
            for first, because some of ITK's writers do not notice a full disk.

    Raises:
        FileError: if the folder is missing or cannot be written to.
        ResourceError: if the disk, or the quota, is full.
    """
    wanted = Path(path)
    if wanted.is_dir():
        raise FileError(f"{wanted}: cannot be written, because a folder of that name exists; give a file name")
    if wanted.exists() and not wanted.is_file():
        raise FileError(f"{wanted}: cannot be written, because it is a device or a pipe; give the name of a file")
    try:
        with unfinished_folder(wanted.parent) as folder:
            temporary = folder / wanted.name
            reserve_space(temporary, num_bytes + _HEADER_BYTES)
            yield temporary
            temporary.replace(wanted)
    except OSError as error:
        raise_write_error(error, wanted, num_bytes)
    except RuntimeError as error:  # how SimpleITK reports everything
        if shutil.disk_usage(wanted.parent).free < num_bytes:
            raise ResourceError(f"{wanted}: the disk is full; free some space or write elsewhere") from error
        raise FileError(f"{wanted}: could not be written ({itk_reason(error)})") from error


@contextmanager
def output_folder(
    folder: Path | str, names: tuple[str, ...], *, num_bytes: int = 0, overwrite: bool = False
) -> Iterator[Path]:
    """A staging folder whose files all appear in ``folder``, with a manifest, when the block ends well.

    If it ends with an error, or is interrupted, ``folder`` is as it was before: folders made on the
    way are removed again. Meanwhile no other process can write results into it. What killed processes
    left in it is removed first, or, if their results were whole already, put in its place.

    Args:
        folder: where the files shall be; made if it does not exist.
        names: every file name a run may write. With ``overwrite``, those of an earlier run that the
            new one does not write are removed, so that two runs never mix.
        num_bytes: about how much will be written; checked for before anything is computed.
        overwrite: replace files of these names; otherwise their presence is an error.

    Raises:
        FileError: if the folder cannot be made or written to, holds earlier results, or is being written to.
        ResourceError: if there is not enough space.
    """
    target = Path(folder)
    if target.exists() and not target.is_dir():
        raise FileError(f"{target}: cannot be written to, because it is a file; choose a folder")
    made = _make_folders(target)
    finished = False
    try:
        with sole_writer(target / LOCK_NAME, target):
            finish_publishing(target)
            remove_left_folders(UNFINISHED, target)
            _check_earlier(target, names, overwrite)
            with unfinished_folder(target) as outer:
                staging = outer / "results"
                staging.mkdir()
                reserve_space(staging / "space", num_bytes + _HEADER_BYTES)
                (staging / "space").unlink()
                yield staging
                publish(staging, target, names)
                finished = True
    except OSError as error:
        raise_write_error(error, target, num_bytes)
    finally:
        if not finished:
            _remove_folders(made)


@contextmanager
def sole_writer(lock_file: Path, what: Path) -> Iterator[None]:
    """Let no other process write to ``what`` meanwhile, which ``lock_file`` stands for.

    Raises:
        FileError: if another does, or the lock file cannot be made.
    """
    try:
        lock = try_lock(lock_file)
    except OSError as error:
        raise_write_error(error, what)
    if lock is None:
        raise FileError(f"{what}: another run is writing to it at the moment; wait for its end, or choose another name")
    try:
        yield
    finally:
        lock.release()


def reserve_space(path: Path, num_bytes: int) -> None:
    """Make ``path`` and find out now, rather than half-way, whether ``num_bytes`` fit. It is left empty."""
    with path.open("wb") as file:
        if hasattr(os, "posix_fallocate"):
            try:
                os.posix_fallocate(file.fileno(), 0, num_bytes)
                file.truncate(0)
                return
            except OSError as error:
                if error.errno not in _NOT_SUPPORTED:
                    raise
        if shutil.disk_usage(path.parent).free < num_bytes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def raise_write_error(error: OSError, path: Path, num_bytes: int = 0) -> NoReturn:
    """Raise the :class:`.FileError` or :class:`.ResourceError` that says what ``error`` means for ``path``.

    Args:
        num_bytes: about how much was to be written; 0 if that is not known.
    """
    if error.errno in _FULL:
        needed = f", {-(-num_bytes // 10**6)} MB may be needed" if num_bytes else ""
        raise ResourceError(
            f"{path}: there is not enough space to write it ({error.strerror}{needed}); "
            "free some space or write elsewhere"
        ) from error
    reason = error.strerror or str(error)
    raise FileError(f"{path}: cannot be written ({reason}); choose a folder you can write to") from error


def itk_reason(error: BaseException) -> str:
    """The telling part of an ITK or SimpleITK message, without addresses and source lines."""
    text = str(error).rsplit("ERROR: ", 1)[-1]
    line = next((part.strip() for part in text.splitlines() if part.strip()), "no reason given")
    if "): " in line and "(0x" in line:
        line = line.split("): ", 1)[1]
    return line.rstrip(".:")[:160]


def _make_folders(folder: Path) -> list[Path]:
    """Make ``folder`` and its parents; return those that were not there, innermost first."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        _remove_folders(missing)
        raise_write_error(error, folder)
    return missing


def _remove_folders(folders: list[Path]) -> None:
    for folder in folders:
        with suppress(OSError):  # somebody else put a file there: it is theirs to keep
            folder.rmdir()


def _check_earlier(target: Path, names: tuple[str, ...], overwrite: bool) -> None:
    """Raises FileError for results that must not, or folders that cannot, be replaced."""
    present = [name for name in names if (target / name).exists()]
    if present and not overwrite:
        raise FileError(
            f"{target}: already holds {present[0]} from an earlier run; "
            "choose another folder, or overwrite it (--overwrite)"
        )
    for name in present:
        if (target / name).is_dir():
            raise FileError(f"{target / name}: cannot be written, because it is a folder; move it or choose another")
