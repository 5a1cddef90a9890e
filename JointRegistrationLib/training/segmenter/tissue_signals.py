"""Random signals of every tissue: about those of a DESS, or those of any sequence, or none that there is."""

from __future__ import annotations

import torch
from torch import Tensor

from ...phantom import TISSUES
from ...phantom.tissues.contrast import DESS_SIGNAL
from .disturbances import between
from .knee_codes import CODE, CODES, OUTSIDE

_BONES = ("femur", "tibia", "patella")
_CARTILAGES = ("femoral", "medial tibial", "lateral tibial", "patellar")
#: Tissues of short T2, dark in nearly every image.
_DARK = ("tendon", "meniscus", "ligament", "cortical bone")
_FATS = ("fat", "deep fat", "hoffa")
#: Natural deviation of the texture in each tissue.
_TEXTURE = {"fat": 0.25, "deep fat": 0.25, "hoffa": 0.25, "marrow": 0.3, "muscle": 0.12, "ligament": 0.3, "tendon": 0.4}

Signals = dict[str, float]


def random_signals(dess: bool, g: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Two signals of every code (there may be two shades of a tissue), 1 about the brightest, and its texture."""
    tissue = _dess(g) if dess else _other(g)
    first = _by_code(tissue, g, spread=0.06)
    second = _by_code(tissue, g, spread=0.25)
    second[: len(TISSUES)] *= torch.exp(0.3 * torch.randn(len(TISSUES), generator=g))
    for bone in _BONES:  # oedema or sclerosis in the second shade, now and then
        if torch.rand(1, generator=g) < 0.3:
            second[CODE[f"{bone} marrow"]] = between(0.0, 1.0, g) * float(first.max())
    texture = torch.tensor([_TEXTURE.get(name.rpartition(" ")[2], 0.08) for name in CODES]) * between(0.0, 1.5, g)
    top = float(first.max())
    return first / top, second / top, texture


def _dess(g: torch.Generator) -> Signals:
    """Water excitation: fat and marrow dark, more or less completely; fluid brightest."""
    tissue = {name: value * float(torch.exp(0.18 * torch.randn(1, generator=g))) for name, value in DESS_SIGNAL.items()}
    fat = between(0.5, 2.0, g) if torch.rand(1, generator=g) < 0.7 else between(1.0, 4.0, g)
    for name in (*_FATS, "marrow"):
        tissue[name] *= fat
    return tissue


def _other(g: torch.Generator) -> Signals:
    """Fat bright (T1, T2, proton density), fat suppressed, or anything."""
    kind = float(torch.rand(1, generator=g))
    tissue = {name: between(0.0, 1.0, g) for name in TISSUES}
    if kind < 0.75:
        bright = kind < 0.45
        fat = between(0.55, 1.0, g) if bright else between(0.03, 0.35, g)
        tissue.update({name: fat * between(0.8, 1.1, g) for name in _FATS})
        tissue["marrow"] = fat * between(0.55, 1.1, g)
        tissue["muscle"] = between(0.12, 0.5, g)
        tissue["cartilage"] = between(0.15, 0.9, g)
        tissue["fluid"] = between(0.15, 1.0, g)
        tissue["skin"] = between(0.2, 0.8, g)
    if kind < 0.9:
        tissue.update({name: between(0.0, 0.3, g) for name in _DARK})
        tissue["cortical bone"] = between(0.0, 0.15, g)
        tissue["air"] = between(0.0, 0.05, g)
    return tissue


def _by_code(tissue: Signals, g: torch.Generator, spread: float) -> Tensor:
    def varied(value: float) -> float:
        return value * float(torch.exp(spread * torch.randn(1, generator=g)))

    signal = torch.zeros(len(CODES))
    for name in TISSUES:
        signal[CODE[name]] = tissue[name]
    lesion = between(0.0, 1.2, g) * max(tissue.values())
    for bone in _BONES:
        signal[CODE[f"{bone} marrow"]] = varied(tissue["marrow"])
        signal[CODE[f"{bone} cortex"]] = varied(tissue["cortical bone"])
        signal[CODE[f"{bone} lesion"]] = varied(lesion)
    for cartilage in _CARTILAGES:
        signal[CODE[f"{cartilage} cartilage"]] = varied(tissue["cartilage"])
    signal[OUTSIDE] = 0.0 if torch.rand(1, generator=g) < 0.7 else between(0.0, 1.0, g)
    return signal
