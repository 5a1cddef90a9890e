"""Greedy (picsl-greedy): affine, then diffeomorphic, both by local correlation. See :mod:`stages`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk
from picsl_greedy import Greedy3D
from stages import Clock, Stage, after, before, main

LEVELS = "-n 100x50x10"  # at a quarter, half and full resolution
METRIC = "-m NCC 2x2x2"
AFFINE = "-a -dof 12 -ia-image-centers"
DEFORMABLE = "-s 1.732vox 0.7071vox"


def itk_affine(matrix_ras: np.ndarray) -> sitk.Transform:
    """ITK's transform of a 4x4 matrix that acts on RAS points."""
    flip = np.diag([-1.0, -1.0, 1.0, 1.0])
    matrix = flip @ matrix_ras @ flip
    transform = sitk.AffineTransform(3)
    transform.SetMatrix(matrix[:3, :3].ravel().tolist())
    transform.SetTranslation(matrix[:3, 3].tolist())
    return transform


def register(fixed: Path, moving: Path, _: Path, threads: int) -> list[Stage]:
    """Images go in and fields come out in memory."""
    images = {"fixed": sitk.ReadImage(str(fixed)), "moving": sitk.ReadImage(str(moving))}
    common = f"-V 0 -threads {threads} -seed 1 -i fixed moving {METRIC} {LEVELS}"
    tool, clock = Greedy3D(), Clock()
    with clock:
        tool.execute(f"{common} {AFFINE} -o matrix", **images, matrix=None)
    affine = itk_affine(np.asarray(tool["matrix"]))
    first = Stage("greedy-affine", affine, affine.GetInverse(), clock.cost())
    with clock:
        tool.execute(f"{common} {DEFORMABLE} -it matrix -o warp -oinv unwarp", warp=None, unwarp=None)
    second = Stage(
        "greedy",
        after(tool["warp"], affine),
        before(affine.GetInverse(), tool["unwarp"]),
        clock.cost(),
    )
    return [first, second]


if __name__ == "__main__":
    main("picsl-greedy", register)
