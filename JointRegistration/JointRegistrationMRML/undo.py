"""Discard: take away exactly what a run added, and bring back what it changed.

Example::

    outputs = registerVolumes(scene, nodes)
    views = showComparison(scene, outputs, "warped")
    kept = discard(scene, outputs.record, views)  # names of results that stay because they were edited
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .show import ViewRecord, restoreSteps, restoreViews

if TYPE_CHECKING:
    from .transaction import SceneTransaction


@dataclass(frozen=True)
class RunRecord:
    """What a run did to its scene, for :func:`discard`."""

    transaction: SceneTransaction


def discard(scene: Any, record: RunRecord, views: ViewRecord | None = None) -> list[str]:
    """Bring the scene back to what it was before the run, but for what was made or edited since.

    A second run into the same nodes is taken back to the first run's results. Once is enough: a second
    call changes nothing, nor does one after the scene was closed.

    Args:
        scene: the run's scene.
        record: ``RegistrationOutputs.record``.
        views: what :func:`.show.showComparison` returned after the run, to restore the slice views too.

    Returns:
        Names of result nodes that stay because their voxels, transform or segments were edited since.
    """
    if views is not None:
        restoreViews(scene, views)
    return record.transaction.takeBack()


def discardSteps(scene: Any, record: RunRecord, views: ViewRecord | None = None) -> Generator[None, None, list[str]]:
    """:func:`discard` with pauses in which a window stays alive: to be taken to the end."""
    if views is not None:
        yield from restoreSteps(scene, views)
    return (yield from record.transaction.takeBackSteps())
