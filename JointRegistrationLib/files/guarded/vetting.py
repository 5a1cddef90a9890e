"""Which files ITK may read in this process: those whose headers were checked. The others are read in a child."""

from __future__ import annotations

from pathlib import Path

from ...core.errors import FileError
from ...core.system.reading import check_input_file
from ..headers.claims import Vetted
from ..headers.metaimage import check_meta
from ..headers.nifti import check_nifti
from ..headers.nrrd import check_nrrd

_CHECKS = {
    (".nii", ".nii.gz"): check_nifti,
    (".nrrd", ".nhdr"): check_nrrd,
    (".mha", ".mhd"): check_meta,
}


def vet(path: Path) -> Vetted | None:
    """Return what is known of an image file; None for what only a child process should read.

    Raises:
        FileError: if it is missing, no file, or damaged; GeometryError: for a frame that ITK would silently mend.
        ResourceError: if there is not enough memory for it.
    """
    check_input_file(path)
    name = path.name.lower()
    try:
        for suffixes, check in _CHECKS.items():
            if name.endswith(suffixes):
                return check(path)
    except OSError as error:
        raise FileError(f"{path}: cannot be read ({error.strerror or error}); check the file") from error
    return None
