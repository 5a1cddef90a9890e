"""Any exception as an error for the user: what a timer or a button runs must end in a sentence, whatever happens."""

from __future__ import annotations

import logging

from JointRegistrationLib.core.errors import JointRegistrationError, OutOfMemory

from .translation import _

_log = logging.getLogger(__name__)


def asError(error: Exception, doing: str) -> JointRegistrationError:
    """``error`` itself if it is one of ours, otherwise one that says what was being done.

    Args:
        error: what was caught. One that nobody foresaw goes to the log with its traceback.
        doing: in words, in the past, e.g. "the volumes were read".
    """
    if isinstance(error, JointRegistrationError):
        return error
    if isinstance(error, MemoryError):
        return OutOfMemory(_("memory ran out while {doing}; close other programs or volumes").format(doing=doing))
    _log.error("unforeseen while %s", doing, exc_info=error)
    text = _("unexpected {kind} while {doing}: {error}; see the log")
    return JointRegistrationError(text.format(kind=type(error).__name__, doing=doing, error=error))
