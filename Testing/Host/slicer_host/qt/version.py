"""Which Slicer the stand-ins behave like, where its versions differ."""

from __future__ import annotations

import os

from .application_python import source, sourceVersion

_OLDEST = "5.6"


def emulatedVersion() -> tuple[int, int]:
    """Major and minor version: that of the checkout of Slicer that runs here, else SLICER_HOST_VERSION, else the oldest
    that the extension supports."""
    checkout = source()
    if checkout is not None:
        return sourceVersion(checkout)
    major, minor = os.environ.get("SLICER_HOST_VERSION", _OLDEST).split(".")[:2]
    return int(major), int(minor)
