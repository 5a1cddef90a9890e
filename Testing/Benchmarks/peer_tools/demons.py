"""SimpleITK: affine by mutual information, then Demons with fast symmetric forces. See :mod:`stages`."""

from __future__ import annotations

from pathlib import Path

import SimpleITK as sitk
from stages import Clock, Stage, after, main

SHRINK = (4, 2, 1)
ITERATIONS = (200, 200, 100)
FIELD_SIGMA_VOXELS = 1.2


def affine_start(fixed: sitk.Image, moving: sitk.Image) -> sitk.Transform:
    """Affine transform from matched centres, coarse to fine."""
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(32)
    method.SetMetricSamplingStrategy(method.REGULAR)
    method.SetMetricSamplingPercentage(0.2, seed=1)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(1.0, 1e-4, 200)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel(SHRINK)
    method.SetSmoothingSigmasPerLevel([2, 1, 0])
    method.SetSmoothingSigmasAreSpecifiedInPhysicalUnits(False)
    start = sitk.CenteredTransformInitializer(
        fixed, moving, sitk.AffineTransform(3), sitk.CenteredTransformInitializerFilter.GEOMETRY
    )
    method.SetInitialTransform(start, inPlace=False)
    found = method.Execute(fixed, moving)
    return sitk.AffineTransform(sitk.CompositeTransform(found).GetBackTransform())


def demons(fixed: sitk.Image, moving: sitk.Image) -> sitk.Image:
    """The displacement field on the fixed grid, coarse to fine; intensities must be alike."""
    field = None
    for factor, iterations in zip(SHRINK, ITERATIONS, strict=True):
        method = sitk.FastSymmetricForcesDemonsRegistrationFilter()
        method.SetNumberOfIterations(iterations)
        method.SetStandardDeviations(FIELD_SIGMA_VOXELS)
        small = [
            sitk.Shrink(sitk.SmoothingRecursiveGaussian(i, factor / 2), [factor] * 3) if factor > 1 else i
            for i in (fixed, moving)
        ]
        field = method.Execute(*small) if field is None else method.Execute(*small, sitk.Resample(field, small[0]))
    return field


def register(fixed_path: Path, moving_path: Path, _: Path, __: int) -> list[Stage]:
    """Demons compares intensities, so the moving image's histogram is matched to the fixed one's first."""
    fixed, moving = (sitk.ReadImage(str(path), sitk.sitkFloat32) for path in (fixed_path, moving_path))
    clock = Clock()
    with clock:
        affine = affine_start(fixed, moving)
    first = Stage("demons-affine", affine, affine.GetInverse(), clock.cost())
    with clock:
        aligned = sitk.HistogramMatching(sitk.Resample(moving, fixed, affine), fixed, 256, 15, True)
        field = demons(fixed, aligned)
    return [first, Stage("demons", after(field, affine), None, clock.cost())]


if __name__ == "__main__":
    main("SimpleITK", register)
