"""``segment``: labels on any grid, a closed sheet of cartilage, the side, the command."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import nn

from JointRegistrationLib.cli import cli
from JointRegistrationLib.core.errors import CheckpointError, GeometryError, InputError, RegistrationCancelled
from JointRegistrationLib.core.geometry import Grid, transform_points
from JointRegistrationLib.core.image import Image
from JointRegistrationLib.core.progress import Reporter
from JointRegistrationLib.core.structures import LABELS, UNSURE
from JointRegistrationLib.files import read_labels, write_image
from JointRegistrationLib.networks import cache, checkpoint, weights
from JointRegistrationLib.networks.segmenter import ARCHITECTURE, CLASSES, Segmenter, SegmenterConfig
from JointRegistrationLib.ops.separable import along_axes
from JointRegistrationLib.segmentation.segment import (
    confidences,
    found_side,
    knee_lattice,
    labels_on_grid,
    segment,
)
from Testing.Support.grids import reorient_array, reoriented

TINY = SegmenterConfig((6.0, 3.0, 3.0), (2, 2, 2, 2), 2)
#: Grey value by class for the stand-in network, 0 to 1.
GREY = torch.linspace(0, 1, len(CLASSES))


class ByGrey(nn.Module):
    """A stand-in for the network: the class whose grey value is nearest."""

    def __init__(self, spacing_kji_mm: tuple[float, ...] = (1.4, 0.729, 0.729)) -> None:
        super().__init__()
        self.config = SegmenterConfig(spacing_kji_mm)
        self.seen: list[tuple[int, ...]] = []

    def coarse(self, image: torch.Tensor) -> torch.Tensor:
        self.seen.append(tuple(image.shape[2:]))
        return -((image - GREY.view(1, -1, 1, 1, 1)) * 40).square()

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.coarse(image), self.coarse(image)


def use(monkeypatch: pytest.MonkeyPatch, model: nn.Module) -> None:
    monkeypatch.setattr(cache, "kept", lambda load, path, device: model)


def oblique_grid(
    size: tuple[int, int, int] = (48, 40, 36), spacing: tuple[float, float, float] = (2.5, 3.0, 2.0)
) -> Grid:
    """Axes P, I, R (as a sagittal scan), turned by some degrees about each."""
    a, b, c = 0.2, -0.15, 0.1
    turn = (
        np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
        @ np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
        @ np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    )
    matrix = np.eye(4)
    matrix[:3, :3] = turn @ np.array([[0, 0, 1], [-1, 0, 0], [0, -1, 0]]) * spacing
    matrix[:3, 3] = -(matrix[:3, :3] @ (np.asarray(size) - 1) / 2) + [70.0, 10.0, -30.0]
    return Grid.from_ijk_to_ras(size, matrix)


def blocks(grid: Grid) -> tuple[Image, np.ndarray]:
    """Eight octants about the middle, each another class, and the classes."""
    k, j, i = np.meshgrid(*(np.arange(n) for n in grid.shape), indexing="ij")
    points = transform_points(grid.ijk_to_ras, np.stack([i, j, k], axis=-1)) - grid.center_ras
    own = points @ np.asarray(grid.direction_ras)
    classes = (own > 0).astype(int) @ [1, 2, 4]
    return Image(GREY.numpy()[classes].astype(np.float32) * 700 + 3, grid), classes


def test_labels_lie_where_the_structures_are_on_an_oblique_grid(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, ByGrey())
    image, classes = blocks(oblique_grid())
    found = segment(image).labels
    assert found.grid == image.grid and found.array.dtype == np.uint8
    wanted = np.array([LABELS.get(name, 0) for name in CLASSES])[classes]
    tibial = np.isin(wanted, (4, 10))  # which of the two is medial is told by where they lie, not by grey
    assert np.mean(found.array[~tibial] == wanted[~tibial]) > 0.9
    inner = tuple(slice(3, n - 3) for n in wanted.shape)
    middle = [np.abs(np.arange(n) - (n - 1) / 2) > 3 for n in wanted.shape]
    away = middle[0][:, None, None] & middle[1][None, :, None] & middle[2][None, None, :]
    same = (found.array == wanted) | tibial
    assert same[inner][away[inner]].all()


def test_the_same_image_stored_otherwise_gives_the_same_labels() -> None:
    torch.manual_seed(0)
    model = Segmenter(TINY).eval()
    grid = oblique_grid((40, 44, 24), (3.0, 3.0, 4.0))
    rng = np.random.default_rng(0)
    array = rng.random(grid.shape).astype(np.float32)
    axes, flips = (2, 0, 1), (True, False, True)
    other = Image(reorient_array(array, axes, flips), reoriented(grid, axes, flips))
    with pytest.MonkeyPatch.context() as patch:
        use(patch, model)
        first, second = segment(Image(array, grid)), segment(other)
    assert len(np.unique(first.labels.array)) > 1
    agreement = reorient_array(first.labels.array, axes, flips) == second.labels.array
    assert agreement.mean() > 0.999
    assert first.confidence == pytest.approx(second.confidence, abs=1e-3)


def test_on_a_wide_image_the_knee_is_looked_for_first(monkeypatch: pytest.MonkeyPatch) -> None:
    model = ByGrey((6.0, 5.0, 5.0))
    use(monkeypatch, model)
    grid = Grid((90, 90, 40), (5.0, 5.0, 6.0))
    array = np.zeros(grid.shape, np.float32)
    array[20:30, 60:80, 60:80] = 1.0  # patellar cartilage by its grey
    found = segment(Image(array, grid))
    wide, narrow = model.seen[0], model.seen[1]
    assert all(2 * a >= b for a, b in zip(wide, narrow, strict=True)) and narrow[1] * 5.0 < 300
    assert (found.labels.array[21:29, 61:79, 61:79] == LABELS["patellar cartilage"]).all()
    assert not found.labels.array[:15].any()


@pytest.mark.parametrize("beside", ["femur", "tibia"])
def test_a_thin_sheet_of_cartilage_gets_no_hole_where_bone_and_background_are_even(beside: str) -> None:
    shares = torch.zeros(len(CLASSES), 16, 32, 32)
    shares[0], shares[CLASSES.index(beside), :, :16] = 1.0, 1.0
    shares[0, :, :16] = 0.0
    sheet = CLASSES.index("femoral cartilage")
    weak = torch.rand(16, 32, generator=torch.Generator().manual_seed(0)) * 0.3 + 0.25
    for row in (15, 16):
        shares[:, :, row] = 0
        shares[sheet, :, row] = weak
        shares[0, :, row] = shares[CLASSES.index(beside), :, row] = (1 - weak) / 2
    lattice = Grid((32, 32, 16), (1.0, 1.0, 1.0))
    plain = shares.argmax(dim=0)
    assert (plain[:, 15] != sheet).any()
    labels = labels_on_grid(shares, lattice, lattice, Reporter())
    assert (labels[:, 15] == LABELS["femoral cartilage"]).all()
    assert (labels[:, :14] == LABELS[beside]).all() and (labels[:, 18:] == 0).all()


def test_no_cartilage_appears_where_bone_borders_on_background() -> None:
    shares = torch.zeros(len(CLASSES), 16, 32, 32)
    shares[CLASSES.index("femur"), :, :16], shares[0, :, 16:] = 0.99, 0.99
    shares[CLASSES.index("femoral cartilage")] = 0.01
    fine = Grid((64, 64, 32), (0.5, 0.5, 0.5), (-0.25, -0.25, -0.25))
    labels = labels_on_grid(shares, Grid((32, 32, 16)), fine, Reporter())
    assert set(np.unique(labels)) == {0, LABELS["femur"]}


def test_the_side_is_that_of_the_lateral_cartilage() -> None:
    shares = torch.zeros(len(CLASSES), 20, 8, 8)
    shares[CLASSES.index("medial tibial cartilage"), 2:8] = 1
    shares[CLASSES.index("lateral tibial cartilage"), 12:18] = 1
    assert found_side(shares).side == "right" and found_side(shares).certain
    assert found_side(shares.flip(1)).side == "left" and found_side(shares.flip(1)).certain
    both = (shares + shares.flip(1)) / 2
    assert not found_side(both).certain
    assert found_side(torch.zeros_like(shares)).log_odds == 0


def test_confidence_falls_with_doubt_and_is_nothing_for_what_was_not_found() -> None:
    shares = torch.zeros(len(CLASSES), 4, 4, 4)
    shares[0], shares[1, :2], shares[0, :2] = 1.0, 1.0, 0.0
    sure = confidences(shares)
    shares[1, :2], shares[0, :2] = 0.6, 0.4
    assert sure["femur"] == 1.0 and confidences(shares)["femur"] == pytest.approx(0.75)
    assert sure["tibia"] == 0.0


def test_an_image_with_a_sloping_grey_value_keeps_it_on_the_lattice() -> None:
    grid = oblique_grid()
    lattice = knee_lattice(grid, (1.4, 0.729, 0.729))
    assert all(n % m == 0 for n, m in zip(lattice.shape, (16, 32, 32), strict=True))
    slope = np.array([0.3, -0.2, 0.5])

    def values(on: Grid) -> np.ndarray:
        k, j, i = np.meshgrid(*(np.arange(n) for n in on.shape), indexing="ij")
        return transform_points(on.ijk_to_ras, np.stack([i, j, k], axis=-1)) @ slope

    found = along_axes.onto_lattice(torch.from_numpy(values(grid)), grid, lattice).numpy()
    place = np.stack(np.meshgrid(*(np.arange(n) for n in lattice.shape), indexing="ij"), axis=-1)[..., ::-1]
    own = transform_points(grid.ras_to_ijk @ lattice.ijk_to_ras, place)
    inside = np.all((own >= 0) & (own <= np.asarray(grid.size_ijk) - 1), axis=-1)
    outside = np.any((own < -0.6) | (own > np.asarray(grid.size_ijk) - 0.4), axis=-1)
    assert inside.any() and np.abs(found - values(lattice))[inside].max() < 1e-3
    assert (found[outside] == 0).all()


def test_lattices_that_are_not_parallel_are_refused() -> None:
    with pytest.raises(GeometryError, match="canonical_lattice"):
        along_axes.alignment(oblique_grid(), Grid((8, 8, 8)))


def test_a_constant_image_is_refused_and_a_cancel_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, ByGrey())
    grid = oblique_grid()
    with pytest.raises(InputError, match="every voxel"):
        segment(Image(np.ones(grid.shape, np.float32), grid))
    with pytest.raises(RegistrationCancelled):
        segment(blocks(grid)[0], cancelled=lambda: True)


# -- weights and the command ------------------------------------------------------------------------------


def write_tiny_weights(path: Path, architecture: str = ARCHITECTURE) -> Path:
    torch.manual_seed(1)
    configuration = {"spacing_kji_mm": [6.0, 3.0, 3.0], "channels": [2, 2, 2, 2], "fine_channels": 2}
    checkpoint.save_weights(path, Segmenter(TINY), checkpoint.Header(architecture, configuration), half=True)
    return path


def test_the_command_writes_labels_on_the_images_grid_and_says_what_is_unsure(tmp_path: Path) -> None:
    tiny = write_tiny_weights(tmp_path / "tiny.safetensors")
    image, _ = blocks(oblique_grid())
    write_image(image, tmp_path / "knee.nrrd")
    command = ["segment", str(tmp_path / "knee.nrrd"), "-o", str(tmp_path / "labels.nrrd"), "--weights", str(tiny)]
    done = CliRunner().invoke(cli, command)
    assert done.exit_code == 0, done.output
    assert read_labels(tmp_path / "labels.nrrd").grid.is_close(image.grid)
    assert "unsure" in done.output and "lateral tibial cartilage" in done.output
    again = CliRunner().invoke(cli, command)
    assert again.exit_code == 2 and "--overwrite" in again.output
    assert CliRunner().invoke(cli, [*command, "--overwrite", "--quiet"]).exit_code == 0


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="'avsm'"):
        weights.load_segmenter(write_tiny_weights(tmp_path / "other.safetensors", "avsm"))


def test_every_structure_has_a_number_of_its_own() -> None:
    assert set(LABELS) == set(CLASSES[1:]) and len(set(LABELS.values())) == len(LABELS)
    assert UNSURE < 1
