"""What the demo registers: a sample knee pair of our own making, or two files of the user's."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from JointRegistrationLib.core.image import Image
from JointRegistrationLib.files import read_image
from JointRegistrationLib.phantom import LABEL_NAMES, make_pair, working_grid

CARTILAGES = tuple(value for value, name in LABEL_NAMES.items() if "cartilage" in name)

#: Voxels along i, j, k of the sample knees; all span the same 140 x 140 x 112 mm.
SAMPLE_SIZES = {"tiny": (44, 44, 24), "small": (112, 112, 56), "standard": (192, 192, 80), "full": (384, 384, 160)}


@dataclass(frozen=True)
class DemoInputs:
    """Two images, and what is known about them.

    Args:
        fixed, moving: intensities.
        fixedLabels, movingLabels: label maps on the images' grids; None if there are none.
        labelNames: what the labels are.
        truthMm: known displacement field (k, j, i, 3) on the fixed grid, fixed to moving, RAS mm.
        title: a few words, for the overview.
        description: a sentence or two, for the report.
        source: how to have the same inputs again, for metrics.json: ``sample`` (size, seed) or files.
    """

    fixed: Image
    moving: Image
    title: str
    description: str
    fixedLabels: Image | None = None
    movingLabels: Image | None = None
    labelNames: dict[int, str] = dataclasses.field(default_factory=dict)
    truthMm: npt.NDArray[np.float32] | None = None
    source: dict[str, Any] = dataclasses.field(default_factory=dict)


def samplePair(size: str, seed: int) -> DemoInputs:
    """A procedural knee and the same knee deformed in a known way.

    Args:
        size: one of :data:`SAMPLE_SIZES`.
        seed: of everything random.
    """
    pair = make_pair(seed, working_grid().resized(SAMPLE_SIZES[size]))
    return DemoInputs(
        fixed=_asScanned(pair.fixed.image, "Fixed knee"),
        moving=_asScanned(pair.moving.image, "Moving knee"),
        title="Demo on a computed knee pair",
        description=(
            f"Two images of a computed knee (no patient; seed {seed}): the moving one was shifted, turned, scaled "
            "and bent in a known way, and has noise and shading of its own."
        ),
        fixedLabels=pair.fixed.labels,
        movingLabels=pair.moving.labels,
        labelNames=dict(LABEL_NAMES),
        truthMm=pair.displacement_field_mm,
        source={"sample": {"size": size, "seed": seed}},
    )


def filePair(fixed: Path, moving: Path) -> DemoInputs:
    """Two image files, without labels and without a known truth.

    Raises:
        InputError: if one cannot be used.
    """
    images = (dataclasses.replace(read_image(path), name=path.name.split(".")[0]) for path in (fixed, moving))
    fixedImage, movingImage = images
    title, description = f"{moving.name} warped onto {fixed.name}", f"Fixed: {fixed}. Moving: {moving}."
    source = {"files": {"fixed": str(fixed.absolute()), "moving": str(moving.absolute())}}
    return DemoInputs(fixedImage, movingImage, title=title, description=description, source=source)


def _asScanned(image: Image, name: str) -> Image:
    """Whole numbers, as scanners store them: a quarter of the size in the saved scene."""
    return Image(np.rint(image.array).astype(np.int16), image.grid, name)
