"""ConvexAdam (convexAdam): MIND features, coupled convex optimisation, then Adam. See :mod:`stages`.

It counts in voxels and is made for aligned images, so both go onto one lattice of cubes, the moving image under
the affine transform that it was given; all settings are the package's own.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch
from convexAdam.convex_adam_MIND import convex_adam_pt
from stages import START, Clock, Stage, after, main

#: Its two lattices are every sixth and every second voxel: sizes that are no multiple of both would be stretched.
MULTIPLE = 6


def cubes(image: sitk.Image) -> sitk.Image:
    """A lattice over the image's field of view with cubes of its voxels' volume."""
    extent = np.array(image.GetSize()) * image.GetSpacing()
    spacing = float(np.prod(image.GetSpacing())) ** (1 / 3)
    size = np.ceil(extent / spacing / MULTIPLE).astype(int) * MULTIPLE
    direction = np.array(image.GetDirection()).reshape(3, 3)
    center = image.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in image.GetSize()])
    lattice = sitk.Image(size.tolist(), sitk.sitkUInt8)
    lattice.SetSpacing([spacing] * 3)
    lattice.SetDirection(image.GetDirection())
    lattice.SetOrigin((np.array(center) - direction @ ((size - 1) / 2 * spacing)).tolist())
    return lattice


def register(fixed_path: Path, moving_path: Path, folder: Path, threads: int) -> list[Stage]:
    """The affine stage is not its own, so it is no row of it; ConvexAdam gives no inverse."""
    torch.set_num_threads(threads)
    fixed, moving = (sitk.ReadImage(str(path), sitk.sitkFloat32) for path in (fixed_path, moving_path))
    affine, clock = sitk.AffineTransform(sitk.ReadTransform(str(folder / START))), Clock()
    with clock:
        lattice = cubes(fixed)
        images = [
            torch.from_numpy(sitk.GetArrayFromImage(sitk.Resample(image, lattice, transform, sitk.sitkLinear, 0.0)))
            for image, transform in ((fixed, sitk.Transform()), (moving, affine))
        ]
        steps_kji = convex_adam_pt(*images, dtype=torch.float32, device=torch.device("cpu"))
        direction = np.array(lattice.GetDirection()).reshape(3, 3)
        field = sitk.GetImageFromArray(steps_kji[..., ::-1] * lattice.GetSpacing() @ direction.T, isVector=True)
        field.CopyInformation(lattice)
    return [Stage("convexadam", after(field, affine), None, clock.cost())]


if __name__ == "__main__":
    main("convexAdam", register)
