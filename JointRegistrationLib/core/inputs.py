"""What a registration is given besides its configuration: one record, from files or nodes to the method."""

from __future__ import annotations

from dataclasses import dataclass

from .geometry import FloatArray
from .image import Image, LandmarkPairs
from .result import StartingMap


@dataclass(frozen=True)
class RegistrationInputs:
    """Images and what may guide their registration, in world coordinates.

    Args:
        fixed, moving: intensities on any two grids.
        fixed_mask, moving_mask: positive where the image should be compared; resampled where they lie on another grid
            than that image.
        landmarks: corresponding points; see ``config.landmarks`` for what they do.
        initial_affine_ras: 4x4 start, fixed to moving RAS points; landmarks go before it.
        initial: a map of these images to refine further: its affine part is kept, and another deformation is found on
            its fixed side. It goes before the other starts.
    """

    fixed: Image
    moving: Image
    fixed_mask: Image | None = None
    moving_mask: Image | None = None
    landmarks: LandmarkPairs | None = None
    initial_affine_ras: FloatArray | None = None
    initial: StartingMap | None = None
