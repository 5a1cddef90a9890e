"""elastix (itk-elastix): affine, then B-splines, with its own default parameter maps. See :mod:`stages`."""

from __future__ import annotations

from pathlib import Path

import itk
import numpy as np
import SimpleITK as sitk
from stages import Clock, Stage, displacement, main


def settings(name: str) -> itk.ParameterObject:
    """elastix's default parameter map of a transform, with a fixed seed and no result image."""
    parameters = itk.ParameterObject.New()
    values = dict(parameters.GetDefaultParameterMap(name))
    values |= {"WriteResultImage": ("false",), "RandomSeed": ("121212",)}
    if name == "affine":
        values |= {"AutomaticTransformInitialization": ("true",)}  # matches the images' centres
    parameters.AddParameterMap(values)
    return parameters


def run(fixed: itk.Image, moving: itk.Image, name: str, start: itk.ParameterObject | None) -> itk.ParameterObject:
    """One stage; returns the transforms up to it."""
    method = itk.ElastixRegistrationMethod.New(fixed, moving)
    method.SetParameterObject(settings(name))
    if start is not None:
        method.SetInitialTransformParameterObject(start)
    method.SetLogToConsole(False)
    method.Update()
    return method.GetTransformParameterObject()


def field(fixed: Path, moving: itk.Image, transforms: itk.ParameterObject) -> sitk.Transform:
    """The displacements that transformix computes, on the fixed grid."""
    values = np.asarray(itk.transformix_deformation_field(moving, transforms))
    image = sitk.GetImageFromArray(values, isVector=True)
    image.CopyInformation(sitk.ReadImage(str(fixed)))
    return displacement(image)


def register(fixed: Path, moving: Path, _: Path, threads: int) -> list[Stage]:
    """elastix gives no inverse."""
    itk.MultiThreaderBase.SetGlobalDefaultNumberOfThreads(threads)
    images = [itk.imread(str(path), itk.F) for path in (fixed, moving)]
    transforms, stages, clock = None, [], Clock()
    for kind, name in (("affine", "elastix-affine"), ("bspline", "elastix")):
        with clock:
            transforms = run(*images, kind, transforms)
        stages.append((name, transforms, clock.cost()))
    return [Stage(name, field(fixed, images[1], t), None, cost) for name, t, cost in stages]


if __name__ == "__main__":
    main("itk-elastix", register)
