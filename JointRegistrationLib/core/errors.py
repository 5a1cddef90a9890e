"""Errors a caller can act on: each names the input, what was found, and what to do.

Every error the library raises on purpose derives from :class:`JointRegistrationError`; the command
line turns its ``exit_code`` into the process's status. Anything else that escapes is a bug.
"""

from __future__ import annotations


class JointRegistrationError(Exception):
    """Base of all deliberate errors. ``exit_code`` is what the command line returns."""

    exit_code: int = 2


class InputError(JointRegistrationError):
    """An image, label map, mask or landmark list cannot be used as given."""


class GeometryError(InputError):
    """A grid is not a valid sampling of space, or two grids do not fit each other."""


class ConfigError(InputError):
    """A configuration value is unknown or out of range."""


class FileError(InputError):
    """A file cannot be read or written."""


class CheckpointError(InputError):
    """Weights are missing, truncated, tampered with, or made for another architecture."""


class RegistrationCancelled(JointRegistrationError):
    """The caller asked to stop; nothing was written and nothing was changed."""

    exit_code = 3


class ResourceError(JointRegistrationError):
    """Memory, disk space or the requested device is not there."""

    exit_code = 4


class OutOfMemory(ResourceError):
    """Memory ran out during a run, on the GPU or in the computer: less of it may do."""
