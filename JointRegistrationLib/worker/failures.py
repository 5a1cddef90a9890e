"""What went wrong in the worker, as errors for its user."""

from __future__ import annotations

from ..core import errors
from ..core.errors import JointRegistrationError
from .messages import Failed


def known_kind(failed: Failed) -> type[JointRegistrationError] | None:
    """The error class of that name, or None if it is not one of ours."""
    kind = getattr(errors, failed.kind, None)
    return kind if isinstance(kind, type) and issubclass(kind, JointRegistrationError) else None


def error_of(failed: Failed) -> JointRegistrationError:
    """The error that the worker told of; one that nobody foresaw asks for a report."""
    kind = known_kind(failed)
    if kind is not None:
        return kind(failed.message)
    return JointRegistrationError(
        f"the registration failed unexpectedly ({failed.kind}: {failed.message}); please report it with the log"
    )


def death(starting: bool, exit_code: int, stderr_tail: str) -> str:
    """Why a run failed whose process ended by itself, and what to do."""
    when = "while it started" if starting else "during the registration"
    last = stderr_tail.strip()
    said = f" Its last words: {last}" if last else ""
    return (
        f"the registration process ended {when} (code {exit_code}); nothing was changed. Register again; if it "
        f"happens again, close other programs or reduce preprocess.max_working_voxels.{said}"
    )
