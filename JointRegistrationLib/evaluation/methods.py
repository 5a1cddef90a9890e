"""The methods to compare, each by a name that may carry settings: ``avsm:refine=20``."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from ..core.config import METHODS, NetworkConfig, RegistrationConfig
from ..core.errors import ConfigError

#: The name of doing nothing: images where their headers put them.
NO_REGISTRATION = "none"

_SETTINGS = {"avsm": ("affine_steps", "vsvf_steps", "refine"), "avsm-affine": ("affine_steps",)}


@dataclass(frozen=True)
class Method:
    """A method under the name it was asked for.

    ``registers`` False: images are left where their headers put them, and ``config`` only says how alike
    they are to be measured.
    """

    name: str
    config: RegistrationConfig
    registers: bool = True


def parse_methods(text: str, base: RegistrationConfig) -> tuple[Method, ...]:
    """Methods from a comma-separated list of ``NAME[:SETTING=NUMBER]...``; each once, in this order.

    Args:
        text: e.g. ``"none,affine-opt,avsm:vsvf_steps=3:refine=20"``; without ``refine`` nothing is refined, and
            no method stands in for another.
        base: all other settings.

    Raises:
        ConfigError: for an unknown method or setting, or a value out of range.
    """
    names = dict.fromkeys(name.strip() for name in text.split(",") if name.strip())
    if not names:
        raise ConfigError(f"--methods: no method in {text!r}; give names separated by commas, e.g. none,vsvf-opt")
    return tuple(_method(name, base) for name in names)


def _method(text: str, base: RegistrationConfig) -> Method:
    method, *settings = text.split(":")
    if method not in (NO_REGISTRATION, *METHODS):
        raise ConfigError(f"method {text!r}: {method!r} is unknown; choose of {', '.join((NO_REGISTRATION, *METHODS))}")
    allowed = _SETTINGS.get(method, ())
    network = dict(_setting(text, setting, allowed) for setting in settings)
    if method == NO_REGISTRATION:
        return Method(text, base, registers=False)
    return Method(text, dataclasses.replace(base, method=method, network=_network(text, base.network, network)))


def _setting(text: str, setting: str, allowed: tuple[str, ...]) -> tuple[str, int]:
    name, _, value = setting.partition("=")
    if not allowed:
        raise ConfigError(f"method {text!r}: only {' and '.join(_SETTINGS)} take settings; leave {setting!r} out")
    if name not in allowed:
        raise ConfigError(f"method {text!r}: setting {name!r} is unknown; it takes {', '.join(allowed)}")
    if not value.isdecimal():
        raise ConfigError(f"method {text!r}: {name} needs a whole number, e.g. {name}=3, but {value!r} was given")
    return name, int(value)


def _network(text: str, base: NetworkConfig, settings: dict[str, int]) -> NetworkConfig:
    try:
        return dataclasses.replace(
            base,
            affine_steps=settings.get("affine_steps", base.affine_steps),
            vsvf_steps=settings.get("vsvf_steps", base.vsvf_steps),
            refine=settings.get("refine", 0),
            fallback=False,
        )
    except ConfigError as error:
        raise ConfigError(f"method {text!r}: {error}") from error
