"""DICOM as volumes: which frames belong together, and that they lie as a grid says."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...core.errors import FileError, GeometryError, InputError
from ...core.geometry import FloatArray, Grid
from ...core.image import Image
from .frames import DISTINCTIONS, DicomFile, Frame, read_frames
from .pixels import read_pixels

_TAGS = ("PatientID", "StudyDate", "Laterality", "SeriesDescription")
#: How much steps may differ, how far slices may be off their place, and how close two are at the same, in mm.
_STEP_MM, _PLACE_MM, _SAME_MM = 0.05, 0.1, 0.01
_SAME_AXES, _SAME_SPACING = 2e-3, 1e-4
#: Distinctions of this many kinds from the end on are times, which differ from slice to slice without meaning anything.
_TIMES = 2


@dataclass(frozen=True)
class _Volume:
    name: str
    frames: tuple[Frame, ...]


def read_dicom(path: Path, choice: str = "") -> Image:
    """One volume of a folder of DICOM files, or of one file.

    Args:
        path: folder or file.
        choice: name of the volume, where there are several.

    Raises:
        FileError: if there is no image, or one is damaged.
        InputError: if there are several volumes and none of that name; the names are listed.
        GeometryError: if the place of a slice is not known, or slices are missing, sheared, or twice at one place.
        ResourceError: if there is not enough memory for it.
    """
    files = _files(path)
    volume = _chosen(path, _volumes(path, files), choice)
    frames, grid = _laid_out(path, volume.frames)
    array = read_pixels(path, frames, {file.path: file.stored_type for file in files})
    return Image(array, grid, path.name if not choice else f"{path.name} ({volume.name})")


def series_tags(folder: Path) -> dict[str, str] | None:
    """PatientID, StudyDate, Laterality and SeriesDescription of the DICOM series in ``folder``, "" for a missing one.

    None if there is no DICOM image; of several series, the first one's.
    """
    for file in sorted(folder.iterdir()):
        found = read_frames(file) if file.is_file() else None
        if found is not None:
            side = found.tags["Laterality"] or found.tags["ImageLaterality"]
            return {**{name: found.tags[name] for name in _TAGS}, "Laterality": side}
    return None


# -- which frames belong together -------------------------------------------------------------------------


def _files(path: Path) -> list[DicomFile]:
    paths = [path] if not path.is_dir() else sorted(file for file in path.iterdir() if file.is_file())
    found = [file for file in map(read_frames, paths) if file is not None]
    if not found:
        kind = "series in this folder" if path.is_dir() else "image in this file"
        raise FileError(f"{path}: no DICOM {kind}; give an image file or a folder of DICOM slices")
    return found


def _volumes(path: Path, files: Sequence[DicomFile]) -> list[_Volume]:
    by_series: dict[str, list[DicomFile]] = {}
    for file in files:
        by_series.setdefault(file.tags["SeriesInstanceUID"], []).append(file)
    volumes = []
    for number, members in enumerate(by_series.values(), start=1):
        tags = members[0].tags
        name = tags["SeriesDescription"] or f"series {tags['SeriesNumber'] or number}"
        parts = _split([frame for file in members for frame in file.frames], path)
        for part, frames in parts.items():
            volumes.append(_Volume(f"{name}, {part}" if part and len(by_series) > 1 else part or name, tuple(frames)))
    names = [volume.name for volume in volumes]
    return [
        _Volume(f"{volume.name} ({names[:n].count(volume.name) + 1})", volume.frames)
        if names.count(volume.name) > 1
        else volume
        for n, volume in enumerate(volumes)
    ]


def _chosen(path: Path, volumes: list[_Volume], choice: str) -> _Volume:
    if not choice and len(volumes) == 1:
        return volumes[0]
    named = [volume for volume in volumes if volume.name.lower() == choice.lower()]
    if len(named) == 1:
        return named[0]
    found = "; ".join(f"{volume.name!r}, {_slices(volume.frames)}" for volume in volumes)
    lead = f"there is no {choice!r} among" if choice else "there are"
    raise InputError(
        f'{path}: {lead} {len(volumes)} volumes in it ({found}); give one by its name: "{path}::{volumes[0].name}"'
    )


def _slices(frames: Sequence[Frame]) -> str:
    files = len({frame.file for frame in frames})
    return f"{len(frames)} {'slices' if files == len(frames) else 'frames'}"


def _split(frames: list[Frame], path: Path) -> dict[str, list[Frame]]:
    """Frames that are one volume each, by what tells it from the others; "" for the only one."""
    lattices = _by_lattice(frames)
    if len(lattices) == 1:
        return _split_by_traits(lattices[0], path)
    found: dict[str, list[Frame]] = {}
    for number, lattice in enumerate(lattices, start=1):
        for part, members in _split_by_traits(lattice, path).items():
            words = f"{_plane(lattice[0])}, {lattice[0].size[0]} x {lattice[0].size[1]} pixels"
            name = f"{words}, {part}" if part else words
            found[name if name not in found else f"{name} ({number})"] = members
    return found


def _by_lattice(frames: Iterable[Frame]) -> list[list[Frame]]:
    """Frames of the same size, orientation and spacing."""
    groups: list[list[Frame]] = []
    for frame in frames:
        group = next((group for group in groups if _alike(group[0], frame)), None)
        if group is None:
            groups.append([frame])
        else:
            group.append(frame)
    return groups


def _alike(first: Frame, second: Frame) -> bool:
    def close(a: FloatArray | tuple[float, ...] | None, b: FloatArray | tuple[float, ...] | None, by: float) -> bool:
        return a is b if a is None or b is None else bool(np.allclose(a, b, rtol=0, atol=by))

    return (
        first.size == second.size
        and close(first.axes, second.axes, _SAME_AXES)
        and close(first.spacing, second.spacing, _SAME_SPACING)
    )


def _split_by_traits(frames: list[Frame], path: Path) -> dict[str, list[Frame]]:
    """Frames at different places each: by the one trait that does it, else by all but the times together."""
    if not _is_twice(frames):
        return {"": frames}
    varying = [n for n in range(len(DISTINCTIONS)) if len({frame.traits[n] for frame in frames}) > 1]
    steady = tuple(n for n in varying if n < len(DISTINCTIONS) - _TIMES)
    for chosen in [*((n,) for n in varying), steady]:
        parts: dict[str, list[Frame]] = {}
        for frame in frames:
            parts.setdefault(", ".join(_trait(frame, n) for n in chosen), []).append(frame)
        if len(parts) > 1 and all(len(part) > 1 and not _is_twice(part) for part in parts.values()):
            return parts
    raise GeometryError(
        f"{path}: there are slices twice at the same place, 0 mm apart, for example {_same_place(frames)}, and nothing "
        "tells a second echo, time or contrast from a copy; keep one of each"
    )


def _trait(frame: Frame, n: int) -> str:
    _, _, name, unit = DISTINCTIONS[n]
    return f"{name} {frame.traits[n]}{unit}" if frame.traits[n] else f"no {name}"


def _is_twice(frames: Sequence[Frame]) -> bool:
    """Whether two slices are at the same place; not where a place is not known."""
    depths = _depths(frames)
    return depths is not None and bool((np.diff(np.sort(depths)) < _SAME_MM).any())


def _depths(frames: Sequence[Frame]) -> FloatArray | None:
    """Where the frames lie along the normal of the first, mm; None if one does not say."""
    axes = frames[0].axes
    positions = [frame.position for frame in frames if frame.position is not None]
    if axes is None or len(positions) < len(frames):
        return None
    return np.asarray(np.array(positions) @ np.cross(axes[0], axes[1]), dtype=np.float64)


def _same_place(frames: Sequence[Frame]) -> str:
    depths = _depths(frames)
    assert depths is not None
    order = np.argsort(depths, kind="stable")
    first = int(np.argmax(np.diff(depths[order]) < _SAME_MM))
    return " and ".join(_where(frames[order[n]]) for n in (first, first + 1))


def _where(frame: Frame) -> str:
    return f"frame {frame.number + 1} of {frame.file.name}" if frame.number else frame.file.name


def _plane(frame: Frame) -> str:
    if frame.axes is None:
        return "unknown plane"
    axis = int(np.abs(np.cross(frame.axes[0], frame.axes[1])).argmax())
    return ("sagittal", "coronal", "axial")[axis]


# -- that they lie as a grid says -------------------------------------------------------------------------


def _laid_out(path: Path, frames: Sequence[Frame]) -> tuple[list[Frame], Grid]:
    """The frames in the order of their places, along the normal, and their grid."""
    first = frames[0]
    for frame in frames:
        for value, tag in (
            (frame.position, "ImagePositionPatient"),
            (frame.axes, "ImageOrientationPatient"),
            (frame.spacing, "PixelSpacing"),
        ):
            if value is None:
                raise GeometryError(
                    f"{path}: {_where(frame)} does not say where it lies ({tag} is missing or empty); "
                    "export the series with its geometry"
                )
    if len(frames) < 2:
        raise InputError(f"{path}: at least 2 slices are needed, but there is one; give all slices of the series")
    depths = _depths(frames)
    assert first.axes is not None and first.spacing is not None and depths is not None
    ordered = [frames[n] for n in np.argsort(depths, kind="stable")]
    positions = np.array([frame.position for frame in ordered])
    step = (positions[-1] - positions[0]) / (len(ordered) - 1)
    normal = np.cross(*first.axes)
    _check_steps(path, ordered, np.sort(depths))
    _check_line(path, ordered, positions, step, normal)
    direction = np.column_stack([*first.axes, normal])
    try:
        grid = Grid.from_lps(
            (*first.size, len(ordered)), (*first.spacing, float(step @ normal)), positions[0], direction
        )
    except GeometryError as error:
        raise GeometryError(f"{path}: {error}") from error
    return ordered, grid


def _check_steps(path: Path, frames: Sequence[Frame], depths: FloatArray) -> None:
    steps = np.diff(depths)
    usual = float(np.median(steps))
    worst = int(np.abs(steps - usual).argmax())
    if abs(steps[worst] - usual) > _STEP_MM:
        raise GeometryError(
            f"{path}: the DICOM slices are not evenly placed: {steps[worst]:.3g} mm between {_where(frames[worst])} "
            f"and {_where(frames[worst + 1])}, but {usual:.3g} mm elsewhere; add the missing slices"
        )


def _check_line(
    path: Path, frames: Sequence[Frame], positions: FloatArray, step: FloatArray, normal: FloatArray
) -> None:
    """Every slice where the grid puts it: at right angles above the first."""
    count = np.arange(len(frames))[:, None]
    bent = np.linalg.norm(positions - positions[0] - count * step, axis=1)
    if bent.max() > _PLACE_MM:
        raise GeometryError(
            f"{path}: the DICOM slices do not lie along a line: {_where(frames[int(bent.argmax())])} is "
            f"{bent.max():.3g} mm off; resample the series to a regular grid"
        )
    aside = float(np.linalg.norm(step - (step @ normal) * normal))
    if aside * (len(frames) - 1) > _PLACE_MM:
        raise GeometryError(
            f"{path}: the DICOM slices are sheared: each lies {aside:.3g} mm aside of the one before, as with a tilted "
            f"gantry, {aside * (len(frames) - 1):.3g} mm in all; resample the series to a grid of perpendicular axes"
        )
