"""Transform nodes: displacement fields and matrices, with their direction in one place.

A transform node under which *moving* nodes are put has two sides. *From parent* takes a fixed (world)
point to the moving point shown there; it is what resampling needs, what ITK files hold and what this
project's ``map_fixed_to_moving`` is. *To parent* moves points and surfaces the other way.

A registration gives two nodes, each with the exact grid on its from-parent side:

- "moving to fixed": the map fixed -> moving on the fixed lattice. Put moving volumes and label maps
  under it: they are drawn through the exact grid.
- "fixed to moving": the map moving -> fixed on the moving lattice. Put fixed nodes under it to see
  them in the moving image; its grid is also the exact way to send moving *points* to the fixed image
  (:func:`.transformPoints` of its from-parent side).

A node holds one side; VTK finds the other by iteration, for surfaces and points under a node. Both
grids sit on the from-parent side because a to-parent grid is saved as an inverse type that other ITK
programs cannot read. VTK stops iterating within its ``InverseTolerance``, set here to
:data:`INVERSE_TOLERANCE_MM` (VTK's own 0.01 is coarser than we promise).

Outside its lattice a VTK grid keeps the displacement of its border; ITK's displacement field is the
identity there. Both agree on the lattice and up to half a voxel around it, which holds every voxel
that is resampled. Only points beyond the image itself differ.

Between lattice points a registration's transform is interpolated linearly: by the library, by ITK and in a scene.
Slicer sets *cubic* interpolation and VTK's inverse tolerance on what it reads, so :func:`interpolateLinearly` is to be
called once a scene was loaded: the module and :func:`.headless.loadScene` do. Cubic interpolation overshoots: where
tissue is pressed together it folds earlier (docs/files.md), and it takes four times as long.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
import numpy.typing as npt
import vtk
from slicer import vtkMRMLTransformNode, vtkOrientedGridTransform

from JointRegistrationLib.core.errors import InputError
from JointRegistrationLib.core.geometry import Grid
from JointRegistrationLib.core.result import StartingMap

from ..mrml import DisplayableNode, Scene, TransformNode
from ..pauses import inParallel, inSteps, inThread, slabs
from ..translation import _
from .arrays import gridOf, newNode, numpyMatrix, numpyView, ownedList, vtkImage, vtkMatrix
from .world import WorldTransform

#: Under these roles an output refers to its two volumes, as those of core registration do.
FIXED_ROLE = vtkMRMLTransformNode.GetFixedNodeReferenceRole()
MOVING_ROLE = vtkMRMLTransformNode.GetMovingNodeReferenceRole()

#: How near VTK's inverse comes.
INVERSE_TOLERANCE_MM = 1e-4
_INVERSE_ITERATIONS = 500


def gridTransformSteps(
    displacementMm: npt.NDArray[Any], grid: Grid, *, share: bool = False
) -> Generator[None, None, Any]:
    """A displacement field as ``vtkOrientedGridTransform``, with pauses in which a window stays alive.

    Args:
        displacementMm: (k, j, i, 3) on ``grid``, RAS components in mm.
        grid: its lattice.
        share: whether the transform may hold the array's own memory, see :func:`.arrays.vtkImage`.

    Raises:
        InputError: if the array is not on the grid or not finite.
    """
    if displacementMm.shape != (*grid.shape, 3):
        raise InputError(
            f"displacement field: shape {(*grid.shape, 3)} is needed on this grid, but it is {displacementMm.shape}"
        )
    # Point scalars: as point vectors VTK would silently show the identity.
    image = yield from inThread(lambda: vtkImage(displacementMm, share=share))
    held = numpyView(image)
    finite = yield from inThread(lambda: inParallel(lambda part: _isFinite(held[part]), slabs(len(held), held.nbytes)))
    if not all(finite):
        raise InputError("displacement field: it holds values that are not finite; nothing was put into the scene")
    image.SetSpacing(grid.spacing_mm)
    image.SetOrigin(grid.origin_ras)
    direction = np.eye(4)
    direction[:3, :3] = grid.direction_ras
    transform = vtkOrientedGridTransform()
    transform.SetDisplacementGridData(image)
    transform.SetGridDirectionMatrix(vtkMatrix(direction))
    _setLinear(transform)
    return transform


def interpolateLinearly(scene: Scene) -> None:
    """Let the displacement grids of the registrations in a scene that was read be what they were when it was saved."""
    for node in ownedList(scene.GetNodesByClass("vtkMRMLTransformNode")):
        stored = storedGrid(node)
        if stored is not None and node.GetNodeReference(FIXED_ROLE) and node.GetNodeReference(MOVING_ROLE):
            _setLinear(stored[0])


def _setLinear(transform: Any) -> None:
    transform.SetInterpolationModeToLinear()
    transform.SetInverseTolerance(INVERSE_TOLERANCE_MM)
    transform.SetInverseIterations(_INVERSE_ITERATIONS)


def _isFinite(values: npt.NDArray[Any]) -> bool:
    """Whether all are finite: their sum is not if one is not, and takes a third of the time."""
    with np.errstate(all="ignore"):
        return bool(np.isfinite(values.sum())) or bool(np.isfinite(values).all())


def gridTransformNodeSteps(
    displacementMm: npt.NDArray[Any], grid: Grid, name: str, *, share: bool = False
) -> Generator[None, None, Any]:
    """A new transform node, in no scene yet, with the field on its from-parent side, with pauses.

    See :func:`gridTransformSteps` for the arguments and errors.
    """
    transform = yield from gridTransformSteps(displacementMm, grid, share=share)
    node = newNode("vtkMRMLTransformNode", name)
    node.SetAndObserveTransformFromParent(transform)
    return node


def affineTransformNode(matrixRas: npt.ArrayLike, name: str) -> Any:
    """A new linear transform node, in no scene yet, whose from-parent side is ``matrixRas``.

    ``matrixRas`` is 4x4 and takes fixed RAS points to moving ones.

    Raises:
        InputError: if the matrix is singular.
    """
    matrix = np.asarray(matrixRas, dtype=float)
    if abs(np.linalg.det(matrix[:3, :3])) < 1e-9:
        raise InputError(f"affine transform: the matrix cannot be inverted: {matrix.tolist()}")
    # Still of use where a selector offers linear transforms only; newer Slicers alias the class.
    node = newNode("vtkMRMLLinearTransformNode", name)
    node.SetMatrixTransformFromParent(vtkMatrix(matrix))
    return node


def displacementFromNode(node: TransformNode) -> tuple[npt.NDArray[np.float64], Grid, bool]:
    """The displacement field stored in a transform node.

    Returns:
        The field (k, j, i, 3) in RAS mm, its grid, and whether it is the from-parent side that is
        stored (True) or the to-parent side.

    Raises:
        InputError: if neither side of the node holds a single grid.
    """
    found = storedGrid(node)
    if found is None:
        text = _(
            "{name}: a transform with one displacement grid is needed; convert it with the Transforms module first"
        )
        raise InputError(text.format(name=node.GetName()))
    transform, fromParent = found
    values = numpyView(transform.GetDisplacementGrid()).astype(np.float64)
    values = values * transform.GetDisplacementScale() + transform.GetDisplacementShift()
    return values, latticeOf(transform, node.GetName()), fromParent


def storedGrid(node: TransformNode) -> tuple[Any, bool] | None:
    """The ``vtkOrientedGridTransform`` that a node stores, and whether on its from-parent side; None if none."""
    for fromParent, side in ((True, node.GetTransformFromParentAs), (False, node.GetTransformToParentAs)):
        transform = side("vtkOrientedGridTransform", False, True)  # no error log; stored, not computed
        if transform is not None and transform.GetDisplacementGrid() is not None:
            return transform, fromParent
    return None


def fixedToMovingGrid(node: TransformNode) -> Any:
    """The ``vtkOrientedGridTransform`` on a node's from-parent side; None if nothing like it is stored there."""
    found = storedGrid(node)
    return found[0] if found is not None and found[1] else None


