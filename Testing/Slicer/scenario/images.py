"""The pictures of README and docs, from those that the scenario took: ``make slicer-test SLICER=... ARGS=--images``."""

from __future__ import annotations

import json
from pathlib import Path

from PIL import Image

#: Name in docs/images, the step, and what is cut out of its picture: the panel or the views.
IMAGES = (
    ("panel-empty", "open", "panel"),
    ("panel-ready", "sample pair", "panel"),
    ("panel-outputs", "outputs", "panel"),
    ("panel-running", "running", "panel"),
    ("panel-results", "register", "panel"),
    ("panel-inspect", "open jacobian", "panel"),
    ("panel-numbers", "measure", "panel"),
    ("inspect-checkerboard", "open checkerboard", "views"),
    ("inspect-side-by-side", "open sideBySide", "views"),
    ("inspect-difference", "open difference", "views"),
    ("inspect-edges", "open edges", "views"),
    ("inspect-contours", "open contours", "views"),
    ("inspect-agreement", "open agreement", "views"),
    ("inspect-jacobian", "open jacobian", "views"),
    ("inspect-jacobian-inside", "volume change inside the femur", "views"),
    ("inspect-grid", "open grid", "views"),
    ("inspect-arrows", "open arrows", "views"),
    ("inspect-surfaces", "outlines in 3D", "views"),
    ("inspect-contours-live", "outlines live", "views"),
    ("thickness-change", "open thickness", "views"),
)
_VIEWS_WIDTH, _COLORS = 760, 128


def copyImages(output: Path, folder: Path) -> list[Path]:
    """Write the pictures of the part ``main`` below ``output`` to ``folder``, cut out and small."""
    main = output / "main"
    regions = json.loads((main / "regions.json").read_text(encoding="utf-8"))
    written = []
    for name, step, part in IMAGES:
        picture = Image.open(main / regions[step]["picture"]).convert("RGB")
        cut = picture.crop(tuple(regions[step][part]))
        if part == "views":
            cut = cut.resize((_VIEWS_WIDTH, round(cut.height * _VIEWS_WIDTH / cut.width)), Image.Resampling.LANCZOS)
        path = folder / f"{name}.png"
        cut.quantize(_COLORS).save(path, optimize=True)
        written.append(path)
    return written
