"""The folders through which images and results pass: fresh ones, and what is left of processes that died."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import sys
import tempfile
from pathlib import Path

from ..errors import ResourceError

_PREFIX = "joint-registration-job-"
_SHARED_MEMORY = Path("/dev/shm")  # Linux; its files never go to a disk


def new_folder(needed_bytes: int, roots: tuple[Path, ...] | None = None) -> Path:
    """A fresh empty folder, where ``needed_bytes`` fit.

    Args:
        needed_bytes: see :attr:`.exchange.Job.exchange_bytes`.
        roots: where to look, the best first; None for shared memory, then the system's temporary folder.

    Raises:
        ResourceError: if there is too little room.
    """
    for root in roots or _roots():
        reserve = 2 if root == _SHARED_MEMORY else 1  # there it is memory, which others need too
        with contextlib.suppress(OSError):
            if shutil.disk_usage(root).free >= reserve * needed_bytes:
                return Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=root))
    place = (roots or _roots())[-1]
    raise ResourceError(
        f"{needed_bytes / 1e6:.0f} MB are needed in {place} to hand the images to the registration process, but "
        "there is no room for them; free some, or set TMPDIR to another folder"
    )


def remove_folder(folder: Path) -> None:
    """Remove a job's folder. What Windows still holds open stays, until :func:`remove_stale_folders`."""
    shutil.rmtree(folder, ignore_errors=True)


def remove_stale_folders(roots: tuple[Path, ...] | None = None) -> list[Path]:
    """Remove the job folders of processes that are no more; returns them."""
    stale = []
    for root in roots or _roots():
        for folder in root.glob(f"{_PREFIX}*"):
            owner = folder.name.removeprefix(_PREFIX).partition("-")[0]
            if owner.isdigit() and not _alive(int(owner)):
                remove_folder(folder)
                stale.append(folder)
    return stale


def _roots() -> tuple[Path, ...]:
    temporary = Path(tempfile.gettempdir())
    return (_SHARED_MEMORY, temporary) if os.access(_SHARED_MEMORY, os.W_OK) else (temporary,)


def _alive(pid: int) -> bool:
    if sys.platform == "win32":  # there os.kill(pid, 0) would send Ctrl-C
        handle = ctypes.windll.kernel32.OpenProcess(0x1000, False, pid)
        if handle:
            ctypes.windll.kernel32.CloseHandle(handle)
        return bool(handle)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # another user's
    return True
