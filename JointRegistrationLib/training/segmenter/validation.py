"""How well the segmenter finds the structures of knees that it was not trained on."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...core.figures.metrics import JointCounts, dice
from ...core.geometry import transform_points
from ...files.images import read_image
from ...networks.predict import canonical_lattice, on_lattice
from ...networks.segmenter import CLASSES, Segmenter
from ...ops.separable.resampling import to_tensor
from ...registration.preprocessing import normalize
from ..data.augment import generator
from .config import SegmentTrainingConfig
from .knee_codes import CLASS_OF_CODE, Knee
from .synthesis import Sample, plain_sample

Predict = Callable[[Tensor], Tensor]

_BONES = ("femur", "tibia", "patella")


def validate_segmenter(
    model: Segmenter, knees: tuple[Knee, ...], config: SegmentTrainingConfig, device: torch.device
) -> dict[str, float]:
    """Dice of every structure, by kind of image.

    Returns:
        ``dess_bones``, ``dess_cartilage``, the same for ``random`` contrast, every structure on DESS-like images by
        its name, ``lowfield_femur`` ... if that image is there, and ``score``, the mean of the first four.
    """
    model.eval()
    shrink = config.data.shrink
    predict = functools.partial(predicted_classes, model, coarse=shrink > 1, device=device)
    found: dict[str, list[dict[str, float]]] = {"dess": [], "random": []}
    arbitrary = replace(config.data.synthesis, dess_like=0.0)
    for n, knee in enumerate(knees):
        if knee.dess is not None:
            found["dess"].append(_dice(predict, dess_sample(knee, knee.dess, shrink)))
        sample = plain_sample(knee, arbitrary, shrink, generator(1_000_000, n))
        found["random"].append(_dice(predict, sample))
    figures: dict[str, float] = {}
    for kind, each in found.items():
        for name, value in _means(each).items():
            figures[f"{kind}_{name}"] = value
    figures.update(_real(predict, Path(config.data.real), shrink))
    figures["score"] = float(np.mean([v for k, v in figures.items() if k.endswith(("_bones", "_cartilage_mean"))]))
    model.train()
    return figures


def dess_sample(knee: Knee, dess: Tensor, shrink: int) -> Sample:
    """The stored image of a validation knee and what is in it."""
    codes = knee.codes[::2, ::2, ::2]
    classes = CLASS_OF_CODE[codes.long()]
    target = torch.stack([(classes == n).float() for n in range(len(CLASSES))])[None]
    image = dess[None, None].float() / 255
    if shrink > 1:
        image, target = F.avg_pool3d(image, shrink), F.avg_pool3d(target, shrink)
    return Sample(image, target)


@torch.no_grad()
def predicted_classes(model: Segmenter, image: Tensor, *, coarse: bool, device: torch.device) -> Tensor:
    """Class numbers (N, d, h, w) on the image's lattice: by the trunk alone if that is a coarse one."""
    image = image.to(device)
    logits: Tensor = model.coarse(image) if coarse else model(image)[1]
    return logits.argmax(dim=1).cpu()


def _dice(predict: Predict, sample: Sample) -> dict[str, float]:
    found = dice(predict(sample.image).numpy(), sample.target.argmax(dim=1).numpy(), range(1, len(CLASSES)))
    return {CLASSES[number]: value for number, value in found.items()}


def _means(each: list[dict[str, float]]) -> dict[str, float]:
    if not each:
        return {}
    present = {name: [row[name] for row in each if not np.isnan(row[name])] for name in each[0]}
    means = {name: float(np.mean(values)) if values else float("nan") for name, values in present.items()}
    return {
        "bones": float(np.mean([means[name] for name in _BONES])),
        "cartilage_mean": float(np.mean([value for name, value in means.items() if "cartilage" in name])),
        **{name.replace(" ", "_"): value for name, value in means.items()},
    }


def _real(predict: Predict, folder: Path, shrink: int) -> dict[str, float]:
    """Bones of the low-field knee, on the canonical lattice about the middle of its field of view."""
    files = folder / "lowfield_t2w.nii.gz", folder / "lowfield_bones.nii.gz"
    if not all(file.exists() for file in files):
        return {}
    image, bones = (read_image(file) for file in files)
    size = 192 // shrink, 192 // shrink, 80 // shrink
    lattice = canonical_lattice(image.grid, size)
    values = on_lattice(to_tensor(normalize(image.array)), image.grid, lattice)
    found = predict(values)[0]
    k, j, i = np.meshgrid(*(np.arange(n) for n in lattice.shape), indexing="ij")
    points = transform_points(bones.grid.ras_to_ijk @ lattice.ijk_to_ras, np.stack([i, j, k], axis=-1))
    place = np.round(points).astype(int)
    inside = np.all((place >= 0) & (place < np.asarray(bones.grid.size_ijk)), axis=-1)
    place[~inside] = 0
    truth = np.where(inside, bones.array[place[..., 2], place[..., 1], place[..., 0]], 0)
    counts = JointCounts(found.numpy(), truth)
    return {
        f"lowfield_{name}": counts.dice(n, number)
        for n, (name, number) in enumerate((("femur", 1), ("tibia", 3), ("patella", 5)), start=1)
    }
