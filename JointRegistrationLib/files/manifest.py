"""Which files a run wrote, and how they came into its folder: by one step that counts.

The new files lie in a folder of their own with their manifest, and one rename makes that folder ``PUBLISHING``.
Before this step the earlier results count, whole; after it the new ones. Then each file moves to its name and the
manifest last. Whoever finds ``PUBLISHING`` after a kill completes the moves, which may be done any number of times.
"""

from __future__ import annotations

import hashlib
import json
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.errors import FileError
from ..core.system.held_folders import LOCK_NAME
from ..core.system.locks import try_lock

MANIFEST_NAME = "manifest.json"
PUBLISHING = ".joint-registration.publishing"
_FORMAT = "joint-registration-results-1"
#: More than a manifest ever needs: what is larger is not one.
_MOST_BYTES = 2**20
_CHUNK_BYTES = 2**20
_HASHING_THREADS = 4
#: How long a reader waits for a run that is just putting its results in their place.
_PATIENCE_S = 5.0
_POLL_S = 0.05


@dataclass(frozen=True)
class WrittenFile:
    """A file as it was written: its size and its SHA-256, hexadecimal."""

    num_bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """The files of a finished run, by name."""

    folder: Path
    files: dict[str, WrittenFile]

    def changed(self) -> dict[str, str]:
        """Describe what became of files that are not there, or not of the size that the run gave them."""
        found = {}
        for name, written in self.files.items():
            path = self.folder / name
            if not path.is_file():
                found[name] = "is not there any more"
            elif path.stat().st_size != written.num_bytes:
                found[name] = f"has {path.stat().st_size} bytes where the run wrote {written.num_bytes}"
        return found

    def check(self, *names: str) -> None:
        """Compare size and SHA-256 of files with what the run wrote.

        Raises:
            FileError: if one is missing, was not written by this run, or is not as it was written.
        """
        changed = self.changed()
        for name in names:
            if name not in self.files:
                raise FileError(f"{self.folder}: the run wrote no {name}; give the folder of a run, or register again")
            if name in changed:
                raise FileError(f"{self.folder / name}: {changed[name]}; register again, or get the folder again")
        with ThreadPoolExecutor(_HASHING_THREADS) as pool:
            hashes = dict(zip(names, pool.map(lambda name: _sha256(self.folder / name), names), strict=True))
        for name, sha256 in hashes.items():
            if sha256 != self.files[name].sha256:
                raise FileError(
                    f"{self.folder / name}: is not the file that this run wrote; the folder mixes two runs, or the "
                    "file was changed. Register again, or get the folder again"
                )


def read_manifest(folder: Path) -> Manifest:
    """The manifest of the finished run in ``folder``; a run that was killed while it was put in place is completed.

    Raises:
        FileError: if there is none, so that what lies there may be of a run that did not come to its end.
    """
    _settle(folder)
    values = _values(folder / MANIFEST_NAME)
    if values is None:
        if _is_being_written(folder):
            raise FileError(f"{folder}: a run is writing to it at the moment; wait for its end")
        raise FileError(
            f"{folder}: there is no {MANIFEST_NAME} of a finished run in it, so its files are incomplete, made by an "
            "interrupted run or by hand; register again, or give the folder that a run wrote"
        )
    return Manifest(folder, {name: WrittenFile(**written) for name, written in values["files"].items()})


def publish(staging: Path, target: Path, names: tuple[str, ...]) -> None:
    """Put all files of ``staging``, a folder within ``target``, in their place.

    Files of ``names``, and those that the manifest of an earlier run lists, are removed if they are not among them.

    Raises:
        OSError: if that is impossible. What was put in place by half is completed by :func:`finish_publishing`.
    """
    written = sorted(path.name for path in staging.iterdir())
    with ThreadPoolExecutor(_HASHING_THREADS) as pool:
        hashes = pool.map(lambda name: _sha256(staging / name), written)
    files = {
        name: {"num_bytes": (staging / name).stat().st_size, "sha256": sha256}
        for name, sha256 in zip(written, hashes, strict=True)
    }
    earlier = _values(target / MANIFEST_NAME) or {"files": {}}
    replaced = sorted({*names, *earlier["files"]} - set(written))
    values = {"format": _FORMAT, "files": files, "replaced": replaced}
    (staging / MANIFEST_NAME).write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
    staging.rename(target / PUBLISHING)
    finish_publishing(target)


def finish_publishing(target: Path) -> None:
    """Complete what :func:`publish` began, in this process or in one that was killed; the folder must be locked.

    Raises:
        OSError: if a file cannot be moved or removed.
    """
    source = target / PUBLISHING
    if not source.is_dir() or source.is_symlink():
        return
    values = _values(source / MANIFEST_NAME)
    if values is not None:  # otherwise all was moved, and only the folder is left
        for name in values["files"]:
            with suppress(FileNotFoundError):  # moved before
                (source / name).replace(target / name)
        for name in values["replaced"]:
            (target / name).unlink(missing_ok=True)
        (source / MANIFEST_NAME).replace(target / MANIFEST_NAME)
    with suppress(OSError):
        source.rmdir()


def _settle(folder: Path) -> None:
    """Complete an interrupted publication, or wait for one that is under way."""
    deadline = time.monotonic() + _PATIENCE_S
    try:
        while (folder / PUBLISHING).is_dir():
            lock = try_lock(folder / LOCK_NAME)
            if lock is not None:
                try:
                    finish_publishing(folder)
                finally:
                    lock.release()
                return
            if time.monotonic() > deadline:
                raise FileError(f"{folder}: a run is writing to it at the moment; wait for its end")
            time.sleep(_POLL_S)
    except OSError as error:
        raise FileError(
            f"{folder}: incomplete, made by an interrupted run, and its results cannot be put in their place "
            f"({error.strerror or error}); make the folder writable, close programs that use it, and try again"
        ) from error


def _is_being_written(folder: Path) -> bool:
    with suppress(OSError):
        lock = try_lock(folder / LOCK_NAME, must_exist=True)
        if lock is None:
            return True
        lock.release(remove=False)
    return False


def _values(path: Path) -> dict[str, Any] | None:
    """The manifest in ``path``; None if there is none, or it is not one."""
    try:
        if not path.is_file() or path.stat().st_size > _MOST_BYTES:
            return None
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return values if _is_manifest(values) else None


def _is_manifest(values: Any) -> bool:
    """Whether it is of our format, and names files of its own folder only."""
    if not isinstance(values, dict) or values.get("format") != _FORMAT:
        return False
    files, replaced = values.get("files"), values.get("replaced")
    if not isinstance(files, dict) or not isinstance(replaced, list):
        return False
    plain = all(isinstance(name, str) and _is_plain(name) for name in (*files, *replaced))
    return plain and all(
        isinstance(written, dict)
        and set(written) == {"num_bytes", "sha256"}
        and type(written["num_bytes"]) is int
        and isinstance(written["sha256"], str)
        for written in files.values()
    )


def _is_plain(name: str) -> bool:
    return bool(name) and name not in (".", "..") and not set(name) & set("/\\:\0")


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
