"""``slicer.app.coreIOManager()``: what slicer.util.saveNode asks of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PySide6 import QtCore


class qSlicerCoreIOManager(QtCore.QObject):
    """Writes nodes through their storage nodes, which take a relative name from the scene's folder."""

    def __init__(self, scene: Any) -> None:
        super().__init__()
        self._scene = scene

    def fileWriterFileType(self, node: Any, _format: str = "") -> str:
        return f"{node.GetNodeTagName()}File" if node.IsA("vtkMRMLStorableNode") else "NoFile"

    def saveNodes(self, fileType: str, parameters: dict[str, Any], userMessages: Any = None) -> bool:
        node = self._scene.GetNodeByID(parameters["nodeID"])
        if fileType == "NoFile" or node is None or not node.AddDefaultStorageNode():
            return False
        Path(parameters["fileName"]).parent.mkdir(parents=True, exist_ok=True)  # from the working folder
        storage = node.GetStorageNode()
        storage.SetFileName(parameters["fileName"])
        written = bool(storage.WriteData(node))
        if userMessages is not None:
            userMessages.AddMessages(storage.GetUserMessages())
        return written
