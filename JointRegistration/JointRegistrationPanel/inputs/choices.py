"""Combo boxes that show words and save short names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from JointRegistrationLib.core.config import DETAIL_WEIGHTS, DEVICES, METHODS, SIDES, SIMILARITIES

from ..text import _

_METHOD_LABELS = {
    "avsm": _("Networks, then refinement"),
    "avsm-affine": _("Networks, affine only"),
    "vsvf-opt": _("Optimisation"),
    "lddmm-opt": _("Optimisation of a geodesic (LDDMM)"),
    "affine-opt": _("Optimisation, affine only"),
}
#: The library's descriptions, which cannot be translated where they are.
METHOD_EXPLANATIONS = {
    "avsm": _("Affine and deformation predicted by the networks, then refined as asked."),
    "avsm-affine": _("Affine only, predicted by the network."),
    "vsvf-opt": _("Affine, then a smooth deformation, both by optimisation."),
    "lddmm-opt": _("Affine, then a geodesic of deformations (LDDMM), both by optimisation."),
    "affine-opt": _("Affine only, by optimisation."),
}
_DEVICE_LABELS = {
    "auto": _("Automatic"),
    "cuda": _("NVIDIA GPU (CUDA)"),
    "mps": _("Apple GPU (MPS)"),
    "cpu": _("Processor (CPU)"),
}
_SIDE_LABELS = {"auto": _("Automatic"), "right": _("Right knee"), "left": _("Left knee")}
_SIMILARITY_LABELS = {
    "likelihood": _("Local agreement, any contrast"),
    "lncc": _("Local correlation"),
    "mk-lncc": _("Local correlation, several windows"),
    "ncc": _("Correlation of the whole image"),
}
_DETAIL_LABELS = {
    "fine": _("Fine: different people"),
    "smooth": _("Smooth: same knee, noise"),
}


def _labelled(names: tuple[str, ...], labels: Mapping[str, str]) -> dict[str, str]:
    """Label by name, ours first; a name of the library without a label shows itself."""
    order = [name for name in labels if name in names] + [name for name in names if name not in labels]
    return {name: labels.get(name, name) for name in order}


METHOD_CHOICES = _labelled(METHODS, _METHOD_LABELS)
DEVICE_CHOICES = _labelled(DEVICES, _DEVICE_LABELS)
SIDE_CHOICES = _labelled(SIDES, _SIDE_LABELS)
SIMILARITY_CHOICES = _labelled(SIMILARITIES, _SIMILARITY_LABELS)
DETAIL_CHOICES = _labelled(tuple(DETAIL_WEIGHTS), _DETAIL_LABELS)


def methodExplanation(method: str) -> str:
    """One sentence on what the method does."""
    return METHOD_EXPLANATIONS[method]


class Choice:
    """Ties a combo box to one string; ``changed`` is called with the name that a person picked."""

    def __init__(self, comboBox: Any, labels: Mapping[str, str], changed: Callable[[str], None]) -> None:
        self._comboBox = comboBox
        self._names = list(labels)
        self._changed = changed
        self._showing = False
        for label in labels.values():
            comboBox.addItem(label)
        comboBox.currentIndexChanged.connect(self._onIndexChanged)

    def show(self, name: str) -> None:
        """Show ``name`` without reporting a change."""
        self._showing = True
        try:
            self._comboBox.setCurrentIndex(self._names.index(name) if name in self._names else 0)
        finally:
            self._showing = False

    def _onIndexChanged(self, index: int) -> None:
        if not self._showing and 0 <= index < len(self._names):
            self._changed(self._names[index])


def makeChoices(ui: Any, changed: Callable[[str, str], None]) -> dict[str, Choice]:
    """The panel's five choices by parameter; ``changed`` is called with the parameter and its new name."""
    labels = {
        "method": METHOD_CHOICES,
        "device": DEVICE_CHOICES,
        "side": SIDE_CHOICES,
        "similarity": SIMILARITY_CHOICES,
        "detail": DETAIL_CHOICES,
    }

    def choice(parameter: str) -> Choice:
        comboBox = getattr(ui, f"{parameter}ComboBox")
        return Choice(comboBox, labels[parameter], lambda name: changed(parameter, name))

    return {parameter: choice(parameter) for parameter in labels}
