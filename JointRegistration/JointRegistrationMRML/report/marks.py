"""Letters of the directions and a ruler on pictures of slices, written by VTK without OpenGL."""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt
import vtk
from vtk.util.numpy_support import vtk_to_numpy

from .page import Picture
from .slices import Plane

_SHARE = 26  # a letter's height in that of a picture, about
_RULERS_MM = (5, 10, 20, 50, 100)
_DPI = 72  # a point is a pixel


def marked(picture: Picture, plane: Plane) -> Picture:
    """Return a picture of a plane with the letters of its directions at its edges, and a ruler, if there is room."""
    picture = picture.copy()
    height, width = picture.shape[:2]
    points = max(10, max(height, width) // _SHARE)
    if min(height, width) < 6 * points:  # no room
        return picture
    left, right, up = plane.letters
    _write(picture, left, points, points, height // 2)
    _write(picture, right, points, width - points, height // 2)
    _write(picture, up, points, width // 2, points)
    lengthMm = max((length for length in _RULERS_MM if length < width * plane.pixelMm / 3), default=_RULERS_MM[0])
    start, end, bottom = points, points + round(lengthMm / plane.pixelMm), height - points // 2
    picture[bottom - 2 : bottom, start:end] = 255
    for tick in (start, end - 1):
        picture[bottom - points // 2 : bottom, tick] = 255
    _write(picture, f"{lengthMm} mm", points * 3 // 4, (start + end) // 2, bottom - points * 3 // 4)
    return picture


def _write(picture: Picture, text: str, points: int, x: int, y: int) -> None:
    """Write a text around a pixel."""
    letters = _lettering(text, points)
    height, width = letters.shape[:2]
    top, left = y - height // 2, x - width // 2
    part = picture[top : top + height, left : left + width]
    cover = letters[..., 3:] / 255
    part[...] = np.rint(part + cover * (letters[..., :3].astype(float) - part))


@cache
def _lettering(text: str, points: int) -> npt.NDArray[np.uint8]:
    """(h, w, 4) RGBA of a text, white with a shadow."""
    style = vtk.vtkTextProperty()
    style.SetFontFamilyToArial()
    style.SetFontSize(points)
    style.SetColor(1, 1, 1)
    style.BoldOn()
    style.ShadowOn()
    image, size = vtk.vtkImageData(), [0, 0]
    vtk.vtkTextRenderer.GetInstance().RenderString(style, text, image, size, _DPI)
    width, height, _ = image.GetDimensions()
    rgba: npt.NDArray[np.uint8] = vtk_to_numpy(image.GetPointData().GetScalars())
    return rgba.reshape(height, width, 4)[::-1].copy()
