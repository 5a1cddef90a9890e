"""What the figures of a run say at first sight, as a sentence before the figures themselves."""

from __future__ import annotations

import math
from collections.abc import Sequence

from JointRegistrationLib.core.result import RegistrationResult
from JointRegistrationMRML.run.registration_nodes import Overlap
from JointRegistrationMRML.run.results_table import extremeReasons

from .text import _

#: Smaller changes of a correlation or of a Dice are neither better nor worse.
_SAME = 0.002


def verdict(result: RegistrationResult, overlaps: Sequence[Overlap] = ()) -> str:
    """One or several sentences: what speaks against the result, or that nothing does.

    The figures cannot tell more: whether anatomy lies on anatomy is for a person to see.

    Args:
        result: of the run.
        overlaps: of the segments, if a fixed segmentation was given.
    """
    against = _against(result, overlaps)
    if against:
        return _("Look closely: {reasons}.").format(reasons="; ".join(against))
    return _("Nothing in the figures speaks against this result. Look at the images all the same (Inspect).")


def _against(result: RegistrationResult, overlaps: Sequence[Overlap]) -> list[str]:
    reasons = []
    gained = result.similarity_after - result.similarity_before
    if gained < -_SAME:
        reasons.append(_("the images are less alike than before"))
    elif math.isfinite(gained) and gained <= _SAME:
        reasons.append(_("the images are no more alike than before"))
    worse = [overlap.name for overlap in overlaps if overlap.after < overlap.before - _SAME]
    if worse:
        reasons.append(_("less overlap than before: {segments}").format(segments=", ".join(worse)))
    if result.folds.count > 0:
        reasons.append(_("the map is folded in places (Inspect, Folds)"))
    return reasons + extremeReasons(result)
