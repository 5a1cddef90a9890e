"""Pictures of the change of cartilage thickness on the bones' surfaces, drawn by NumPy alone: no OpenGL is needed."""

from __future__ import annotations

from collections.abc import Generator, Sequence

import numpy as np
import numpy.typing as npt

from ..measure.cartilage import CartilageFigures
from ..measure.measurement import Measurement
from ..measure.surfaces import Points, Surface
from ..measure.thickness_model import halfRangeMm
from ..nodes.colors import ENDS_AND_CENTER, mixed
from ..pauses import inSteps
from ..translation import _
from .captions import cssColor, rowOf
from .page import ColorBar, Picture, ReportPictures

Vector = tuple[float, float, float]

#: From where the cartilage of a bone is looked at: words, and the direction to the eye, RAS.
_VIEWS: dict[str, tuple[tuple[str, Vector], ...]] = {
    "femoral": ((_("from below and in front"), (0.0, 0.75, -0.66)), (_("from below and behind"), (0.0, -0.75, -0.66))),
    "tibial": ((_("from above"), (0.0, 0.1, 1.0)),),
    "patellar": ((_("from behind"), (0.0, -1.0, 0.0)),),
}
_OTHERS = ((_("from in front"), (0.0, 1.0, 0.0)),)
_SIDE_PX = 440
_MARGIN = 1.06
_BACKGROUND = (0.13, 0.15, 0.18)
_DARKEST = 0.55  # of a colour, where the surface is seen edge on
_STEEP = 0.95  # a direction to the eye with more of S than this has A up, not S
_SAMPLE_PX = 0.7  # no pixel of a surface stays empty
_KEY = "thickness"


def surfaceSteps(figures: Measurement) -> Generator[None, None, ReportPictures]:
    """Draw the change of thickness of each cartilage that both images have, with pauses."""
    known = [(item, item.change) for item in figures.cartilage if item.change is not None]
    shown = [(item, change, *view) for item, change in known if len(change.surface.points) for view in _viewsOf(item)]
    if not shown:
        return ReportPictures([], {}, {})
    halfMm = halfRangeMm([change for _, change in known])
    sideMm = _MARGIN * max(_extentMm(change.surface, towards) for _, change, _, towards in shown)
    pictures, positions = {}, {}
    for item, change, words, towards in shown:
        name = f"{item.pair.cartilage} {words}"
        drawing = surfacePictureSteps(change.surface, change.changeMm / halfMm, towards, sideMm)
        pictures[name] = yield from drawing
        right = _axes(towards)[0][0] > 0
        positions[name] = _("the patient's right is on the right") if right else _("the patient's right is on the left")
    row = rowOf(_KEY, pictures, remark=_("Each picture is {width} mm wide.").format(width=f"{sideMm:.0f}"))
    colors = [cssColor(color) for color in ENDS_AND_CENTER]
    thinner = _("{change} mm: thinner in the moving image").format(change=f"{-halfMm:+g}")
    bar = ColorBar(colors, thinner, _("{change} mm: thicker").format(change=f"{halfMm:+g}"))
    return ReportPictures([row], {_KEY: bar}, positions)


def surfacePictureSteps(
    surface: Surface, values: Points, towards: Sequence[float], sideMm: float
) -> Generator[None, None, Picture]:
    """A surface seen from one side without perspective, square, in the middle of the picture. With pauses.

    Args:
        surface: RAS mm.
        values: (n,) at its points, -1 to 1 over the blue-white-red scale; what lies beyond is clamped.
        towards: the direction to the eye, RAS.
        sideMm: width of the picture.
    """
    yield
    seen = _seen(surface, towards)
    middle = (seen.min(axis=0) + seen.max(axis=0)) / 2
    pixels = (seen - middle) * _SIDE_PX / sideMm
    facing = np.abs(surface.inward @ _axes(towards)[2])[:, None]
    colors = (_DARKEST + (1 - _DARKEST) * facing) * mixed((values + 1) / 2, ENDS_AND_CENTER)
    corners, canvas = np.hstack([pixels, colors]), _Canvas()

    def draw(part: slice) -> None:
        for samples in _sampled(corners, surface.triangles[part]):
            canvas.add(samples)

    yield from inSteps(len(surface.triangles), draw, first=2000, least=500)
    return canvas.picture()


class _Canvas:
    """A square picture to which parts of a surface are added in any order: in each pixel the nearest stays."""

    def __init__(self) -> None:
        self._colors = np.tile(np.asarray(_BACKGROUND), (_SIDE_PX * _SIDE_PX, 1))
        self._nearest = np.full(_SIDE_PX * _SIDE_PX, -np.inf)

    def add(self, samples: Points) -> None:
        """Draw points (n, 6): pixels to the right, up and to the eye, from the middle, and colours 0 to 1."""
        column, row = (np.floor(_SIDE_PX / 2 + sign * samples[:, axis]).astype(int) for axis, sign in ((0, 1), (1, -1)))
        inside = (column >= 0) & (column < _SIDE_PX) & (row >= 0) & (row < _SIDE_PX)
        pixel, samples = (row * _SIDE_PX + column)[inside], samples[inside]
        order = np.lexsort((samples[:, 2], pixel))
        last = np.append(np.diff(pixel[order]) > 0, True)[: len(order)]  # the nearest of those in one pixel
        chosen = order[last]
        chosen = chosen[samples[chosen, 2] > self._nearest[pixel[chosen]]]
        self._nearest[pixel[chosen]] = samples[chosen, 2]
        self._colors[pixel[chosen]] = samples[chosen, 3:]

    def picture(self) -> Picture:
        """Return what is drawn by now."""
        return np.asarray(255 * self._colors).astype(np.uint8).reshape(_SIDE_PX, _SIDE_PX, 3)


def _viewsOf(item: CartilageFigures) -> Sequence[tuple[str, Vector]]:
    name = item.pair.cartilage.lower()
    return next((views for stem, views in _VIEWS.items() if stem in name), _OTHERS)


def _axes(towards: Sequence[float]) -> Points:
    """(3, 3) unit vectors, RAS: to the right of the picture, up, and to the eye."""
    eye = np.asarray(towards, dtype=float) / np.linalg.norm(towards)
    up = np.array([0.0, 1.0, 0.0]) if abs(eye[2]) > _STEEP else np.array([0.0, 0.0, 1.0])
    right = np.cross(up, eye)
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(eye, right), eye])


def _seen(surface: Surface, towards: Sequence[float]) -> Points:
    """(n, 3) points of a surface along the picture's axes, mm."""
    return np.asarray(surface.points @ _axes(towards).T)


def _extentMm(surface: Surface, towards: Sequence[float]) -> float:
    """The larger of its width and height in a picture."""
    return float(np.ptp(_seen(surface, towards)[:, :2], axis=0).max())


def _sampled(corners: Points, triangles: npt.NDArray[np.int64]) -> Generator[Points, None, None]:
    """What is known at the corners (n, c), of which the first three are pixels, all over the triangles: (m, c)."""
    inTriangles = corners[triangles]
    edges = np.linalg.norm(np.diff(inTriangles[:, [0, 1, 2, 0], :2], axis=1), axis=2).max(axis=1)
    parts = np.maximum(1, np.ceil(edges / _SAMPLE_PX)).astype(int)
    for count in np.unique(parts):
        i, j = (index.ravel() for index in np.indices((count + 1, count + 1)))
        i, j = i[i + j <= count], j[i + j <= count]
        weights = np.stack([i, j, count - i - j], axis=-1) / count
        yield np.einsum("sw,twc->tsc", weights, inTriangles[parts == count]).reshape(-1, corners.shape[1])
