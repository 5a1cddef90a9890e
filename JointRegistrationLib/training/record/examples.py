"""Pictures of two validation pairs as the networks stand: fixed, moving and warped, a row a pair."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ...core.geometry import Grid
from ...files.output import atomic_file
from ...networks.model import AVSM
from ...ops import maps
from ..config import TrainingConfig
from ..data.batches import stored_pair
from ..data.labels import STRUCTURES
from ..data.pool import Pool
from ..validation import choose_pairs, predicted

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FloatArray = npt.NDArray[np.float32]

#: Structures whose outlines are drawn, and their colours.
_OUTLINES = {"femur": "#56b4e9", "femoral cartilage": "#f0e442", "tibia": "#56b4e9", "tibial cartilage": "#f0e442"}
_WIDE = 4.0  # inches, a picture


@dataclass(frozen=True)
class Example:
    """One sagittal slice of a pair; images (H, W), distances (C, H, W) mm, C = 0 without label maps."""

    title: str
    images: dict[str, FloatArray]
    distances: dict[str, FloatArray]
    pixel_mm: tuple[float, float]


def write_examples(path: Path, model: AVSM, pool: Pool, config: TrainingConfig) -> bool:
    """Draw the first longitudinal and the first cross-subject validation pair.

    Returns:
        False, and nothing is written, where matplotlib is not installed or the pool holds one scan.
    """
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415 training goes on without it
    except ImportError:
        return False
    examples = make_examples(model, pool, config)
    if not examples:
        return False
    figure = Figure(figsize=(3 * _WIDE, len(examples) * _WIDE), layout="constrained", facecolor="white")
    for row, example in zip(figure.subplots(len(examples), 3, squeeze=False), examples, strict=True):
        for axes, name in zip(row, example.images, strict=True):
            _draw(axes, example, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as temporary:
        figure.savefig(temporary, dpi=80)
    return True


@torch.no_grad()
def make_examples(model: AVSM, pool: Pool, config: TrainingConfig) -> list[Example]:
    """Compute what :func:`write_examples` draws."""
    model.eval()
    examples = []
    for kind, pairs in zip(("longitudinal", "cross-subject"), choose_pairs(pool, 1), strict=True):
        for fixed, moving in pairs[:1]:
            title = f"{kind}: {pool.scans[fixed].name} fixed, {pool.scans[moving].name} moving"
            batch = stored_pair(pool, fixed, moving)
            output = predicted(model, batch, pool.grid, config, config.affine_steps, config.vsvf_steps)
            distances = {"fixed": batch.fixed_distances, "moving": batch.moving_distances}
            distances["warped"] = maps.sample(batch.moving_distances, pool.grid, output.map_ras, outside=None)
            images = {"fixed": batch.fixed, "moving": batch.moving, "warped": output.warped}
            examples.append(_example(title, images, distances, pool.grid))
    model.train()
    return examples


def _example(title: str, images: dict[str, Tensor], distances: dict[str, Tensor], grid: Grid) -> Example:
    number = _slice_number(distances["fixed"][0])
    return Example(
        title,
        {name: image[0, 0, number].float().cpu().numpy() for name, image in images.items()},
        {name: field[0, :, number].float().cpu().numpy() for name, field in distances.items()},
        (grid.spacing_mm[1], grid.spacing_mm[0]),
    )


def _slice_number(distances: Tensor) -> int:
    """The sagittal slice with the most cartilage of femur and tibia; without labels that at a third."""
    if len(distances) == 0:
        return distances.shape[1] // 3  # the middle one shows the notch
    names = list(STRUCTURES)
    both = distances[[names.index("femoral cartilage"), names.index("tibial cartilage")]] < 0
    return int(both.sum(dim=(0, 2, 3)).argmax())


def _draw(axes: Axes, example: Example, name: str) -> None:
    image = example.images[name]
    height, width = (n * s for n, s in zip(image.shape, example.pixel_mm, strict=True))
    box = (0.0, width, 0.0, height)
    axes.set_axis_off()
    axes.set_title(example.title if name == "fixed" else name, fontsize=9)
    labelled = min(len(field) for field in example.distances.values()) > 0
    if name == "warped" and not labelled:
        difference = image - example.images["fixed"]
        axes.imshow(difference, cmap="RdBu", vmin=-1, vmax=1, origin="lower", extent=box)
        axes.set_title("warped minus fixed", fontsize=9)
        return
    axes.imshow(image, cmap="gray", vmin=0, vmax=1, origin="lower", extent=box)
    if labelled:
        _outline(axes, example.distances["fixed"], box, "solid")
        if name != "fixed":
            _outline(axes, example.distances[name], box, "dashed")
            axes.set_title(f"{name}; fixed solid, {name} dashed", fontsize=9)


def _outline(axes: Axes, distances: FloatArray, box: tuple[float, float, float, float], style: str) -> None:
    for structure, colour in _OUTLINES.items():
        field = distances[list(STRUCTURES).index(structure)]
        if (field < 0).any():
            axes.contour(field, levels=[0.0], colors=colour, linewidths=1.0, linestyles=style, extent=box)
