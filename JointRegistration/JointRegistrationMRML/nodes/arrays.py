"""Small conversions that every module here needs: matrices, VTK images, nodes outside the scene."""

from __future__ import annotations

import mmap
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import slicer
import vtk
from vtk.util import numpy_support

from JointRegistrationLib.core.errors import GeometryError
from JointRegistrationLib.core.geometry import Grid

from ..mrml import DisplayableNode, Node, Scene
from ..pauses import inParallel, slabs

#: A node that a run made or wrote to says with this attribute which of the run's results it is.
RESULT_ATTRIBUTE = "JointRegistration.Result"
#: Under these roles a run's transform refers to what else went into it, so that it can be inspected later.
INPUT_ROLES = {
    name: f"jointRegistration.{name}"
    for name in ("fixedSegmentation", "movingSegmentation", "fixedLandmarks", "movingLandmarks")
}
#: Under this one a run's transform refers to what was found in a volume while it stood under it.
FOUND_ROLE = "jointRegistration.foundSegmentation"
_MOVED_ROLES = (
    FOUND_ROLE,
    slicer.vtkMRMLTransformNode.GetMovingNodeReferenceRole(),
    INPUT_ROLES["movingSegmentation"],
    INPUT_ROLES["movingLandmarks"],
)


def newNode(className: str, name: str) -> Any:
    """A new node that is in no scene. The class is looked up now: modules may load after this file."""
    node = getattr(slicer, className)()
    node.SetName(name)
    return node


def freeName(scene: Scene, name: str) -> str:
    """``name``, numbered if a node has it. (The scene's own unique names count on after nodes were removed.)"""
    free, number = name, 0
    while scene.GetFirstNodeByName(free) is not None:
        number += 1
        free = f"{name}_{number}"
    return free


def giveDisplay(scene: Scene, node: DisplayableNode, className: str = "vtkMRMLSegmentationDisplayNode") -> Any:
    """A new display node in ``scene`` for a node that is about to be added to it.

    The application asks a segmentation for its display node as soon as it is in the scene, and reports an error for
    each of its segments if there is none.
    """
    display = scene.AddNewNodeByClass(className)
    node.SetAndObserveDisplayNodeID(display.GetID())
    return display


def vtkMatrix(matrix: npt.ArrayLike) -> Any:
    """A 4x4 array as ``vtkMatrix4x4``."""
    result = vtk.vtkMatrix4x4()
    result.DeepCopy(np.asarray(matrix, dtype=float).ravel().tolist())
    return result


def numpyMatrix(matrix: Any) -> npt.NDArray[np.float64]:
    """A ``vtkMatrix4x4`` as 4x4 array."""
    return np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])


def gridOf(name: str, sizeIjk: tuple[int, int, int], ijkToRas: npt.ArrayLike) -> Grid:
    """:meth:`.Grid.from_ijk_to_ras`, with ``name`` in front of its error."""
    try:
        return Grid.from_ijk_to_ras(sizeIjk, ijkToRas)
    except GeometryError as error:
        raise GeometryError(f"{name}: {error}") from error


def vtkImage(array: npt.NDArray[Any], image: Any = None, *, share: bool = False) -> Any:
    """An array (k, j, i) or (k, j, i, components) as VTK image.

    Args:
        array: values; VTK's fastest axis is the array's i.
        image: the ``vtkImageData`` (or kind) to fill; None for a new one. Its spacing and origin are
            left alone.
        share: whether the image may hold the array's own memory, where that is possible, rather than a copy: what
            is then written to one is seen in the other.
    """
    image = vtk.vtkImageData() if image is None else image
    components = array.shape[3] if array.ndim == 4 else 1
    image.SetDimensions(array.shape[2], array.shape[1], array.shape[0])
    if share and canBeShared(array):
        image.GetPointData().SetScalars(_sharedArray(array, components))
        return image
    image.AllocateScalars(numpy_support.get_vtk_array_type(array.dtype), components)
    voxels = numpyView(image)
    inParallel(lambda part: np.copyto(voxels[part], array[part]), slabs(len(array), array.nbytes))
    return image


def canBeShared(array: npt.NDArray[Any]) -> bool:
    """Return whether VTK can use the array's memory.

    VTK may write to what it holds, so a read-only array is out of the question. Windows does not let go of a
    mapped file while it is in use: a run's folder would stay on the disk as long as its nodes.
    """
    usable = bool(array.flags.c_contiguous and array.flags.writeable and array.flags.aligned)
    return usable and not (sys.platform == "win32" and _isMapped(array))


def _isMapped(array: Any) -> bool:
    while isinstance(array, np.ndarray):
        array = array.base
    return isinstance(array, mmap.mmap)


def _sharedArray(array: npt.NDArray[Any], components: int) -> Any:
    """A VTK array on the memory of ``array``, which lives as long as the VTK array does."""
    flat = array.reshape(-1)
    shared = numpy_support.create_vtk_array(numpy_support.get_vtk_array_type(array.dtype))
    shared.SetNumberOfComponents(components)
    shared.SetVoidArray(flat, flat.size, 1)  # 1: VTK does not free it
    # An observer, never called, goes exactly with what it observes; an attribute of the Python object may stay longer.
    shared.AddObserver(vtk.vtkCommand.UserEvent, lambda caller, event, keep=flat: None)
    return shared


def numpyView(image: Any) -> npt.NDArray[Any]:
    """The point scalars of a VTK image, (k, j, i) or (k, j, i, components), without a copy."""
    i, j, k = image.GetDimensions()
    values: npt.NDArray[Any] = numpy_support.vtk_to_numpy(image.GetPointData().GetScalars())
    return values.reshape((k, j, i) if values.ndim == 1 else (k, j, i, values.shape[1]))


def movedBy(node: DisplayableNode) -> Any:
    """The transform of an earlier run under which ``node``, which that run moved, is shown; None if there is none."""
    return next((above for above in transformsAbove(node) if hasMoved(above, node)), None)


def transformsAbove(node: DisplayableNode) -> Iterator[Any]:
    above = node.GetParentTransformNode()
    while above is not None:
        yield above
        above = above.GetParentTransformNode()


def hasMoved(transform: Node, node: Node) -> bool:
    made = transform.GetAttribute(RESULT_ATTRIBUTE) is not None  # other registrations use the same roles
    return made and any(transform.GetNodeReferenceID(role) == node.GetID() for role in _MOVED_ROLES)


def ownedList(collection: Any) -> list[Any]:
    """The items of a collection that a scene made for the caller, which is freed.

    Python does not free it: left alone it would keep its nodes, and their voxels, in memory.
    """
    items = [collection.GetItemAsObject(index) for index in range(collection.GetNumberOfItems())]
    collection.UnRegister(None)
    return items
