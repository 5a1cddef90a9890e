"""What pictures of two images need: the moving one on the fixed lattice."""

from __future__ import annotations

from JointRegistrationLib.core.image import Image
from JointRegistrationLib.ops import maps
from JointRegistrationLib.ops.resampling import to_tensor


def onGridOf(fixed: Image, moving: Image) -> Image:
    """``moving`` sampled at the fixed lattice's positions in RAS, as it lies before registration; 0 outside."""
    values = maps.sample(to_tensor(moving.array, "cpu"), moving.grid, maps.identity(fixed.grid))
    return Image(values[0, 0].numpy(), fixed.grid, moving.name)
