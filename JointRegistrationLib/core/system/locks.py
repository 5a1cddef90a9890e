"""One process at a time: an advisory lock on a file, which the system frees when its holder ends, however it ends.

Written by hand although PyTorch brings a package for it: that one's behaviour differs between the versions which
PyTorch accepts, it takes 0.2 s to import, and the panel needs locks before PyTorch is there. Process ids prove
nothing: they are used again, and another container counts its own.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from pathlib import Path

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

#: How a file system says that somebody else holds the lock, and that it has no locks.
_TAKEN = {errno.EAGAIN, errno.EACCES, errno.EWOULDBLOCK, errno.EDEADLK}
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL}
_PLAIN = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


class Lock:
    """A lock that this process holds until :meth:`release`; see :func:`try_lock`.

    ``sure`` is False on a file system without locks: then nobody is kept out.
    """

    def __init__(self, path: Path, descriptor: int, sure: bool) -> None:
        self.path, self.sure = path, sure
        self._descriptor: int | None = descriptor

    def release(self, *, remove: bool = True) -> None:
        """Remove the file, unless told not to, and free the lock; nothing to do a second time."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is None:
            return
        if sys.platform == "win32":  # there an open file cannot be removed
            os.close(descriptor)
        if remove:
            with contextlib.suppress(OSError):
                self.path.unlink()
        if sys.platform != "win32":  # only after that: who waits for this file finds that it has gone
            os.close(descriptor)


def try_lock(path: Path, *, must_exist: bool = False, must_be_new: bool = False) -> Lock | None:
    """Lock the file ``path`` without waiting, or return None if another holds it.

    Args:
        path: made if it does not exist; its content does not matter. A symbolic link is not followed.
        must_exist, must_be_new: raise ``FileNotFoundError`` or ``FileExistsError`` otherwise.

    Raises:
        OSError: if the file cannot be made or opened.
    """
    flags = (0 if must_exist else os.O_CREAT) | (os.O_EXCL if must_be_new else 0) | _PLAIN
    while True:
        descriptor = _open(path, flags)
        try:
            _lock(descriptor)
        except OSError as error:
            if error.errno in _NO_LOCKS:
                return Lock(path, descriptor, sure=False)
            os.close(descriptor)
            if error.errno in _TAKEN:
                return None
            raise
        if _is_at(descriptor, path):
            return Lock(path, descriptor, sure=True)
        os.close(descriptor)  # its holder removed the file while it was being opened here
        if must_be_new:
            return None


def _open(path: Path, flags: int) -> int:
    try:
        return os.open(path, os.O_RDWR | flags, 0o666)
    except PermissionError:  # another user's, left over in a folder that is shared
        if flags & os.O_EXCL:
            raise
        return os.open(path, os.O_RDONLY | flags, 0o666)


def _lock(descriptor: int) -> None:
    if sys.platform == "win32":
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    else:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except OSError:
        return False
