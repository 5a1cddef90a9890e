"""Transform files as numbers: a child process reads them, and the transforms are made anew here."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from ...core.errors import FileError, InputError
from ...core.geometry import Grid
from ...core.system.reading import malformed
from ..guarded.child import Answer, ask_child
from ..guarded.native import check_field_structure

_SEVERAL = "more than one transform"
_ADVICE = "copy or export the file again"


class Part(NamedTuple):
    """One transform, ITK's name of it, and the lattice of a displacement field."""

    transform: Any
    name: str
    grid: Grid | None


def read_parts(path: Path) -> list[Part]:
    """The transforms of an ITK transform file, in the order in which a point passes through them.

    A file with several transforms that are no composite is refused: it does not say in which order they follow.

    Raises:
        FileError: if it cannot be read.
        InputError: if it is not in 3D, not invertible or not finite, or holds several transforms.
    """
    answer = ask_child("transform", path)
    if _SEVERAL in answer.warnings:
        raise InputError(
            f"{path}: holds several transforms that are no composite, so that their order is not known; write them as "
            "one composite transform (in Slicer: harden or save the transform that contains them), or give one"
        )
    with malformed(path, "a transform", _ADVICE):
        return [_part(path, answer, number) for number in range(len(answer.values["parts"]))]


def field_part(vectors_lps: npt.NDArray[Any], grid: Grid) -> Part:
    """A displacement field, (k, j, i, 3) float64 LPS mm, as a transform."""
    field = sitk.GetImageFromArray(vectors_lps, isVector=True)
    field.SetSpacing(grid.spacing_mm)
    field.SetOrigin(grid.origin_lps)
    field.SetDirection(grid.direction_lps)
    return Part(sitk.DisplacementFieldTransform(field), "DisplacementFieldTransform", grid)


def _part(path: Path, answer: Answer, number: int) -> Part:
    about, values = answer.values["parts"][number], answer.arrays[str(number)]
    name = str(about["name"])
    if about["dimension"] != 3:
        raise InputError(f"{path}: a 3D transform is needed, but it has {about['dimension']} dimensions")
    if not np.isfinite(values).all() or not np.isfinite(about.get("fixed", [])).all():
        raise InputError(f"{path}: its {name} holds numbers that are not finite; {_ADVICE}")
    if name == "DisplacementFieldTransform":
        return field_part(values.astype(np.float64, copy=False), check_field_structure(about, path))
    if about["linear"]:
        return Part(_affine(path, name, np.asarray(about["corners"], dtype=np.float64)), name, None)
    if name == "BSplineTransform":
        made = sitk.BSplineTransform(3, int(about["order"]))
        made.SetFixedParameters(about["fixed"])
        made.SetParameters(values.tolist())
        return Part(made, name, None)
    raise FileError(f"{path}: a {name} cannot be used; give an affine transform, a displacement field or a B-spline")


def _affine(path: Path, name: str, corners: npt.NDArray[np.float64]) -> Any:
    """Any linear transform, from where it takes the origin and the unit vectors."""
    matrix = (corners[1:] - corners[0]).T
    if not np.isfinite(corners).all() or abs(np.linalg.det(matrix)) < 1e-9:
        raise InputError(f"{path}: its {name} has no inverse: {np.round(matrix, 6).tolist()}; give another transform")
    made = sitk.AffineTransform(3)
    made.SetMatrix(matrix.ravel().tolist())
    made.SetTranslation(corners[0].tolist())
    return made
