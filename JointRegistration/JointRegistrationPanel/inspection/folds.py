"""The list of a run's folds: a click on one, or *Next fold*, centres the views on it."""

from __future__ import annotations

from typing import Any

import qt

from JointRegistrationMRML.inspection.session import Inspection
from JointRegistrationMRML.measure.folds import Fold

from ..text import _

#: More folds than these are not listed; the map is of no use then.
_LISTED = 200
_COLUMNS = (_("Position (mm)"), _("Voxels"), "mm³", _("Lowest J"))


class FoldsTable:
    """Lists the folds of ``inspection``, once :meth:`show` is called.

    Args:
        ui: the form's controls.
    """

    def __init__(self, ui: Any) -> None:
        self._table, self._button = ui.foldsTable, ui.nextFoldButton
        self.inspection: Inspection | None = None
        self._table.setColumnCount(len(_COLUMNS))
        self._table.setHorizontalHeaderLabels(list(_COLUMNS))
        self._table.horizontalHeader().setSectionResizeMode(qt.QHeaderView.ResizeToContents)
        self._table.horizontalHeader().setStretchLastSection(True)
        self._table.verticalHeader().setVisible(False)
        self._button.clicked.connect(lambda checked=False: self._goTo(None))
        self._table.cellClicked.connect(lambda row, column: self._goTo(row))

    def show(self) -> None:
        """List the folds of the run, the largest first."""
        folds = [] if self.inspection is None else self.inspection.folds
        listed = folds[:_LISTED]
        self._table.setRowCount(len(listed))
        for row, fold in enumerate(listed):
            for column, text in enumerate(_cells(fold)):
                self._table.setItem(row, column, qt.QTableWidgetItem(text))
        self._button.setText(_("Next fold ({count} in all)").format(count=len(folds)))

    def _goTo(self, index: int | None) -> None:
        """Centre the views on a fold; None for the next one."""
        if self.inspection is None:
            return
        fold = self.inspection.nextFold() if index is None else self.inspection.goToFold(index)
        if fold is None:
            return
        row = self.inspection.folds.index(fold)
        if row < self._table.rowCount:
            self._table.selectRow(row)


def _cells(fold: Fold) -> tuple[str, ...]:
    place = "  ".join(
        f"{pair[x >= 0]} {abs(x):.1f}" for pair, x in zip(("LR", "PA", "IS"), fold.position_ras, strict=True)
    )
    return place, str(fold.voxels), f"{fold.volumeMm3:.1f}", f"{fold.lowestJ:.2f}"
