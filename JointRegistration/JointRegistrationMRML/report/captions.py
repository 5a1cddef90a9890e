"""What the report's pictures show and how to read them."""

from __future__ import annotations

from collections.abc import Sequence

from JointRegistrationLib import __version__

from ..inspection.images import DIFFERENCE_LIMIT_PERCENT
from ..nodes.colors import DIFFERENCE_COLORS, MAGNITUDE_COLORS, Color
from ..translation import _
from .page import ColorBar, Picture, PictureRow, Section

FOOTER = _(
    "Made by Joint Registration {version}. Research software: not a medical device, not for decisions about patients."
).format(version=__version__)

#: Title, text and the keys of the rows of each section.
_SECTIONS = (
    (
        _("The images"),
        _(
            "One slice in each direction, at the same place in all pictures. Letters name the directions: S superior, "
            "A anterior, P posterior, R right, L left. Each image is shown from its 0.1 to its 99.9 percentile."
        ),
        ("fixed", "moving", "warped"),
    ),
    (_("Tissue borders"), "", ("outlines_before", "outlines_after")),
    (_("What is left of the difference"), "", ("difference_before", "difference_after")),
    (_("Checkerboards"), "", ("checkerboard_before", "checkerboard_after")),
    (_("The deformation"), _("What had to be done to the moving knee."), ("grid", "jacobian")),
    (_("Cartilage"), "", ("thickness",)),
)

#: Title and caption of each row; {tissue} and {spacing} are filled in.
_ROWS = {
    "fixed": (_("Fixed"), _("The reference knee. It stays where it is.")),
    "moving": (_("Moving"), _("The other knee where its scanner put it, before any registration.")),
    "warped": (
        _("Warped"),
        _(
            "The moving knee carried onto the fixed one: shapes should be those of the fixed knee, brightness is still "
            "its own."
        ),
    ),
    "outlines_before": (
        _("{tissue} outlines, before"),
        _("On the fixed knee: {tissue} of the fixed knee in yellow, of the moving knee in blue, before registration."),
    ),
    "outlines_after": (
        _("{tissue} outlines, after"),
        _("The same after registration: the blue line should lie on the yellow one."),
    ),
    "difference_before": (
        _("Difference, before"),
        _(
            "Fixed minus moving. Black: equally bright. Orange: the fixed image is brighter; blue: the other one. "
            "Paired coloured bands along an edge mean that the edges do not meet."
        ),
    ),
    "difference_after": (
        _("Difference, after"),
        _(
            "Fixed minus warped, same colours. It should be darker than before; what stays is noise, and tissue that "
            "only one of the two knees has."
        ),
    ),
    "checkerboard_before": (
        _("Checkerboard, before"),
        _("Squares show the fixed and the moving knee in turn: edges break where squares meet."),
    ),
    "checkerboard_after": (
        _("Checkerboard, after"),
        _("Squares show the fixed and the warped knee in turn: edges should run on from square to square."),
    ),
    "grid": (
        _("Warped grid"),
        _(
            "A square {spacing} mm grid drawn on the moving knee, carried along onto the fixed one. Bent lines: tissue "
            "was bent; lines close together: it was compressed. Colour: how far it was moved."
        ),
    ),
    "jacobian": (
        _("Local volume change"),
        _(
            "Red: this part is larger in the moving knee than in the fixed one; blue: smaller; grey or white: the same "
            "size. On the scale +1 means twice, -1 half the volume. Folds, places where the map is impossible, would "
            "be bright yellow."
        ),
    ),
    "thickness": (
        _("Change of thickness along the registration"),
        _(
            "Moving minus fixed thickness, point by point, on the surface of the fixed bone. Red: the cartilage is "
            "thicker in the moving image; blue: thinner; white or grey: the same. Single points are off by a few "
            "tenths of a millimetre; coloured areas count."
        ),
    ),
}


def rowOf(
    key: str, pictures: dict[str, Picture], tissue: str = "", spacingMm: float = 0.0, remark: str = ""
) -> PictureRow:
    """A row of pictures with its title and caption.

    Args:
        key: which one.
        pictures: by orientation, or another name.
        tissue: what is outlined, in lower case.
        spacingMm: of the grid.
        remark: a sentence behind the caption.
    """
    title, caption = _ROWS[key]
    filled = title.format(tissue=tissue.capitalize()), caption.format(tissue=tissue, spacing=f"{spacingMm:g}")
    return PictureRow(key, filled[0], f"{filled[1]} {remark}".strip(), pictures)


def sectionsOf(rows: Sequence[PictureRow]) -> list[Section]:
    """The rows of pictures under their headings; a heading without any is left out."""
    byKey = {row.key: row for row in rows}
    return [
        Section(title, text, [byKey[key] for key in keys if key in byKey])
        for title, text, keys in _SECTIONS
        if any(key in byKey for key in keys)
    ]


def differenceBars() -> dict[str, ColorBar]:
    """The colour scales of the differences."""
    colors = [cssColor(color) for color in DIFFERENCE_COLORS]
    percent = f"{DIFFERENCE_LIMIT_PERCENT:.0f}"
    before = _("moving brighter by {percent} % of the brightness range").format(percent=percent)
    after = _("warped brighter by {percent} % of the brightness range").format(percent=percent)
    return {
        "difference_before": ColorBar(colors, before, _("fixed brighter")),
        "difference_after": ColorBar(colors, after, _("fixed brighter")),
    }


def displacementBar(longestMm: float) -> dict[str, ColorBar]:
    """The colour scale of the grid, up to ``longestMm``."""
    most = _("{length} mm or more").format(length=f"{longestMm:g}")
    return {"grid": ColorBar([cssColor(color) for color in MAGNITUDE_COLORS], "0 mm", most)}


def cssColor(color: Color) -> str:
    """An RGB colour, 0 to 1, as CSS writes it."""
    return "#{:02x}{:02x}{:02x}".format(*(round(255 * channel) for channel in color))


def positionText(orientation: str, millimetres: float) -> str:
    """Return where a slice lies, as Slicer says it: "L17 mm"."""
    positive, negative = {"Sagittal": ("R", "L"), "Coronal": ("A", "P"), "Axial": ("S", "I")}[orientation]
    return f"{'' if round(millimetres) == 0 else positive if millimetres > 0 else negative}{abs(millimetres):.0f} mm"
