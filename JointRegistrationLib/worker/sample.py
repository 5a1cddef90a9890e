"""The sample pair: a procedural knee and the same knee deformed, as four files. Nothing is downloaded.

``python -m JointRegistrationLib.worker.sample FOLDER`` writes them, in a process of its own where the caller
must not wait for PyTorch; ``joint-registration make-sample`` is the same for a terminal. What a caller
needs to read them is here without PyTorch.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from ..core.errors import FileError

#: The files of a sample folder.
FIXED, MOVING = "fixed.nrrd", "moving.nrrd"
FIXED_LABELS, MOVING_LABELS = "fixed_labels.nrrd", "moving_labels.nrrd"
NAMES = (FIXED, MOVING, FIXED_LABELS, MOVING_LABELS)

#: Voxels along i, j, k: a field of view of 140 x 140 x 112 mm at 0.7 x 0.7 x 1.4 mm.
SIZE_IJK = (192, 192, 80)
#: One that has neither the smallest nor the largest deformation.
SEED = 7

#: Names and colours (RGB, 0..1) of the label values.
LABELS = {
    1: ("Femur", (0.95, 0.84, 0.57)),
    2: ("Femoral cartilage", (0.44, 0.72, 0.82)),
    3: ("Tibia", (0.84, 0.72, 0.49)),
    4: ("Tibial cartilage", (0.32, 0.56, 0.78)),
    5: ("Patella", (0.76, 0.61, 0.40)),
    6: ("Patellar cartilage", (0.55, 0.80, 0.65)),
}


def is_complete(folder: Path) -> bool:
    """Return whether all files of the sample are in ``folder``, as one run wrote them."""
    from ..files.manifest import read_manifest  # noqa: PLC0415 brings SimpleITK

    try:
        manifest = read_manifest(folder)
    except FileError:
        return False
    return set(NAMES) <= set(manifest.files) and not manifest.changed()


def write_sample(folder: Path, size_ijk: tuple[int, int, int] = SIZE_IJK, seed: int = SEED) -> None:
    """Compute the pair and write its images (16-bit) and label maps into ``folder``, all or none.

    Args:
        folder: made if it does not exist; earlier sample files are replaced.
        size_ijk: voxels of either image along i, j, k.
        seed: of everything random.

    Raises:
        FileError, ResourceError: if the folder cannot be written to.
        GeometryError: for a size below 2.
    """
    import numpy as np  # noqa: PLC0415 what only the child process needs

    from ..core.image import Image  # noqa: PLC0415
    from ..files import output_folder, write_image, write_labels  # noqa: PLC0415

    with output_folder(folder, NAMES, overwrite=True) as staging:  # a folder that cannot be used is told at once
        from ..phantom import make_pair, working_grid  # noqa: PLC0415

        pair = make_pair(seed, working_grid().resized(size_ijk))
        for knee, name, labels in ((pair.fixed, FIXED, FIXED_LABELS), (pair.moving, MOVING, MOVING_LABELS)):
            values = np.rint(knee.image.array).astype(np.int16)  # as a scanner stores them
            write_image(Image(values, knee.image.grid, name), staging / name)
            write_labels(knee.labels, staging / labels)


def main(arguments: list[str]) -> None:
    """FOLDER and, if given, the size: I J K."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that wait must sleep; read when PyTorch is loaded
    sizes = [int(argument) for argument in arguments[1:4]]
    write_sample(Path(arguments[0]), (sizes[0], sizes[1], sizes[2]) if sizes else SIZE_IJK)


if __name__ == "__main__":
    main(sys.argv[1:])
