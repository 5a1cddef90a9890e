"""The sample pair of knees as nodes: computed once, in a process of its own, and kept in the user's cache.

Example::

    pair = addSamplePair(scene)
    registerVolumes(scene, InputNodes(pair.fixed, pair.moving, movingSegmentation=pair.movingSegmentation))
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from JointRegistrationLib.core.errors import ResourceError
from JointRegistrationLib.core.lattices.segments import SegmentLayers
from JointRegistrationLib.core.progress import finished
from JointRegistrationLib.core.system.children import module_command
from JointRegistrationLib.worker import sample

from ..mrml import Scene, SegmentationNode, VolumeNode
from ..nodes.segments.segmentations import segmentationFromLabels
from ..nodes.volumes import volumeFromImage
from ..pauses import importSteps
from ..translation import _
from .transaction import SceneTransaction

#: Raised when the pair changes, so that an older one in the cache is not taken for it.
_VERSION = 1
_POLL_S = 0.05


@dataclass(frozen=True)
class SamplePair:
    """The nodes of the sample."""

    fixed: VolumeNode
    moving: VolumeNode
    fixedSegmentation: SegmentationNode
    movingSegmentation: SegmentationNode


def sampleFolder() -> Path:
    """Return where the sample is kept: the user's cache folder."""
    if sys.platform == "win32":
        cache = os.environ.get("LOCALAPPDATA") or str(Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        cache = str(Path.home() / "Library" / "Caches")
    else:
        cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(cache) / "JointRegistration" / f"knee-pair-{_VERSION}"


def sampleFileSteps(
    folder: Path | None = None, sizeIjk: tuple[int, int, int] = sample.SIZE_IJK
) -> Generator[None, None, Path]:
    """The folder with the sample's files (``sample.NAMES``), computed first if they are not there.

    That takes about 20 s of a process of its own. Pauses about 20 times a second meanwhile, so that a window stays
    alive; if the generator is closed, the process is ended and nothing is written.

    Args:
        folder: where to; None for :func:`sampleFolder`.
        sizeIjk: voxels of either image.

    Raises:
        ResourceError: if PyTorch is not installed, or the files cannot be made.
    """
    folder = folder or sampleFolder()
    yield from importSteps("SimpleITK", "JointRegistrationLib.files")
    if sample.is_complete(folder):
        return folder
    program, arguments, environment = module_command(
        "JointRegistrationLib.worker.sample", str(folder), *map(str, sizeIjk)
    )
    with tempfile.TemporaryFile() as errors:  # not a pipe: once full, that would stop a process that says much
        process = subprocess.Popen(
            [program, *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
        )
        try:
            while process.poll() is None:
                yield
                time.sleep(_POLL_S)
        finally:
            process.kill()
            process.wait()
        errors.seek(0)
        said = errors.read().decode("utf-8", errors="replace")
    if process.returncode or not sample.is_complete(folder):
        raise ResourceError(_reason(folder, said))
    return folder


def loadSampleSteps(scene: Scene, folder: Path) -> Generator[None, None, SamplePair]:
    """Add the sample in ``folder`` to the scene, all or nothing, with display nodes: segmentations as outlines.

    Pauses after each file and each node, so that a window stays alive.

    Raises:
        FileError: if a file is missing or damaged.
    """
    built = []
    for read, name, title in (
        (_volume, sample.FIXED, "Fixed knee"),
        (_volume, sample.MOVING, "Moving knee"),
        (_segmentation, sample.FIXED_LABELS, "Fixed knee labels"),
        (_segmentation, sample.MOVING_LABELS, "Moving knee labels"),
    ):
        built.append(read(folder / name, title))
        yield
    fixed, moving, *segmentations = built
    with SceneTransaction(scene, batch=False) as transaction:
        for volume in (fixed, moving):
            transaction.put(volume, None)
            volume.CreateDefaultDisplayNodes()
            yield from transaction.pause()
        for segmentation, volume in zip(segmentations, (fixed, moving), strict=True):
            transaction.put(segmentation, None)
            role = segmentation.GetReferenceImageGeometryReferenceRole()
            transaction.setReference(segmentation, role, volume)
            segmentation.GetDisplayNode().SetVisibility2DFill(False)  # the image is to be seen
            yield from transaction.pause()
    return SamplePair(fixed, moving, *segmentations)


def addSamplePair(scene: Scene, folder: Path | None = None) -> SamplePair:
    """All of :func:`samplePairSteps` at once."""
    return finished(samplePairSteps(scene, folder))


def samplePairSteps(scene: Scene, folder: Path | None = None) -> Generator[None, None, SamplePair]:
    """:func:`sampleFileSteps`, then :func:`loadSampleSteps`."""
    files = yield from sampleFileSteps(folder)
    return (yield from loadSampleSteps(scene, files))


def _volume(path: Path, name: str) -> Any:
    from JointRegistrationLib.files import read_image

    return volumeFromImage(read_image(path), name)


def _segmentation(path: Path, name: str) -> Any:
    from JointRegistrationLib.files import read_labels

    return segmentationFromLabels(SegmentLayers.of(read_labels(path), sample.LABELS), name)


def _reason(folder: Path, errors: str) -> str:
    last = errors.strip().splitlines()[-1] if errors.strip() else "the process was ended"
    missing = re.search(r"No module named '(\w+)", errors)
    if missing is not None and missing.group(1) == "torch":
        return _("PyTorch is needed to compute the sample knees; install it in the Joint Registration module first")
    if missing is not None:
        text = _(
            "{package} is needed to compute the sample knees; install it into the Python that runs the registration "
            "(in Slicer's console: slicer.util.pip_install('{package}')), and try again"
        )
        return text.format(package=missing.group(1))
    text = _("{folder}: the sample knees could not be made ({last}); check the free space there")
    return text.format(folder=folder, last=last)
