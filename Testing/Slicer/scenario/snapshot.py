"""What a scene holds, value by value: to compare it before and after a step.

Runs wherever MRML runs. Values, not modification times: what was changed and changed back is as it was.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import vtk
from vtk.util.numpy_support import vtk_to_numpy

#: Field to value of one node.
NodeState = dict[str, Any]

#: Lines of an object's text that say how it is used, not what it is.
_PASSING = (
    "0x", "Time", "Reference Count", "Registered Events", "Registered Observers", "Event:", "EventName:", "Command:",
    "Priority:", "Tag:", "Debug:", "Node references", "MTime", "StoredTime", "(none)",
)  # fmt: skip
#: What these print of themselves is too much or too volatile; their content is read here instead.
_OWN_CONTENT = (
    "vtkMRMLSegmentationNode", "vtkMRMLSubjectHierarchyNode", "vtkMRMLTableNode", "vtkMRMLMarkupsNode",
    "vtkMRMLTransformNode",
)  # fmt: skip


def snapshot(scene: Any) -> dict[str, NodeState]:
    """Every node of ``scene`` by its id. A value is a number, a text, or a tuple of such."""
    nodes = scene.GetNodes()
    found = [nodes.GetItemAsObject(index) for index in range(nodes.GetNumberOfItems())]
    return {node.GetID(): dict(_fields(node)) for node in found}


def _fields(node: Any) -> Iterator[tuple[str, Any]]:
    yield "class", node.GetClassName()
    yield "name", node.GetName() or ""
    for name in node.GetAttributeNames() or ():
        yield f"attribute {name}", node.GetAttribute(name)
    roles: list[str] = []
    node.GetNodeReferenceRoles(roles)
    for role in roles:
        count = node.GetNumberOfNodeReferences(role)
        if count:  # a role that was only asked for is listed too
            yield f"reference {role}", tuple(node.GetNthNodeReferenceID(role, n) for n in range(count))
    if not any(node.IsA(kind) for kind in _OWN_CONTENT):
        yield from _text(node)
    for kind, read in _READERS.items():
        if node.IsA(kind):
            yield from read(node)


def _text(node: Any) -> Iterator[tuple[str, str]]:
    """The lines that the node prints of itself, as names and values; a name that comes again is numbered."""
    seen: dict[str, int] = {}
    for line in str(node).splitlines():
        if not any(word in line for word in _PASSING):
            name, _, value = line.strip().partition(":")
            if name.endswith(("NodeID", "Ref]")):
                continue  # a reference, which has a field of its own
            seen[name] = seen.get(name, 0) + 1
            yield (name if seen[name] == 1 else f"{name} {seen[name]}"), value.strip()


def _array(array: Any) -> tuple[Any, ...]:
    """A VTK array as its size and the checksum of its bytes."""
    if array is None:
        return (0, 0)
    values = np.ascontiguousarray(vtk_to_numpy(array))
    return (values.size, zlib.crc32(values.view(np.uint8).reshape(-1).data if values.size else b""))


def _image(image: Any) -> tuple[Any, ...]:
    if image is None:
        return ()
    return (image.GetExtent(), image.GetScalarTypeAsString(), *_array(image.GetPointData().GetScalars()))


def _polyData(data: Any) -> tuple[Any, ...]:
    if data is None or data.GetPoints() is None:
        return ()
    return (data.GetNumberOfCells(), *_array(data.GetPoints().GetData()))


def _volume(node: Any) -> Iterator[tuple[str, Any]]:
    yield "voxels", _image(node.GetImageData())


def _model(node: Any) -> Iterator[tuple[str, Any]]:
    yield "surface", _polyData(node.GetPolyData())


def _segmentation(node: Any) -> Iterator[tuple[str, Any]]:
    segmentation = node.GetSegmentation()
    yield "segments", tuple(segmentation.GetSegmentIDs()) if segmentation is not None else ()
    for segmentId in segmentation.GetSegmentIDs() if segmentation is not None else ():
        segment = segmentation.GetSegment(segmentId)
        yield f"segment {segmentId}", (segment.GetName(), segment.GetColor(), segment.GetLabelValue())
        names: list[str] = []
        segment.GetContainedRepresentationNames(names)
        for name in names:
            shape = segment.GetRepresentation(name)
            yield f"segment {segmentId}, {name}", _image(shape) if shape.IsA("vtkImageData") else _polyData(shape)


def _transform(node: Any) -> Iterator[tuple[str, Any]]:
    """The matrix or the lattice of the map that was set; the other direction follows from it."""
    for direction in ("ToParent", "FromParent"):
        transform = getattr(node, f"GetTransform{direction}")()
        if transform is None or transform.IsA("vtkGeneralTransform"):
            continue
        if hasattr(transform, "GetMatrix"):
            matrix = transform.GetMatrix()
            yield f"matrix {direction}", tuple(matrix.GetElement(r, c) for r in range(4) for c in range(4))
        grid = transform.GetDisplacementGrid() if hasattr(transform, "GetDisplacementGrid") else None
        if grid is not None:
            yield f"displacements {direction}", _image(grid)
            yield f"interpolation {direction}", transform.GetInterpolationModeAsString()


def _markups(node: Any) -> Iterator[tuple[str, Any]]:
    point = [0.0, 0.0, 0.0]
    for index in range(node.GetNumberOfControlPoints()):
        node.GetNthControlPointPosition(index, point)
        status = node.GetNthControlPointPositionStatus(index)
        yield f"point {index}", (*(round(value, 6) for value in point), node.GetNthControlPointLabel(index), status)


def _table(node: Any) -> Iterator[tuple[str, Any]]:
    columns = range(node.GetNumberOfColumns())
    for row in range(node.GetNumberOfRows()):
        yield f"row {row}", tuple(node.GetCellText(row, column) for column in columns)


def _hierarchy(node: Any) -> Iterator[tuple[str, Any]]:
    """Every item with the path of names that leads to it, and its node."""
    items = vtk.vtkIdList()
    node.GetItemChildren(node.GetSceneItemID(), items, True)
    for index in range(items.GetNumberOfIds()):
        item, path = items.GetId(index), []
        data = node.GetItemDataNode(item)
        while item not in (node.GetSceneItemID(), 0):
            path.append(node.GetItemName(item))
            item = node.GetItemParent(item)
        yield f"item {'/'.join(reversed(path))}", "" if data is None else data.GetID()


def _parent(node: Any) -> Iterator[tuple[str, Any]]:
    yield "parent", node.GetTransformNodeID() or ""


_READERS = {
    "vtkMRMLTransformableNode": _parent,
    "vtkMRMLVolumeNode": _volume,
    "vtkMRMLModelNode": _model,
    "vtkMRMLSegmentationNode": _segmentation,
    "vtkMRMLTransformNode": _transform,
    "vtkMRMLMarkupsNode": _markups,
    "vtkMRMLTableNode": _table,
    "vtkMRMLSubjectHierarchyNode": _hierarchy,
}
