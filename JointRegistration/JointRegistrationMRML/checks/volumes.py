"""What is wrong or suspicious about one volume: from its header and a few voxels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from JointRegistrationLib.core.errors import GeometryError, InputError
from JointRegistrationLib.core.figures.knee_size import (
    COARSE,
    LOST_SPACING,
    NO_KNEE,
    size_text,
    unusual_size,
    voxel_text,
)
from JointRegistrationLib.core.geometry import Grid
from JointRegistrationLib.core.image import MIN_SIZE

from ..mrml import VolumeNode
from ..nodes.arrays import gridOf, numpyView
from ..nodes.volumes import LABEL_MAP, checkVolume
from ..nodes.world import ijkToRasOf
from ..translation import _
from .problems import ERROR, WARNING, Problem, sentence

_SAMPLES_PER_AXIS = 24


def volumeProblems(which: str, node: VolumeNode | None) -> Iterator[Problem]:
    """Problems of the volume that is ``which``, "fixed" or "moving"; it may be None."""
    if node is None:
        yield Problem(ERROR, _("Choose a fixed volume.") if which == "fixed" else _("Choose a moving volume."))
        return
    try:
        name = checkVolume(node)
    except InputError as error:
        yield Problem(ERROR, sentence(error))
        return
    size = node.GetImageData().GetDimensions()
    if min(size) < MIN_SIZE:
        text = (
            _("{name} has a single slice: a 3D volume is needed.")
            if min(size) == 1
            else _("{name} has only {count} slices: a 3D volume is needed.")
        )
        yield Problem(ERROR, text.format(name=name, count=min(size)))
        return
    try:
        grid = gridOf(name, size, ijkToRasOf(node))
    except GeometryError:
        yield Problem(ERROR, _axesText(ijkToRasOf(node)).format(name=name))
        return
    if node.IsA(LABEL_MAP):
        text = _("{name} is a label map: choose the image that it was drawn on.")
        yield Problem(WARNING, text.format(name=name))
    yield from _voxelProblems(name, node.GetImageData())
    yield from _spacingProblems(name, grid)


def _axesText(ijkToRas: npt.NDArray[np.float64]) -> str:
    """What is wrong with axes that no lattice can have, for a person: sheared ones, or none."""
    if np.isfinite(ijkToRas).all() and abs(np.linalg.det(ijkToRas[:3, :3])) > 0:
        return _(
            "The axes of {name} are not at right angles, as in a tilted scan: resample it first, for example with the "
            "module Resample Scalar/Vector/DWI Volume."
        )
    return _("{name} has no valid place in space: its header is damaged; load it again, or export it anew.")


def _voxelProblems(name: str, image: Any) -> Iterator[Problem]:
    few = _fewVoxels(image)
    if few.dtype.kind == "f" and not np.isfinite(few).all():
        text = _("{name} holds values that are no numbers (NaN or infinite): replace them, for example by 0.")
        yield Problem(ERROR, text.format(name=name))
    elif few.min() == few.max():
        low, high = image.GetScalarRange()
        if low == high:
            text = _("{name} has the value {value} everywhere: there is nothing to align.")
            yield Problem(ERROR, text.format(name=name, value=f"{low:g}"))


def _fewVoxels(image: Any) -> npt.NDArray[Any]:
    array = numpyView(image)
    return array[tuple(slice(n // (4 * _SAMPLES_PER_AXIS), None, max(1, n // _SAMPLES_PER_AXIS)) for n in array.shape)]


def _spacingProblems(name: str, grid: Grid) -> Iterator[Problem]:
    texts = {
        LOST_SPACING: _(
            "{name} has voxels of exactly 1 x 1 x 1 mm and measures {size} mm: the spacing was probably lost in a "
            "conversion; correct it in the Volumes module."
        ),
        NO_KNEE: _("{name} measures {size} mm, which is unusual for a knee: check its spacing."),
        COARSE: _("{name} has voxels of {voxel} mm: between such slices little can be aligned."),
    }
    kind = unusual_size(grid)
    if kind is not None:
        yield Problem(WARNING, texts[kind].format(name=name, size=size_text(grid), voxel=voxel_text(grid)))
