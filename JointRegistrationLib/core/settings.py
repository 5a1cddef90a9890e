"""The settings that panel, console and command line offer, each said once: its place in the configuration, its limits.

A new one is an entry of :data:`SETTINGS`, a control in the panel's form, and a word in the docs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any

from .config import DETAIL_WEIGHTS, DEVICES, METHODS, SIDES, SIMILARITIES, RegistrationConfig, detail_of, with_detail
from .serialization import converted

_DEFAULTS = RegistrationConfig()
_DEFAULT_VOXELS = _DEFAULTS.preprocess.max_working_voxels
_DEFAULT_MILLIONS = round(_DEFAULT_VOXELS / 1e6, 2)


@dataclass(frozen=True)
class Setting:
    """One setting as a person gives it.

    Args:
        path: where it is in the configuration, e.g. ``"network.refine"``.
        text: what it does, for the command line's help; ``{default}`` stands for its default.
        choices: the words it is one of; empty for a number or a switch.
        limits: the least and the largest number that the panel offers; the configuration may allow more.
        shown: the value that a person sees, from the configuration's.
        stored: the configuration's value, from the one a person gave and the configuration's before.
        also: another path that follows, and its value from the one a person gave.
    """

    path: str
    text: str
    choices: tuple[str, ...] = ()
    limits: tuple[float, float] | None = None
    shown: Callable[[Any], Any] = lambda value: value
    stored: Callable[[Any, Any], Any] = lambda value, _before: value
    also: tuple[str, Callable[[Any], Any]] | None = None

    def value(self, config: RegistrationConfig) -> Any:
        """The value that shows ``config``."""
        return self.shown(_get(config, self.path))

    @property
    def default(self) -> Any:
        """The value that shows the default configuration."""
        return self.value(_DEFAULTS)

    def put(self, config: RegistrationConfig, value: Any) -> RegistrationConfig:
        """``config`` with ``value``."""
        config = _put(config, self.path, self.stored(value, _get(config, self.path)))
        return config if self.also is None else _put(config, self.also[0], self.also[1](value))


def _get(config: Any, path: str) -> Any:
    return reduce(getattr, path.split("."), config)


def _put(config: Any, path: str, value: Any) -> Any:
    name, _, rest = path.partition(".")
    return dataclasses.replace(config, **{name: _put(getattr(config, name), rest, value) if rest else value})


def _working_voxels(millions: float, _before: int) -> int:
    """Two decimals are shown; the first value stands for the library's exact one."""
    return _DEFAULT_VOXELS if abs(millions - _DEFAULT_MILLIONS) < 0.005 else round(millions * 1e6)


def _geodesic_regularity(regularity: float) -> float:
    """That of the stationary velocity is shown; the geodesic's own keeps its ratio to it."""
    return regularity * _DEFAULTS.lddmm.regularity / _DEFAULTS.vsvf.regularity


#: By name. The command line spells it with dashes, panel and console as :func:`camel_case`.
SETTINGS = {
    "method": Setting("method", "See above; {default} if not given.", METHODS),
    "refine": Setting(
        "network.refine", "Iterations that refine avsm's prediction; {default} if not given.", limits=(0, 500)
    ),
    "detail": Setting(
        "vsvf.velocity",
        "How much detail refinement and vsvf-opt follow: fine (default), or smooth for small changes of one knee and "
        "for noisy images.",
        tuple(DETAIL_WEIGHTS),
        shown=detail_of,
        stored=lambda detail, velocity: with_detail(velocity, detail),
    ),
    "similarity": Setting(
        "vsvf.similarity.name",
        "What a deformation makes more alike; {default} if not given.",
        SIMILARITIES,
        also=("lddmm.similarity.name", lambda name: name),
    ),
    "regularity": Setting(
        "vsvf.regularity",
        "How stiff a deformation is; {default} if not given (lddmm-opt's own in proportion).",
        limits=(0, 10000),
        also=("lddmm.regularity", _geodesic_regularity),
    ),
    "landmark_weight": Setting(
        "landmarks.weight",
        "How hard landmark pairs pull at the deformation; 0 not at all, {default} if not given.",
        limits=(0, 1000),
    ),
    "side": Setting("network.side", "Which knee it is; auto (default) finds out.", SIDES),
    "check_side": Setting("check_side", "Refuse a left knee on a right one where both are certain (default)."),
    "affine_steps": Setting(
        "network.affine_steps", "How often the affine network is applied; {default} if not given.", limits=(1, 20)
    ),
    "vsvf_steps": Setting(
        "network.vsvf_steps", "How often the deformation network is applied; {default} if not given.", limits=(1, 10)
    ),
    "working_millions": Setting(
        "preprocess.max_working_voxels",
        "The images are compared on at most so many million voxels; {default} if not given.",
        limits=(0.05, 20),
        shown=lambda voxels: round(voxels / 1e6, 2),
        stored=_working_voxels,
    ),
    "device": Setting("device", "Where to compute; auto (default) takes a GPU if there is.", DEVICES),
}


def camel_case(name: str) -> str:
    """The name of a setting in panel and console: ``checkSide`` for ``check_side``."""
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)


def with_settings(config: RegistrationConfig, values: Mapping[str, Any]) -> RegistrationConfig:
    """``config`` with ``values``, by the names of :data:`SETTINGS`; one that is None stays as it is.

    Raises:
        ConfigError: for a wrong type or a value out of range.
    """
    for name, value in values.items():
        if value is not None:
            setting = SETTINGS[name]
            config = setting.put(config, converted(type(setting.default), value, name))
    return config
