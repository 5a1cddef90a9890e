"""Grids, scenes and a registration with a known answer, for the MRML tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from JointRegistrationLib.core.geometry import Grid, transform_points
from JointRegistrationLib.core.image import Image
from JointRegistrationLib.core.lattices.sampling import LabelMap
from JointRegistrationLib.core.lattices.segments import SegmentLabel, SegmentLayers
from JointRegistrationLib.core.result import FoldCount, RegistrationResult
from JointRegistrationMRML.nodes.segments.segmentations import segmentationFromLabels
from JointRegistrationMRML.nodes.volumes import volumeFromImage
from JointRegistrationMRML.run.registration_nodes import InputNodes
from JointRegistrationMRML.scene.headless import HeadlessScene, createHeadlessScene
from Testing.Support.grids import rotation
from Testing.Support.results import made_result


def centeredGrid(size: tuple[int, int, int], spacing: tuple[float, float, float], direction: np.ndarray) -> Grid:
    """A grid whose centre is (5, -10, 20) RAS, so that all of them overlap."""
    matrix = np.eye(4)
    matrix[:3, :3] = direction * np.asarray(spacing)
    matrix[:3, 3] = np.array([5.0, -10.0, 20.0]) - matrix[:3, :3] @ ((np.asarray(size) - 1) / 2)
    return Grid.from_ijk_to_ras(size, matrix)


GRIDS = {
    "RAS": centeredGrid((20, 22, 24), (2.0, 2.0, 2.0), np.eye(3)),
    "LAS-left-handed": centeredGrid((20, 22, 24), (2.0, 2.0, 2.0), np.diag([-1.0, 1, 1])),
    "LPS": centeredGrid((20, 22, 24), (2.0, 2.0, 2.0), np.diag([-1.0, -1, 1])),
    "sagittal-PIR": centeredGrid((24, 22, 12), (1.8, 1.8, 3.5), np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])),
    "oblique": centeredGrid((21, 19, 23), (2.0, 2.1, 1.9), rotation((1, 2, 3), 25)),
    "oblique-anisotropic-left-handed": centeredGrid(
        (30, 24, 12), (1.3, 1.7, 3.6), rotation((2, -1, 1), 40) @ np.diag([1.0, 1, -1])
    ),
}


@pytest.fixture(params=list(GRIDS))
def grid(request: pytest.FixtureRequest) -> Grid:
    return GRIDS[request.param]


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20240501)


def latticePoints(grid: Grid) -> np.ndarray:
    """(k, j, i, 3) RAS positions of the lattice."""
    indices = np.stack(np.meshgrid(*(np.arange(n) for n in grid.size_ijk), indexing="ij"), axis=-1)
    return transform_points(grid.ijk_to_ras, indices.transpose(2, 1, 0, 3))


def smoothField(grid: Grid, amplitudeMm: float = 4.0) -> np.ndarray:
    """A smooth displacement field (k, j, i, 3) in RAS mm with a different law per component, without folds."""
    r, a, s = np.moveaxis((latticePoints(grid) - grid.center_ras) / 25.0, -1, 0)
    field = np.stack([np.sin(a + 0.5), np.cos(s - 0.3 * r), 0.6 * np.sin(r + a)], axis=-1)
    return amplitudeMm * field


def pointsInside(grid: Grid, rng: np.random.Generator, count: int = 300, margin: float = 0.0) -> np.ndarray:
    """Random (count, 3) RAS points, at least ``margin`` (a fraction of the field of view) from its border."""
    return transform_points(grid.unit_to_ras, rng.uniform(margin, 1 - margin, size=(count, 3)))


@pytest.fixture
def headless() -> HeadlessScene:
    return createHeadlessScene()


@pytest.fixture
def scene(headless: HeadlessScene) -> Any:
    return headless.scene


def addVolume(scene: Any, array: np.ndarray, grid: Grid, name: str) -> Any:
    """A volume with a display node in the scene."""
    node = scene.AddNode(volumeFromImage(Image(array, grid), name))
    node.CreateDefaultDisplayNodes()
    return node


FIXED_GRID, MOVING_GRID = GRIDS["oblique"], GRIDS["sagittal-PIR"]


@dataclass
class Knee:
    """A scene with a fixed and a moving volume and a moving segmentation, and the result that relates them."""

    scene: Any
    nodes: InputNodes
    result: RegistrationResult

    def run(self, inputs: object, config: object, progress: Any = None, cancelled: Any = None) -> RegistrationResult:
        """A runner that knows the answer."""
        if progress is not None:
            progress("pretending", 0.5, 1.0)
        return self.result


@pytest.fixture
def knee(scene: Any) -> Knee:
    blob = np.square(latticePoints(FIXED_GRID) - FIXED_GRID.center_ras).sum(axis=-1)
    fixed = addVolume(scene, (100 * np.exp(-blob / 200)).astype(np.float32), FIXED_GRID, "fixed knee")
    blob = np.square(latticePoints(MOVING_GRID) - MOVING_GRID.center_ras).sum(axis=-1)
    moving = addVolume(scene, (100 * np.exp(-blob / 200)).astype(np.int16), MOVING_GRID, "moving knee")
    moving.GetDisplayNode().AutoWindowLevelOff()
    moving.GetDisplayNode().SetWindowLevel(77.0, 33.0)
    bone, cartilage = blob < 10.0**2, (blob >= 10.0**2) & (blob < 15.0**2)
    lesion = np.abs(latticePoints(MOVING_GRID)[..., 2] - MOVING_GRID.center_ras[2]) < 6
    maps = ((bone + 2 * cartilage).astype(np.uint8), (lesion & (blob < 15.0**2)).astype(np.uint8))
    labels = SegmentLayers(
        tuple(LabelMap(values, MOVING_GRID) for values in maps),
        (
            SegmentLabel("bone", "Femur", (0.9, 0.8, 0.5), 0, 1),
            SegmentLabel("cartilage", "Femoral cartilage", (0.2, 0.6, 0.9), 0, 2),
            SegmentLabel("lesion", "Lesion", (0.9, 0.1, 0.1), 1, 1),
        ),
    )
    segmentation = scene.AddNode(segmentationFromLabels(labels, "moving labels"))
    segmentation.CreateDefaultDisplayNodes()
    return Knee(scene, InputNodes(fixed, moving, movingSegmentation=segmentation), knownResult())


def knownResult(folded: bool = True) -> RegistrationResult:
    """A result with a smooth known map, a (different) smooth inverse, and 8 planted folds."""
    jacobian = np.full(FIXED_GRID.shape, 1.25, np.float32)
    jacobian[:4] = 0.8
    if folded:
        jacobian[5:7, 6:8, 7:9] = -0.5
    return made_result(
        FIXED_GRID,
        MOVING_GRID,
        affine_ras=np.array([[1, 0, 0, 2], [0, 1, 0, -1], [0, 0, 1, 0.5], [0, 0, 0, 1.0]]),
        displacement_field_mm=smoothField(FIXED_GRID).astype(np.float32),
        inverse_displacement_field_mm=-smoothField(MOVING_GRID).astype(np.float32),
        jacobian_determinant=jacobian,
        warped=np.linspace(0, 100, FIXED_GRID.num_voxels, dtype=np.float32).reshape(FIXED_GRID.shape),
        folds=FoldCount(8, 100 * 8 / FIXED_GRID.num_voxels, 8),
    )


def sceneState(scene: Any) -> set[tuple[str, str]]:
    """Ids and names of all nodes, for comparing a scene before and after."""
    nodes = scene.GetNodes()
    found = (nodes.GetItemAsObject(index) for index in range(nodes.GetNumberOfItems()))
    return {(node.GetID(), node.GetName()) for node in found}
