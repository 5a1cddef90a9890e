"""A MRML scene outside the desktop application, on ``slicer-core``, and scenes as .mrb files.

In desktop Slicer the application owns the scene and its logics; there only :func:`saveScene` is of use.
"""

from __future__ import annotations

import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import slicer

from JointRegistrationLib.core.errors import FileError

from ..mrml import Scene
from ..nodes.transforms import interpolateLinearly

#: Module logics that register node types, segment conversions and subject hierarchy handling. The core
#: colour logic, because the module's wants colour files that only the desktop application has.
_LOGICS = {
    "Colors": "vtkMRMLColorLogic",
    "Volumes": "vtkSlicerVolumesLogic",
    "Transforms": "vtkSlicerTransformLogic",
    "Markups": "vtkSlicerMarkupsLogic",
    "Models": "vtkSlicerModelsLogic",
    "Segmentations": "vtkSlicerSegmentationsModuleLogic",
    "SubjectHierarchy": "vtkSlicerSubjectHierarchyModuleLogic",
}


@dataclass(frozen=True)
class HeadlessScene:
    """A scene and what must live as long as it: its application logic and module logics by name."""

    scene: Scene
    applicationLogic: Any
    logics: dict[str, Any]
    _remoteIO: Any
    _cache: tempfile.TemporaryDirectory[str]


def createHeadlessScene() -> HeadlessScene:
    """An empty scene with the logics that volumes, transforms, segmentations and colours need."""
    scene = slicer.vtkMRMLScene()
    applicationLogic = slicer.vtkSlicerApplicationLogic()
    applicationLogic.SetMRMLScene(scene)
    applicationLogic.GetColorLogic().SetMRMLScene(scene)
    applicationLogic.GetColorLogic().AddDefaultColorNodes()
    logics = {name: _registeredLogic(name, kind, scene, applicationLogic) for name, kind in _LOGICS.items()}
    _forgetRepeatedConversions()
    scene.RegisterNodeClass(slicer.vtkMRMLColorLegendDisplayNode())
    cache = tempfile.TemporaryDirectory(prefix="joint-registration-")
    remoteIO = slicer.vtkMRMLRemoteIOLogic()  # without its cache manager a scene cannot load its files
    remoteIO.SetMRMLScene(scene)
    remoteIO.GetCacheManager().SetRemoteCacheDirectory(cache.name)
    remoteIO.AddDataIOToScene()
    return HeadlessScene(scene, applicationLogic, logics, remoteIO, cache)


def _registeredLogic(name: str, className: str, scene: Scene, applicationLogic: Any) -> Any:
    logic = getattr(slicer, className)()
    logic.SetMRMLApplicationLogic(applicationLogic)
    logic.SetMRMLScene(scene)
    applicationLogic.SetModuleLogic(name, logic)
    return logic


def _forgetRepeatedConversions() -> None:
    """Keep one rule of a kind. Each segmentations logic registers all of them anew, for the whole process, and Slicer's
    search for a way from one representation to another grows faster than their number: 0.25 s late in our tests.
    """
    factory = slicer.vtkSegmentationConverterFactory.GetInstance()
    kept = set()
    for rule in factory.GetConverterRules():
        if rule.GetClassName() in kept:
            factory.UnregisterConverterRule(rule)
        kept.add(rule.GetClassName())


def saveScene(scene: Scene, path: str | Path) -> Path:
    """Write the scene with all its data as .mrb, whole or not at all.

    Args:
        scene: any MRML scene; its URL is left as it was.
        path: where to; the folder must exist. The .mrb ending is added if missing.

    Returns:
        The file written.

    Raises:
        FileError: if the folder is not there or not writable, or the scene cannot be written.
    """
    target = Path(path)
    if target.suffix.lower() != ".mrb":
        target = target.with_name(target.name + ".mrb")
    if not target.parent.is_dir():
        raise FileError(f"{target}: the folder {target.parent} does not exist; create it or choose another")
    url, root = scene.GetURL(), scene.GetRootDirectory()
    try:
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".saving-") as folder:
            partial = Path(folder) / target.name
            if not scene.WriteToMRB(str(partial)) or not zipfile.is_zipfile(partial):
                raise FileError(f"{target}: the scene could not be written; check the free space on that disk")
            partial.replace(target)
    except OSError as error:
        raise FileError(f"{target}: cannot be written: {error.strerror}; choose another folder") from error
    finally:
        scene.SetURL(url)
        scene.SetRootDirectory(root)
    return target


def loadScene(scene: Scene, path: str | Path) -> None:
    """Replace the content of ``scene`` by that of a .mrb file.

    Raises:
        FileError: if the file is not there or not a scene.
    """
    source = Path(path)
    if not zipfile.is_zipfile(source):
        raise FileError(f"{source}: this is not a Slicer scene file (.mrb); give one that Slicer or the demo wrote")
    with tempfile.TemporaryDirectory(prefix="joint-registration-") as folder:
        with zipfile.ZipFile(source) as archive:
            archive.extractall(folder)
        scenes = sorted(Path(folder).rglob("*.mrml"))
        if not scenes:
            raise FileError(f"{source}: it holds no .mrml scene; it may be damaged")
        scene.SetURL(str(scenes[0]))
        if not scene.Connect():
            raise FileError(f"{source}: its scene could not be read in full; see the error log for the file")
    interpolateLinearly(scene)
