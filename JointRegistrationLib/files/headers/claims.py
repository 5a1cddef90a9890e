"""What a header claims against what the file and the memory can hold, before a parser believes it."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from ...core.errors import FileError, InputError, ResourceError
from ...core.system.memory import available_bytes

_CHUNK = 1 << 22
#: No deflate stream is longer than this many times its size.
LARGEST_RATIO = 1032
#: Beyond this many bytes, nothing that is an image compresses to less than this share.
_SUSPICIOUS_BYTES, _SUSPICIOUS_RATIO = 1 << 29, 100
#: What follows the voxels may be padding, or not.
_MOST_TRAILING = 1 << 20
#: The share of the free memory that reading one file may take.
_SHARE = 0.5


@dataclass(frozen=True)
class Vetted:
    """A file whose header was read and found sound, so that ITK may read it in this process.

    Args:
        image_io: ITK's name of the reader that it was checked for.
        remarks: sentences about its place in space that the user should know.
        value_step: how far apart the values are that it can hold; 0 if it holds what was written.
    """

    image_io: str
    remarks: tuple[str, ...] = ()
    value_step: float = 0.0


class _Readable(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...


def check_claim(path: Path, needed: int, stored: int, *, compressed: bool = False, in_memory: int = 0) -> None:
    """Refuse a header whose voxels are not in the file, or that asks for more memory than there is.

    Args:
        path: the file, for messages.
        needed: bytes of the voxels by the header, uncompressed.
        stored: bytes that the file has for them.
        compressed: whether those are compressed.
        in_memory: bytes of the voxels once read; ``needed`` if 0.

    Raises:
        FileError: if the file cannot hold so much.
        ResourceError: if the memory cannot.
    """
    if needed > stored * (LARGEST_RATIO if compressed else 1) or (
        compressed and needed > _SUSPICIOUS_BYTES and needed > stored * _SUSPICIOUS_RATIO
    ):
        raise FileError(
            f"{path}: truncated or damaged: its header asks for {needed} bytes of voxels, but the file has {stored}"
            f"{', compressed' if compressed else ''}; copy or export the file again"
        )
    check_memory(path, max(needed, in_memory))


def check_memory(path: Path, needed: int) -> None:
    """Refuse what would take more than half of the free memory.

    Raises:
        ResourceError: with both numbers.
    """
    free = available_bytes()
    if free is not None and needed > _SHARE * free:
        raise ResourceError(
            f"{path}: to read it takes {needed / 1e9:.1f} GB of memory, but {free / 1e9:.1f} GB are free; "
            "close other programs, or crop the image"
        )


def read_exactly(file: _Readable, needed: int, path: Path, look: Callable[[bytes], None] | None = None) -> None:
    """Read the ``needed`` bytes of voxels, and what little may follow, chunk by chunk.

    Args:
        file: at the first voxel; of a compressed file, its decompressed stream.
        needed: bytes.
        path: for messages.
        look: called with each chunk of the voxels.

    Raises:
        FileError: if there are fewer, or many more.
    """
    left = needed
    while left > 0:
        chunk = file.read(min(_CHUNK, left))
        if not chunk:
            raise FileError(
                f"{path}: truncated: {needed} bytes are needed for its voxels, but there are {needed - left}; "
                "copy or export the file again"
            )
        if look is not None:
            look(chunk)
        left -= len(chunk)
    trailing = 0
    while chunk := file.read(_CHUNK):  # to the end, where gzip has its checksum
        trailing += len(chunk)
        if trailing > _MOST_TRAILING:
            raise InputError(f"{path}: holds more data than its header says; the header is damaged: export it again")


class Inflated:
    """The decompressed bytes of a zlib stream in a file, never more at once than asked for."""

    def __init__(self, file: BinaryIO) -> None:
        self._chunks = _inflated(file)
        self._rest = b""

    def read(self, size: int = -1, /) -> bytes:
        """At most ``size`` bytes; none at the end."""
        if not self._rest:
            self._rest = next(self._chunks, b"")
        part, self._rest = self._rest[:size], self._rest[size:]
        return part


def _inflated(file: BinaryIO) -> Iterator[bytes]:
    stream = zlib.decompressobj()
    while not stream.eof:
        chunk = stream.unconsumed_tail or file.read(_CHUNK)
        if not chunk:
            raise EOFError("the compressed data end too early")
        part = stream.decompress(chunk, _CHUNK)
        if part:
            yield part
