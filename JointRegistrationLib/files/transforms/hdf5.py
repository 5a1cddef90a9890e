"""ITK's transform files (HDF5) with the displacement field in single precision, compressed.

SimpleITK writes double precision only, uncompressed: 24 bytes a voxel. Here it is about 6, several times faster;
what reads the file converts on its own. The layout is ITK's (itkHDF5TransformIO): one group a transform, a composite
being the first group and its parts the next.
"""

from __future__ import annotations

import math
import os
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...core.geometry import FloatArray, Grid
from ..headers.claims import LARGEST_RATIO

BYTES_PER_VOXEL = 12
"""At most about this: a field that does not compress."""

#: Vectors are rounded to at most this many mm, and at most this share of the smallest spacing: off by half of it.
_STEP_MM, _STEP_VOXELS = 2.0**-12, 2.0**-10
_MOST_THREADS = 4
#: Bytes of which a sample this long does not shrink below this share are stored, not compressed.
_SAMPLE, _NOISE = 4096, 0.9
_ZLIB_HEADER = b"\x78\x01"

Slice = Callable[[int], npt.NDArray[np.float32]]


def is_available() -> bool:
    """Return whether h5py, which writes these files, is installed. Slicer's own Python comes without it."""
    return find_spec("h5py") is not None


def write_transform_hdf5(path: Path, field_slice: Slice, grid: Grid, affine_lps: FloatArray | None = None) -> None:
    """Write a displacement field, or an affine transform after it, as ITK reads it.

    Args:
        path: the file to write.
        field_slice: from k, the field's vectors at that slice: (j, i, 3) LPS mm. Called from several threads.
        grid: the field's lattice.
        affine_lps: 4x4 that a point goes through after the field; None for the field alone.
    """
    import h5py  # noqa: PLC0415 takes a tenth of a second, and only writing needs it

    step_mm = rounding_step_mm(grid)
    with h5py.File(path, "w", locking=False) as file:  # some network file systems know no locks
        groups = file.create_group("TransformGroup")
        if affine_lps is not None:
            _begin(groups, "CompositeTransform")
            affine = _begin(groups, "AffineTransform")
            affine["TransformFixedParameters"] = np.zeros(3)
            affine["TransformParameters"] = np.concatenate([affine_lps[:3, :3].ravel(), affine_lps[:3, 3]])
        field = _begin(groups, "DisplacementFieldTransform")
        field["TransformFixedParameters"] = np.array(
            [*grid.size_ijk, *grid.origin_lps, *grid.spacing_mm, *grid.direction_lps], dtype=np.float64
        )
        count = 3 * grid.size_ijk[0] * grid.size_ijk[1]  # of the numbers in a slice, which is a chunk
        values = field.create_dataset(
            "TransformParameters", (count * grid.shape[0],), "<f4", chunks=(count,), shuffle=True, compression="gzip"
        )
        for k, chunk in enumerate(_chunks(field_slice, grid.shape[0], step_mm)):
            values.id.write_direct_chunk((k * count,), chunk)


def rounding_step_mm(grid: Grid) -> float:
    """The vectors of a file on this grid are multiples of this: a power of two, so that their last bits are 0."""
    return float(min(_STEP_MM, 2.0 ** math.floor(math.log2(min(grid.spacing_mm) * _STEP_VOXELS))))


def honest_numbers(name: str) -> int:
    """Count a transform file's numbers, of those whose count fits what it stores; 0 without h5py, or if damaged.

    HDF5 gives numbers that were never written as zeros: a small file can claim any size. Only for a child process.
    """
    if not is_available():
        return 0
    import h5py  # noqa: PLC0415

    found = 0
    try:
        with h5py.File(name, "r", locking=False) as file:
            for group in file["TransformGroup"].values():
                values = group.get("TransformParameters")
                if values is not None and values.nbytes <= LARGEST_RATIO * values.id.get_storage_size():
                    found += int(values.size)
    except (OSError, KeyError, ValueError, TypeError, AttributeError, RuntimeError):
        return 0
    return found


def _begin(groups: Any, kind: str) -> Any:
    """The next transform's group."""
    import h5py  # noqa: PLC0415

    group = groups.create_group(str(len(groups)))
    group.create_dataset("TransformType", data=[f"{kind}_double_3_3"], dtype=h5py.string_dtype("ascii"))
    return group


def _chunks(field_slice: Slice, num_slices: int, step_mm: float) -> Iterator[bytes]:
    """The slices in their order, compressed on several processor cores: zlib does not hold Python's lock."""
    with ThreadPoolExecutor(min(_MOST_THREADS, os.cpu_count() or 1)) as pool:
        yield from pool.map(lambda k: _chunk(field_slice(k), step_mm), range(num_slices))


def _chunk(vectors: npt.NDArray[np.float32], step_mm: float) -> bytes:
    """What HDF5's filters "shuffle" and "deflate" would make of a slice: a zlib stream of all first bytes of the
    numbers, then all second bytes, and so on.
    """
    rounded = np.rint(vectors * np.float32(1 / step_mm))
    rounded *= np.float32(step_mm)
    planes = [plane.tobytes() for plane in rounded.astype("<f4", copy=False).view(np.uint8).reshape(-1, 4).T]
    checksum = 1
    for plane in planes:
        checksum = zlib.adler32(plane, checksum)
    streams = [_deflated(plane, last=plane is planes[-1]) for plane in planes]
    return b"".join([_ZLIB_HEADER, *streams, checksum.to_bytes(4, "big")])


def _deflated(plane: bytes, *, last: bool) -> bytes:
    """A piece of a deflate stream. Run lengths and Huffman codes only: full deflate takes twice as long for files a
    twentieth smaller. What is noise, such as the middle bytes of different numbers, is stored as it is.
    """
    middle = len(plane) // 2
    sample = plane[middle : middle + _SAMPLE]
    level = 0 if len(zlib.compress(sample, 1)) > _NOISE * len(sample) else 1
    compressor = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS, 9, zlib.Z_RLE)
    return compressor.compress(plane) + compressor.flush(zlib.Z_FINISH if last else zlib.Z_FULL_FLUSH)
