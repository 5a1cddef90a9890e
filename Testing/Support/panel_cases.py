"""Somebody in front of the panel: opens it, chooses volumes, presses buttons, looks at the scene."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import slicer
import vtk

from JointRegistrationLib.core.geometry import Grid
from JointRegistrationLib.core.image import Image
from JointRegistrationLib.core.progress import finished
from JointRegistrationMRML.nodes.arrays import giveDisplay
from JointRegistrationMRML.nodes.segments.segmentations import setReferenceGeometry
from JointRegistrationMRML.nodes.transforms import gridTransformNodeSteps
from JointRegistrationMRML.nodes.volumes import volumeFromImage
from Testing.Support.at_once import maskSegmentation

#: Where screenshots of the panel's states go; nowhere if unset.
PICTURES = os.environ.get("JOINTREG_PANEL_PICTURES")


class Person:
    """A person with an embedded Slicer."""

    def __init__(self, host: Any) -> None:
        self.host, self.scene = host, host.scene
        self.panel: Any = None

    @property
    def ui(self) -> Any:
        """The panel's controls."""
        return self.panel.ui

    @property
    def parameters(self) -> Any:
        """What the panel saves."""
        return self.panel._getParameters()

    def open(self, *stubOptions: str, real: bool = False, width: int = 400) -> Any:
        """Open the module; the worker is the stub with these options unless ``real``."""
        self.host.loadModule("JointRegistration")
        from JointRegistrationPanel.run import worker as workerModule
        from JointRegistrationPanel.selftests import tests

        worker = workerModule.Worker() if real else workerModule.Worker(tests.stubCommand(*stubOptions))
        workerModule._Shared.worker = worker  # closed with the module
        self.panel = self.host.openModule("JointRegistration", width=width).panel
        return self.panel

    def addVolumes(self) -> tuple[Any, Any]:
        """A fixed and a moving volume in the scene."""
        from JointRegistrationPanel.selftests.tests import addEllipsoid

        return addEllipsoid("Fixed knee", 0.0), addEllipsoid("Moving knee", 4.0)

    def chooseVolumes(self) -> tuple[Any, Any]:
        """Add two volumes and choose them; waits until Register can be pressed."""
        fixed, moving = self.addVolumes()
        self.host.choose(self.ui.fixedVolumeSelector, fixed)
        self.host.choose(self.ui.movingVolumeSelector, moving)
        self.waitUntilReady()
        return fixed, moving

    def waitUntilReady(self) -> None:
        """Until Register can be pressed and the inputs were judged."""
        self.host.wait(lambda: self.ui.registerButton.enabled and "memory" in self.panel._judgement.estimate)
        self.host.wait(lambda: not self.panel._judgeTimer.active)

    def register(self) -> Any:
        """Press Register and wait for the results."""
        self.host.click(self.ui.registerButton)
        self.host.wait(lambda: not self.panel._run.running)
        assert self.panel.results.outputs is not None, self.problems()
        return self.panel.results.outputs

    def discard(self) -> None:
        """Press Discard and wait until what the run added is gone."""
        self.host.click(self.ui.discardButton)
        self.host.wait(lambda: not self.panel._run.running)

    def openSection(self, name: str) -> None:
        """Unfold a section of the panel."""
        section = getattr(self.ui, f"{name}Button")
        if section.collapsed:
            self.host.click(section)

    def waitForStage(self, text: str) -> None:
        """Until the line below the progress bar says ``text``."""
        self.host.wait(lambda: text in self.ui.stageLabel.text)

    def problems(self) -> list[str]:
        """The sentences in the panel."""
        rows = ((getattr(self.ui, f"problem{n}Frame"), getattr(self.ui, f"problem{n}Text")) for n in (1, 2, 3))
        return [text.text for frame, text in rows if frame.visible]

    def fit(self, width: int = 400) -> Any:
        """Give the page its natural height at ``width``, as a scrolled module panel has."""
        page = self.panel.widget.parentWidget()
        for _ in range(3):
            self.host.processEvents()
            page.resize(width, page.layout().totalHeightForWidth(width))
        self.host.processEvents()
        return page

    def saveAndClose(self, folder: Path, *nodes: Any) -> None:
        """Write ``nodes`` and the scene to ``folder``/scene.mrml, and close the scene."""
        for node in nodes:
            node.AddDefaultStorageNode()
            kind = "seg.nrrd" if node.IsA("vtkMRMLSegmentationNode") else "nrrd"
            node.GetStorageNode().SetFileName(str(folder / f"{node.GetID()}.{kind}"))
            assert node.GetStorageNode().WriteData(node)
        self.scene.SetURL(str(folder / "scene.mrml"))
        self.scene.SetRootDirectory(str(folder))
        assert self.scene.Commit()
        self.scene.Clear(0)
        self.host.processEvents()

    def picture(self, name: str) -> None:
        """Keep what the panel shows, where :data:`PICTURES` says."""
        page = self.fit()
        if PICTURES:
            self.host.screenshot(page, Path(PICTURES) / f"{name}.png")


