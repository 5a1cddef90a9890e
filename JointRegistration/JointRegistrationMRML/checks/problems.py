"""What speaks against a run, as a sentence with a way out."""

from __future__ import annotations

from dataclasses import dataclass

from JointRegistrationLib.core.config import RegistrationConfig
from JointRegistrationLib.core.errors import InputError

ERROR, WARNING = "error", "warning"
CENTRE, RESOLUTION = "centre", "resolution"


@dataclass(frozen=True)
class Remedy:
    """A way out for :func:`.remedies.applyRemedy`. ``config``: for "resolution", what to register with instead."""

    kind: str
    label: str
    config: RegistrationConfig | None = None


@dataclass(frozen=True)
class Problem:
    """One thing in the way: an "error" prevents the run, a "warning" does not. ``text`` is a sentence."""

    severity: str
    text: str
    remedy: Remedy | None = None


def sentence(error: InputError) -> str:
    """An error's text with a full stop; it begins with the node's name, which keeps its first letter."""
    return f"{error}."
