"""The list of runs that can be inspected: the latest of this session, and those that the scene holds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from JointRegistrationMRML.run.record import FoundRun
from JointRegistrationMRML.run.registration_nodes import RegistrationOutputs
from JointRegistrationMRML.run.saved_runs import findRuns

from ..text import _

Run = FoundRun | RegistrationOutputs


class RunList:
    """Finds the runs of a scene, and offers them in a combo box.

    Args:
        comboBox: of the form.
        scene: the application's.
        picked: called with the run that a person picked.
    """

    def __init__(self, comboBox: Any, scene: Any, picked: Callable[[Run], None]) -> None:
        self._comboBox, self._scene, self._picked = comboBox, scene, picked
        self._showing = False
        self.latest: RegistrationOutputs | None = None
        self.runs: list[Run] = []
        comboBox.currentIndexChanged.connect(self._onPicked)

    def find(self) -> None:
        """Look for the runs anew: the latest first, if its fixed volume is there still."""
        latest = self.latest
        if latest is not None and latest.inputs.fixed.GetScene() is not self._scene:
            latest = self.latest = None
        own = None if latest is None else latest.nodes.transform
        found = [run for run in findRuns(self._scene) if run.transform is not own]
        self.runs = [*([] if latest is None else [latest]), *found]

    def forget(self) -> None:
        """The scene is emptied."""
        self.latest, self.runs = None, []

    def holds(self, run: Run | None) -> bool:
        """Return whether a run is among those found."""
        return any(isSame(one, run) for one in self.runs)

    def show(self, chosen: Run | None) -> None:
        """List the runs, with ``chosen`` as the one that is looked at."""
        combo = self._comboBox
        names = [_nameOf(run) for run in self.runs]
        rows = [row for row, run in enumerate(self.runs) if isSame(run, chosen)]
        self._showing = True
        if names != [combo.itemText(row) for row in range(combo.count)]:
            combo.clear()
            for name in names:
                combo.addItem(name)
        combo.setCurrentIndex(rows[0] if rows else -1)
        self._showing = False

    def _onPicked(self, index: int) -> None:
        if not self._showing and 0 <= index < len(self.runs):
            self._picked(self.runs[index])


def isSame(run: Run | None, other: Run | None) -> bool:
    """Found runs are equal if their nodes are; results, which hold arrays, are told apart as objects."""
    return run is other or (isinstance(run, FoundRun) and run == other)


def _nameOf(run: Run) -> str:
    if isinstance(run, FoundRun):
        return run.name
    moving, fixed = run.inputs.moving.GetName(), run.inputs.fixed.GetName()
    return _("{moving} to {fixed} (latest)").format(moving=moving, fixed=fixed)