def bentPair(person: Person, size: tuple[int, int, int] = (192, 192, 96)) -> None:
    """Two volumes and a mask of each, under a transform that bends them."""
    spacing = tuple(side / n for side, n in zip((134.0, 134.0, 114.0), size, strict=True))
    grid = Grid(size, spacing, (-67.0, -67.0, -57.0))
    bright = np.zeros(grid.shape, bool)
    bright[tuple(slice(n // 5, -(n // 4)) for n in grid.shape)] = True
    image = Image(np.where(bright, 90, 10).astype(np.int16), grid, "knee")
    coarse = Grid((8, 8, 8), (20.0, 20.0, 17.0), (-70.0, -70.0, -60.0))
    bend = person.scene.AddNode(
        finished(gridTransformNodeSteps(np.full((8, 8, 8, 3), 2.0, np.float32), coarse, "bend"))
    )
    for which in ("fixed", "moving"):
        volume = person.scene.AddNode(volumeFromImage(image, which))
        mask = maskSegmentation(bright, grid, f"{which} mask", (1, 0, 0))
        giveDisplay(person.scene, mask)
        person.scene.AddNode(mask)
        setattr(person.parameters, f"{which}Volume", volume)
        setattr(person.parameters, f"{which}Mask", mask)
        for node in (volume, mask):
            node.SetAndObserveTransformNodeID(bend.GetID())


def surfacePair(person: Person) -> None:
    """Two volumes, and segments of 200,000 triangles each that are surfaces."""
    fixed, moving = person.addVolumes()
    surfaces = person.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "surfaces")
    surfaces.CreateDefaultDisplayNodes()
    surfaces.SetSourceRepresentationToClosedSurface()
    for name, center in {"a": (-20.0, 0.0, 0.0), "b": (20.0, 0.0, 0.0)}.items():
        segment = slicer.vtkSegment()
        segment.SetName(name)
        segment.AddRepresentation("Closed surface", _ball(center))
        surfaces.GetSegmentation().AddSegment(segment, name)
    setReferenceGeometry(surfaces, Grid((192, 192, 96), (0.4, 0.4, 0.8), (-38.0, -38.0, -38.0)))
    parameters = person.parameters
    parameters.fixedVolume, parameters.movingVolume = fixed, moving
    parameters.movingSegmentation = parameters.fixedMask = surfaces


def _ball(center: tuple[float, float, float]) -> Any:
    source = vtk.vtkSphereSource()
    source.SetThetaResolution(320)
    source.SetPhiResolution(320)
    source.SetCenter(*center)
    source.SetRadius(15.0)
    source.Update()
    return source.GetOutput()


def sceneContent(scene: Any) -> dict[str, tuple[Any, ...]]:
    """Every node by id, with what a run could change: for comparing a scene before and after, node by node."""
    nodes = scene.GetNodes()
    found = [nodes.GetItemAsObject(index) for index in range(nodes.GetNumberOfItems())]
    return {
        node.GetID(): _nodeContent(node) for node in found if node.GetAttribute("ModuleName") != "JointRegistration"
    }


def _nodeContent(node: Any) -> tuple[Any, ...]:
    from JointRegistrationMRML.scene.content import contentState

    content: list[Any] = [node.GetName(), node.GetClassName()]
    if node.IsA("vtkMRMLTableNode"):  # a table given back is another object with the same cells
        content += [node.GetCellText(row, 1) for row in range(node.GetNumberOfRows())]
    elif node.IsA("vtkMRMLScriptedModuleNode"):
        content += [(name, node.GetParameter(name)) for name in node.GetParameterNames()]
    else:
        content.append(contentState(node))
    if node.IsA("vtkMRMLTransformableNode"):
        content.append(node.GetTransformNodeID())
    if node.IsA("vtkMRMLDisplayableNode"):
        content.append(tuple(node.GetNthDisplayNodeID(n) for n in range(node.GetNumberOfDisplayNodes())))
    if node.IsA("vtkMRMLSliceCompositeNode"):
        content += [node.GetBackgroundVolumeID(), node.GetForegroundVolumeID(), node.GetForegroundOpacity()]
    if node.IsA("vtkMRMLSubjectHierarchyNode"):
        content.append(node.GetNumberOfItems())
    return tuple(content)


def newNodes(scene: Any, before: dict[str, Any]) -> dict[str, str]:
    """Names of the nodes that were not there before, with their class; nodes that serve others are left out."""
    helpers = ("vtkMRMLDisplayNode", "vtkMRMLStorageNode", "vtkMRMLColorNode", "vtkMRMLScriptedModuleNode")
    nodes = (scene.GetNodeByID(nodeId) for nodeId in sceneContent(scene) if nodeId not in before)
    return {node.GetName(): node.GetClassName() for node in nodes if not any(node.IsA(kind) for kind in helpers)}


def slicerModule() -> Any:
    """The loaded module file."""
    return slicer.modules.jointregistration
