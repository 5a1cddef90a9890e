"""Volume nodes as images in world coordinates, and back.

An :class:`.Image` that comes out of here lies in the *world*: every transform above the node is in its
grid already, so that a registration of two such images maps world to world, whatever stands above
the nodes. A linear transform costs nothing, because it only changes the grid. Shear and non-linear
transforms cannot be put in a grid: the voxels are resampled then, outside the scene.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import vtk

from JointRegistrationLib.core.errors import GeometryError, InputError
from JointRegistrationLib.core.geometry import Grid, transform_points, unit_lattice
from JointRegistrationLib.core.image import Image
from JointRegistrationLib.core.progress import finished

from ..mrml import TransformNode, VolumeNode
from ..pauses import inSteps
from ..translation import _
from .arrays import gridOf, newNode, numpyView, vtkImage, vtkMatrix
from .world import WorldTransform, ijkToRasOf, transformPoints, worldTransform

SCALAR_VOLUME = "vtkMRMLScalarVolumeNode"
LABEL_MAP = "vtkMRMLLabelMapVolumeNode"

#: How finely a non-linear transform is sampled to find where the volume lies in the world.
_HULL_SAMPLES_PER_AXIS = 12


def imageFromVolume(node: VolumeNode, leftOut: TransformNode | None = None) -> Image:
    """The voxels of a volume node in world coordinates.

    The array is a view of the node's own voxels, not to be written to, unless a sheared or non-linear
    transform above the node forces a resampling: linear interpolation, nearest for a label map, 0
    outside, the node's spacing and axes, and as many voxels as the transformed volume spans.

    Args:
        node: volume node.
        leftOut: a transform node to leave out, see :func:`.world.worldTransform`.

    Raises:
        InputError: if the node is missing, empty, a colour image or not 3D.
        GeometryError: if its geometry is not a valid grid.
    """
    return finished(imageSteps(node, leftOut))


def imageSteps(node: VolumeNode, leftOut: TransformNode | None = None) -> Generator[None, None, Image]:
    """:func:`imageFromVolume` with pauses in which a window stays alive, where voxels are resampled."""
    name = checkVolume(node)
    image = node.GetImageData()
    own = gridOf(name, image.GetDimensions(), ijkToRasOf(node))
    above = worldTransform(node, leftOut)
    if above is None:
        return Image(numpyView(image), own, name)
    if above.matrix is not None:
        try:
            grid = Grid.from_ijk_to_ras(own.size_ijk, above.matrix @ own.ijk_to_ras)
            return Image(numpyView(image), grid, name)
        except GeometryError:
            pass  # a shear: no grid has such axes
    return (yield from _resampledToWorld(image, own, above, name, nearest=node.IsA(LABEL_MAP)))


def checkVolume(node: VolumeNode | None) -> str:
    """The node's name, after making sure that it holds one number per voxel in 3D.

    Raises:
        InputError: otherwise.
    """
    if node is None:
        raise InputError(_("no volume is selected; choose one"))
    name = node.GetName() or node.GetID() or "volume"
    if not node.IsA("vtkMRMLVolumeNode"):
        text = _("{name}: a volume is needed, but this is a {kind}")
        raise InputError(text.format(name=name, kind=node.GetNodeTagName()))
    image = node.GetImageData()
    if image is None or image.GetNumberOfPoints() == 0 or image.GetPointData().GetScalars() is None:
        raise InputError(_("{name}: the volume holds no voxels; load it first").format(name=name))
    if image.GetNumberOfScalarComponents() != 1:
        text = _(
            "{name}: one value per voxel is needed, but there are {count}; convert it with Vector to Scalar Volume"
        )
        raise InputError(text.format(name=name, count=image.GetNumberOfScalarComponents()))
    return name


def _resampledToWorld(
    image: Any, own: Grid, above: WorldTransform, name: str, nearest: bool
) -> Generator[None, None, Image]:
    grid = _spanningGrid(own, above.toWorld)
    indexToIndex = vtk.vtkGeneralTransform()  # pre-multiplying: the last one given is applied first
    indexToIndex.Concatenate(vtkMatrix(own.ras_to_ijk))
    indexToIndex.Concatenate(above.fromWorld)
    indexToIndex.Concatenate(vtkMatrix(grid.ijk_to_ras))
    reslice = vtk.vtkImageReslice()
    reslice.SetInputData(image)
    reslice.SetResliceTransform(indexToIndex)
    reslice.SetOutputSpacing(1, 1, 1)
    reslice.SetOutputOrigin(0, 0, 0)
    reslice.SetBackgroundLevel(0)
    if nearest:
        reslice.SetInterpolationModeToNearestNeighbor()
    else:
        reslice.SetInterpolationModeToLinear()
    columns, rows, slices = grid.size_ijk
    resampled = np.empty(grid.shape, numpyView(image).dtype)

    def fill(part: slice) -> None:
        for k, j in _bySlice(part, rows):
            reslice.SetOutputExtent(0, columns - 1, j.start, j.stop - 1, k, k)
            reslice.Update()
            resampled[k, j] = numpyView(reslice.GetOutput())[0]

    yield from inSteps(rows * slices, fill)
    return Image(resampled, grid, name)


def _bySlice(part: slice, rows: int) -> Iterator[tuple[int, slice]]:
    """Rows numbered over all slices, as the slices k that they are in and the rows j of each."""
    for k in range(part.start // rows, -(-part.stop // rows)):
        yield k, slice(max(part.start - k * rows, 0), min(part.stop - k * rows, rows))


def _spanningGrid(own: Grid, toWorld: Any) -> Grid:
    """The lattice with ``own``'s spacing and axes that holds the whole of ``own`` after ``toWorld``."""
    unit = unit_lattice(_HULL_SAMPLES_PER_AXIS)
    world = transformPoints(toWorld, transform_points(own.unit_to_ras, unit))
    indices = transform_points(own.ras_to_ijk, world)
    first, last = np.floor(indices.min(axis=0)), np.ceil(indices.max(axis=0))
    size = (last - first).astype(int) + 1
    shift = np.eye(4)
    shift[:3, 3] = first
    return Grid.from_ijk_to_ras(size.tolist(), own.ijk_to_ras @ shift)


def volumeFromImage(image: Image, name: str, *, labels: bool = False, share: bool = False) -> Any:
    """A new volume node with ``image``'s voxels, in no scene yet.

    Args:
        image: voxels and world grid. Booleans become unsigned bytes, half floats become floats, and
            64-bit integers 32-bit ones if they fit (doubles otherwise): types that Slicer displays
            and every file format holds.
        name: of the node.
        labels: whether it is a label map.
        share: whether the node may hold the image's own voxels, see :func:`.arrays.vtkImage`.

    Raises:
        InputError: if ``labels`` is asked for values that are not integers.
    """
    if labels and image.array.dtype.kind == "f":
        raise InputError(f"{image.name}: labels must be integers, but the values are {image.array.dtype}")
    node = newNode(LABEL_MAP if labels else SCALAR_VOLUME, name)
    node.SetIJKToRASMatrix(vtkMatrix(image.grid.ijk_to_ras))
    node.SetAndObserveImageData(vtkImage(_storable(image.array), share=share))
    return node


def _storable(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if array.dtype == np.bool_:
        return array.view(np.uint8)
    if array.dtype == np.float16:
        return array.astype(np.float32)
    if array.dtype in (np.int64, np.uint64):
        limits = np.iinfo(np.int32)
        fits = array.size == 0 or (int(array.min()) >= limits.min and int(array.max()) <= limits.max)
        return array.astype(np.int32 if fits else np.float64)
    return array
