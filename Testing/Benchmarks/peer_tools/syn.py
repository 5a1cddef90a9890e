"""ANTs (antspyx): rigid and affine by mutual information, then SyN by cross-correlation. See :mod:`stages`.

The linear stages are those of antspyx's "SyNCC"; SyN has the settings that the paper's authors used: gradient
step 0.2, flow sigma 3, total sigma 0.1, 80, 50 and 20 iterations.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import ants
import SimpleITK as sitk
from stages import Clock, Stage, after, before, main

RIGID = "-t Rigid[1] -c 2100x1200x1200x0 -s 3x2x1x0 -f 4x4x2x1"
AFFINE = "-t Affine[1] -c 1200x1200x100 -s 2x1x0 -f 4x2x1"
SYN = "-t SyN[0.2,3,0.1] -c [80x50x20,1e-7,8] -s 2x1x0 -f 4x2x1"


def call(arguments: str) -> None:
    """antsRegistration in this process."""
    ants.registration(f"-d 3 --float 1 -z 1 -u 0 --random-seed 1 {arguments}".split(), None)


def register(fixed: Path, moving: Path, folder: Path, _: int) -> Iterator[Stage]:
    """The threads are in the environment, where ITK looks for them when it is loaded.

    The affine stage is given away at once: SyN may take longer than it is allowed to.
    """
    pair, clock = f"{fixed},{moving},1", Clock()
    linear = f"-m MI[{pair},32,regular,0.2]"
    with clock:
        call(f"-r [{pair}] {linear} {RIGID} {linear} {AFFINE} -o {folder}/a")
    affine = sitk.AffineTransform(sitk.ReadTransform(str(folder / "a0GenericAffine.mat")))
    yield Stage("syn-affine", affine, affine.GetInverse(), clock.cost())
    with clock:
        call(f"-r {folder}/a0GenericAffine.mat -m CC[{pair},4] {SYN} -o {folder}/b")
    warp, unwarp = (sitk.ReadImage(str(folder / f"b1{name}.nii.gz")) for name in ("Warp", "InverseWarp"))
    yield Stage("syn", after(warp, affine), before(affine.GetInverse(), unwarp), clock.cost())


if __name__ == "__main__":
    main("antspyx", register)
