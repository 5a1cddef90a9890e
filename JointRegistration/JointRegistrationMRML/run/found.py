"""Bones and cartilage that were found in a volume, as a segmentation node in the volume's place.

It is a proposal, which an attribute of the node says: to be looked at, and edited like any other.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import slicer

from JointRegistrationLib.core.errors import GeometryError, InputError
from JointRegistrationLib.core.geometry import Grid
from JointRegistrationLib.core.image import Image
from JointRegistrationLib.core.lattices.segments import SegmentLayers
from JointRegistrationLib.core.progress import CancelCheck, ProgressCallback, finished
from JointRegistrationLib.core.structures import LABELS, Segmentation
from JointRegistrationLib.worker import sample

from ..mrml import Scene, SegmentationNode, VolumeNode
from ..nodes.arrays import FOUND_ROLE, movedBy, numpyView
from ..nodes.segments.segmentations import segmentationSteps
from ..nodes.volumes import checkVolume
from ..nodes.world import ownGrid, worldTransform
from ..scene.transaction import RunRecord, SceneTransaction, placeUnder
from ..translation import _

#: A segmentation that nobody has drawn says so with this attribute: in words, with what is unsure.
PROPOSAL_ATTRIBUTE = "JointRegistration.Proposal"

#: RGB, 0..1, by the segment's name: those of the sample pair, and two for its tibial cartilage's halves.
_COLORS = {
    **dict(sample.LABELS.values()),
    "Medial tibial cartilage": (0.32, 0.56, 0.78),
    "Lateral tibial cartilage": (0.24, 0.70, 0.66),
}
_BONE, _CARTILAGE = "SCT^272673000^Bone", "SCT^309312004^Cartilage"
#: The bones that Slicer's list of anatomic regions has.
_REGIONS = {"femur": "SCT^71341001^Femur", "patella": "SCT^64234005^Patella"}


@dataclass(frozen=True)
class FoundStructures:
    """What a search has added to the scene.

    Args:
        node: the segmentation.
        volume: in which it was found.
        unsure: names of structures that are missing or doubtful, in lower case.
        record: for :func:`.transaction.discard`.
    """

    node: SegmentationNode
    volume: VolumeNode
    unsure: tuple[str, ...]
    record: RunRecord


def findStructures(
    scene: Scene,
    volume: VolumeNode,
    *,
    device: str = "auto",
    progress: ProgressCallback | None = None,
    cancelled: CancelCheck | None = None,
) -> FoundStructures:
    """Find bones and cartilage here and now, which imports PyTorch, and add them to the scene.

    Args:
        scene: holds the volume.
        volume: scalar volume node, a knee.
        device: where to compute.
        progress: called with the stage, the fraction done (0 to 1) and None.
        cancelled: asked often; True ends the work.

    Raises:
        InputError: the volume cannot be used, or nothing was found in it.
        RegistrationCancelled, ResourceError, CheckpointError: the scene is as it was.
    """
    from JointRegistrationLib.segmentation.segment import segment

    found = segment(imageToSegment(volume), device=device, progress=progress, cancelled=cancelled)
    return finished(foundSteps(scene, volume, found))


def imageToSegment(volume: VolumeNode) -> Image:
    """The volume's own voxels, turned as they lie in the world.

    A transform that no grid can follow (shear, or bent) is left out: what is found lies on the same voxels in any case.

    Raises:
        InputError: if it is no volume with one number a voxel.
    """
    name = checkVolume(volume)
    grid, above = ownGrid(volume), worldTransform(volume)
    if above is not None and above.matrix is not None:
        with contextlib.suppress(GeometryError):  # a shear
            grid = Grid.from_ijk_to_ras(grid.size_ijk, above.matrix @ grid.ijk_to_ras)
    return Image(numpyView(volume.GetImageData()), grid, name)


def foundSteps(scene: Scene, volume: VolumeNode, found: Segmentation) -> Generator[None, None, FoundStructures]:
    """Add what was found in ``volume``, all or nothing, with pauses in which a window stays alive.

    Args:
        scene: holds the volume.
        volume: whose voxels were given to the segmenter.
        found: on these voxels.

    Raises:
        InputError: if nothing was found, or the node was removed in a pause.
    """
    names = tuple(name for name in LABELS if found.confidence[name] > 0)
    if not names:
        text = _("{name}: no bones or cartilage were found in it; is it an image of a knee?")
        raise InputError(text.format(name=volume.GetName()))
    titles = {LABELS[name]: (name.capitalize(), _COLORS[name.capitalize()]) for name in names}
    labels = SegmentLayers.of(Image(found.labels.array, ownGrid(volume)), titles)
    built = yield from segmentationSteps(labels, f"{volume.GetName()} segmentation")
    for name, segment in zip(names, labels.segments, strict=True):
        _describe(built.GetSegmentation().GetSegment(segment.segment_id), name)
    with SceneTransaction(scene, batch=False) as transaction:
        node = transaction.put(built, None)
        node.GetDisplayNode().SetVisibility2DFill(False)  # the image is to be seen
        yield from transaction.pause()
        transaction.setReference(node, node.GetReferenceImageGeometryReferenceRole(), volume)
        transaction.setAttribute(node, PROPOSAL_ATTRIBUTE, _proposal(found.unsure))
        transaction.setParentTransform(node, volume.GetParentTransformNode())
        result = movedBy(volume)
        if result is not None:
            transaction.setReference(result, FOUND_ROLE, node)
        _placeBeside(scene, volume, node)
        yield from transaction.pause()
    return FoundStructures(node, volume, found.unsure, RunRecord(transaction))


def _describe(segment: Any, name: str) -> None:
    """Give a segment the codes of Slicer's own lists."""
    kind = _CARTILAGE if "cartilage" in name else _BONE
    entry = (
        f"Segmentation category and type - 3D Slicer General Anatomy list~SCT^85756007^Tissue~{kind}~^^"
        f"~Anatomic codes - DICOM master list~{_REGIONS.get(name, '^^')}~^^"
    )
    segment.SetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), entry)


def _proposal(unsure: tuple[str, ...]) -> str:
    text = "Found by a network; a proposal that nobody has looked at."
    return f"{text} Unsure: {', '.join(unsure)}." if unsure else text


def _placeBeside(scene: Scene, volume: VolumeNode, node: SegmentationNode) -> None:
    """Put the segmentation where the volume is in the subject hierarchy."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    item = hierarchy.GetItemByDataNode(volume)
    known = item != hierarchy.GetInvalidItemID()
    placeUnder(hierarchy, hierarchy.GetItemParent(item) if known else hierarchy.GetSceneItemID(), node)
