"""The folders through which images and results pass: fresh ones, and what is left of processes that died.

The process that makes a folder holds it (see :mod:`.held_folders`), not the worker that reads and writes in it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path

from ..core.errors import ResourceError
from ..core.system.held_folders import make_held_folder, remove_held_folder, remove_left_folders

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
                return make_held_folder(_PREFIX, root)
    place = (roots or _roots())[-1]
    raise ResourceError(
        f"{needed_bytes / 1e6:.0f} MB are needed in {place} to hand the images to the registration process, but "
        "there is no room for them; free some, or set TMPDIR to another folder"
    )


def remove_folder(folder: Path) -> None:
    """Remove a job's folder. What Windows still holds open stays, until :func:`remove_stale_folders`."""
    remove_held_folder(folder)


def remove_stale_folders(roots: tuple[Path, ...] | None = None) -> list[Path]:
    """Remove the job folders of this user's processes that are no more; returns them."""
    return [folder for root in roots or _roots() for folder in remove_left_folders(_PREFIX, root)]


def _roots() -> tuple[Path, ...]:
    temporary = Path(tempfile.gettempdir())
    return (_SHARED_MEMORY, temporary) if os.access(_SHARED_MEMORY, os.W_OK) else (temporary,)