def latticeOf(transform: Any, name: str) -> Grid:
    """The lattice of a ``vtkOrientedGridTransform``; ``name`` stands in front of errors.

    Raises:
        InputError: if its geometry is not a valid grid.
    """
    image, direction = transform.GetDisplacementGrid(), transform.GetGridDirectionMatrix()
    matrix = np.eye(4)
    matrix[:3, :3] = (np.eye(3) if direction is None else numpyMatrix(direction)[:3, :3]) * image.GetSpacing()
    matrix[:3, 3] = image.GetOrigin()
    return gridOf(name, image.GetDimensions(), matrix)


def affineFromNode(node: TransformNode) -> npt.NDArray[np.float64]:
    """The 4x4 from-parent matrix of a linear transform node.

    Raises:
        InputError: if the transform is not linear.
    """
    if not node.IsLinear():
        text = _("{name}: a linear transform is needed, but this one is not")
        raise InputError(text.format(name=node.GetName()))
    matrix = vtk.vtkMatrix4x4()
    node.GetMatrixTransformFromParent(matrix)
    return numpyMatrix(matrix)


def checkStart(node: TransformNode) -> Any:
    """The ``vtkOrientedGridTransform`` from fixed to moving points that ``node`` holds.

    Raises:
        InputError: if it holds no displacement grid on its from-parent side, or stands under another transform.
    """
    name = node.GetName()
    if node.GetParentTransformNode() is not None:
        text = _("start transform: {name} stands under {parent}; take it out from there, or harden it")
        raise InputError(text.format(name=name, parent=node.GetParentTransformNode().GetName()))
    found = storedGrid(node)
    if found is None:
        text = _("start transform: {name} holds no displacement grid; choose the transform of an earlier registration")
        raise InputError(text.format(name=name))
    transform, fromParent = found
    if not fromParent:
        text = _(
            "start transform: {name} holds the opposite direction, from moving to fixed points; choose the transform "
            "that takes the moving volume to the fixed one"
        )
        raise InputError(text.format(name=name))
    return transform


def startSteps(node: TransformNode) -> Generator[None, None, StartingMap]:
    """The map that ``node`` holds, with pauses. Single precision is not copied: nobody may write to it meanwhile.

    Raises:
        InputError: as :func:`checkStart`.
    """
    transform = checkStart(node)
    stored, grid = numpyView(transform.GetDisplacementGrid()), latticeOf(transform, node.GetName())
    scale, shift = transform.GetDisplacementScale(), transform.GetDisplacementShift()
    if stored.dtype == np.float32 and (scale, shift) == (1, 0):
        return StartingMap(stored, grid)
    field = np.empty(stored.shape, np.float32)

    def fill(part: slice) -> None:
        field[part] = stored[part].astype(np.float64) * scale + shift

    yield from inSteps(len(field), fill)
    return StartingMap(field, grid)


def startTransformNode(node: DisplayableNode, above: WorldTransform) -> Any:
    """Make a transform node, in no scene yet, that holds what stood above a node before it was registered."""
    start = newNode("vtkMRMLTransformNode", f"{node.GetName()} before registration")
    if above.matrix is not None:
        start.SetMatrixTransformToParent(vtkMatrix(above.matrix))
    else:
        copy = vtk.vtkGeneralTransform()
        copy.DeepCopy(above.toWorld)
        start.SetAndObserveTransformToParent(copy)
    return start
