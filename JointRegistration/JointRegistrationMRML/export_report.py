"""A run's figures and pictures as one HTML file, made of NumPy and VTK alone, as desktop Slicer has them.

``joint-registration report`` makes a richer one, with Slicer's slice views drawn off-screen, where the view layer's
packages are installed.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import vtk
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

from JointRegistrationLib.errors import FileError
from JointRegistrationLib.geometry import Grid, reorient_array
from JointRegistrationLib.image import Image
from JointRegistrationLib.result import RegistrationResult, log2_jacobian

from .figures import tableRows
from .volumes import imageFromVolume

if TYPE_CHECKING:
    from .publish import RegistrationOutputs

Picture = npt.NDArray[np.uint8]

#: log2 J of the full colours: twice and half the volume.
_LIMIT = 1.0
_PIXEL_MM = 0.5
_STYLE = (
    "body{max-width:1100px;margin:2em auto;padding:0 1em;font:16px/1.5 sans-serif;color:#1b2530}"
    "h2{border-top:1px solid #d5dce3;padding-top:.8em}td,th{padding:.2em 1.2em .2em 0;text-align:left;"
    "border-bottom:1px solid #d5dce3;vertical-align:top}.row{display:flex;gap:6px}"
    ".row img{height:300px;background:#000}"
    ".bar{display:inline-block;width:220px;height:12px;background:linear-gradient(to right,#2166ff,#fff,#ff3b30)}"
)


def exportReport(scene: Any, outputs: RegistrationOutputs, path: Path) -> None:
    """Write the report of a run.

    Args:
        scene: the run's; the fixed volume is read from it.
        outputs: the run.
        path: the HTML file; an old one is replaced.

    Raises:
        InputError: if the fixed volume holds no image any more.
        FileError: if the file cannot be written.
    """
    fixed = imageFromVolume(outputs.inputs.fixed, outputs.nodes.transform)
    text = _page(outputs, _sections(fixed, outputs.result))
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise FileError(f"{path}: the report cannot be written: {error.strerror}; choose another place") from error


def _sections(fixed: Image, result: RegistrationResult) -> list[tuple[str, str, list[Picture]]]:
    """Title, how to read it, and a sagittal, a coronal and an axial picture."""
    grey = [_grey(values) for values in (fixed.array, result.warped)]
    log2 = np.clip(log2_jacobian(result.jacobian_determinant) / _LIMIT, -1, 1)
    folds = result.jacobian_determinant <= 0
    shown = [
        ("Fixed", "The reference knee.", _rgb(grey[0])),
        ("Warped", "The moving knee carried onto it: shapes should be those of the fixed one.", _rgb(grey[1])),
        ("Difference", "Red: the fixed image is brighter; blue: the warped one is.", _signed(grey[0] - grey[1])),
        (
            "Local volume change",
            "Red: larger in the moving image, up to twice the volume; blue: smaller, down to half; white: the same. "
            "Folds, where the map is impossible, would be bright yellow.",
            np.where(folds[..., None], np.array([255, 255, 0], np.uint8), _signed(log2)),
        ),
    ]
    return [(title, text, _slices(rgb, fixed.grid)) for title, text, rgb in shown]


def _grey(values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """0..1 from the 0.1 to the 99.9 percentile."""
    low, high = np.percentile(values[::2, ::2, ::2], (0.1, 99.9))
    scaled: npt.NDArray[np.float32] = np.clip((values - low) / max(high - low, 1e-6), 0, 1).astype(np.float32)
    return scaled


def _rgb(grey: npt.NDArray[np.float32]) -> Picture:
    return np.repeat((255 * grey)[..., None].astype(np.uint8), 3, axis=-1)


def _signed(values: npt.NDArray[np.float32]) -> Picture:
    """-1 blue, 0 white, 1 red."""
    fade = np.clip(1 - np.abs(values), 0, 1)
    channels = [np.where(values < 0, fade, 1), fade, np.where(values > 0, fade, 1)]
    return (255 * np.stack(channels, axis=-1)).astype(np.uint8)


def _slices(rgb: Picture, grid: Grid) -> list[Picture]:
    """The middle slices: sagittal with anterior left, coronal and axial with the patient's right left."""
    axes, flips = _towardsRas(grid)
    channels = [reorient_array(rgb[..., channel], axes, flips) for channel in range(3)]
    turned = np.stack(channels, axis=-1)  # (s, a, r, colour), each index growing with R, A, S
    r, a, s = (grid.spacing_mm[axis] for axis in axes)
    k, j, i = (n // 2 for n in turned.shape[:3])
    return [
        _square(turned[::-1, ::-1, i], (s, a)),
        _square(turned[::-1, j, ::-1], (s, r)),
        _square(turned[k, ::-1, ::-1], (a, r)),
    ]


def _towardsRas(grid: Grid) -> tuple[list[int], list[bool]]:
    """Which lattice axis lies nearest to R, A and S, and whether it runs the other way."""
    direction = np.asarray(grid.direction_ras)
    axes: list[int] = []
    for row in range(3):
        free = [axis for axis in range(3) if axis not in axes]
        axes.append(max(free, key=lambda axis: abs(direction[row, axis])))
    return axes, [bool(direction[row, axis] < 0) for row, axis in enumerate(axes)]


def _square(picture: Picture, spacing: tuple[float, float]) -> Picture:
    """Nearest neighbours on square pixels."""
    rows, columns = (
        np.minimum((np.arange(max(1, round(n * mm / _PIXEL_MM))) * _PIXEL_MM / mm).astype(int), n - 1)
        for n, mm in zip(picture.shape[:2], spacing, strict=True)
    )
    return np.ascontiguousarray(picture[rows][:, columns])


def pngBase64(picture: Picture) -> str:
    """An (h, w, 3) picture as base64 PNG."""
    image = vtk.vtkImageData()
    image.SetDimensions(picture.shape[1], picture.shape[0], 1)
    values = numpy_to_vtk(np.ascontiguousarray(picture[::-1]).reshape(-1, 3), deep=True)  # VTK counts rows from below
    image.GetPointData().SetScalars(values)
    writer = vtk.vtkPNGWriter()
    writer.SetWriteToMemory(True)
    writer.SetInputData(image)
    writer.Write()
    return base64.b64encode(vtk_to_numpy(writer.GetResult()).tobytes()).decode("ascii")


def _page(outputs: RegistrationOutputs, sections: Sequence[tuple[str, str, list[Picture]]]) -> str:
    result, inputs = outputs.result, outputs.inputs
    title = html.escape(f"{inputs.moving.GetName()} registered to {inputs.fixed.GetName()}")
    parts = [f'<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>']
    parts.append(f"<h1>{title}</h1>")
    parts += [f"<p><b>{html.escape(note)}</b></p>" for note in result.notes]
    parts.append("<h2>Figures</h2>" + _table(("Figure", "Value", "Meaning"), tableRows(result, outputs.overlaps)))
    errors = result.landmark_errors_mm
    if errors is not None:
        names = errors.names or tuple(str(index + 1) for index in range(len(errors.before_mm)))
        rows = [(n, f"{b:.2f}", f"{a:.2f}") for n, b, a in zip(names, errors.before_mm, errors.after_mm, strict=True)]
        parts.append("<h2>Landmark pairs</h2>" + _table(("Pair", "Before, mm", "After, mm"), rows))
    for name, text, pictures in sections:
        images = "".join(f'<img alt="{name}" src="data:image/png;base64,{pngBase64(p)}">' for p in pictures)
        bar = '<p>half <span class="bar"></span> twice</p>' if name == "Local volume change" else ""
        parts.append(f'<h2>{name}</h2><p>{text}</p>{bar}<div class="row">{images}</div>')
    parts.append("<p>Research software: not a medical device, not for decisions about patients.</p></html>")
    return "\n".join(parts)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    top = "".join(f"<th>{html.escape(name)}</th>" for name in head)
    lines = ("<tr>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{top}</tr>{''.join(lines)}</table>"
