"""Which Slicer the stand-ins behave like, where its versions differ: the oldest supported, unless told otherwise."""

from __future__ import annotations

import os

_OLDEST = "5.6"


def emulatedVersion() -> tuple[int, int]:
    """Major and minor version, from the environment variable SLICER_HOST_VERSION."""
    major, minor = os.environ.get("SLICER_HOST_VERSION", _OLDEST).split(".")[:2]
    return int(major), int(minor)
