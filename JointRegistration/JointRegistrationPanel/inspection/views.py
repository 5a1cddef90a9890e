"""The buttons that open and close views of a run, and the options of those that are open."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import qt
import slicer

from JointRegistrationMRML.inspection.agreement import PARTS, setPartShown
from JointRegistrationMRML.inspection.deformation import SPACING_MM, leavesAffineOut, setSpacing
from JointRegistrationMRML.inspection.images import flick
from JointRegistrationMRML.inspection.outlines import setOutlineShown
from JointRegistrationMRML.inspection.session import VIEWS, Inspection
from JointRegistrationMRML.inspection.volume_change import halfRangeOf, rangeText, setHalfRange
from JointRegistrationMRML.run.registration_nodes import RegistrationOutputs

from ..messages import markOpen
from ..text import _, escaped
from .folds import FoldsTable

_FLICKER_MS = 600
_CARTILAGE = "cartilage"


class ViewsOwner(Protocol):
    """Who is told of views."""

    def openView(self, name: str, **options: Any) -> Any:
        """Open a view of the run, and say so if it cannot be; None then."""

    def closeView(self, name: str) -> None: ...


class ViewButtons:
    """Views of one run at a time.

    Args:
        ui: the form's controls.
        owner: opens and closes the views.
    """

    def __init__(self, ui: Any, owner: ViewsOwner) -> None:
        self._ui, self._owner = ui, owner
        self._inspection: Inspection | None = None
        self._insides: list[tuple[Any, str] | None] = []
        self._structures: list[list[str] | None] = []
        self._showing = False
        self._shownNow = ""
        self._buttons = {name: getattr(ui, f"{name}Button") for name in VIEWS}
        self._tips = {name: button.toolTip for name, button in self._buttons.items()}
        self._parts = dict(zip(PARTS, (ui.bothCheckBox, ui.onlyFixedCheckBox, ui.onlyWarpedCheckBox), strict=True))
        self._flicker = qt.QTimer()
        self._flicker.setInterval(_FLICKER_MS)
        self._flicker.connect("timeout()", self._onFlick)
        self._folds = FoldsTable(ui)
        self._connect()

    def _connect(self) -> None:
        ui = self._ui
        for name, button in self._buttons.items():
            button.clicked.connect(lambda checked=False, name=name: self._onButton(name))
        ui.rangeSlider.valueChanged.connect(self._onRange)
        ui.opacitySlider.valueChanged.connect(self._onOpacity)
        ui.spacingSlider.valueChanged.connect(self._onSpacing)
        ui.insideComboBox.currentIndexChanged.connect(lambda index: self._reopen("jacobian"))
        ui.structureComboBox.currentIndexChanged.connect(lambda index: self._reopen("contours", "agreement"))
        ui.affineCheckBox.clicked.connect(lambda checked=False: self._reopen(*SPACING_MM))
        for box in (ui.surfacesCheckBox, ui.liveCheckBox):
            box.clicked.connect(lambda checked=False: self._reopen("contours"))
        for box in (ui.fixedCheckBox, ui.warpedCheckBox, *self._parts.values()):
            box.clicked.connect(lambda checked=False: self._showParts())

    # -- the run ------------------------------------------------------------------------------------------

    def use(self, inspection: Inspection | None, outputs: RegistrationOutputs | None) -> None:
        """Show the controls for a run; None for no run."""
        self._flicker.stop()
        self._inspection = self._folds.inspection = inspection
        reasons = {} if outputs is None else _reasonsAgainst(outputs)
        for name, button in self._buttons.items():
            button.setEnabled(inspection is not None and name not in reasons)
            button.setToolTip(reasons.get(name, self._tips[name]))
        self._listSegments(outputs)
        self.refresh()

    def _listSegments(self, outputs: RegistrationOutputs | None) -> None:
        sources: list[Any] = []
        if outputs is not None:
            sources = [outputs.inputs.fixedSegmentation, outputs.nodes.warpedSegmentation]
        insides, names = [], []
        for node, side in zip(sources, (_("fixed"), _("warped")), strict=False):
            for segmentId, name in _segmentsOf(node):
                insides.append((f"{name} ({side})", (node, segmentId)))
                names.append(name)
        if outputs is not None and not names:
            names = [name for _id, name in _segmentsOf(outputs.inputs.movingSegmentation)]
        names = list(dict.fromkeys(names))
        cartilage = [name for name in names if _CARTILAGE in name.lower()]
        structures: list[tuple[str, list[str] | None]] = [(_("All segments"), None)]
        structures += [(_("All cartilage"), cartilage)] if len(cartilage) > 1 else []
        structures += [(name, [name]) for name in names]
        self._insides = [None, *(inside for _text, inside in insides)]
        self._structures = [chosen for _text, chosen in structures]
        self._fill(self._ui.insideComboBox, [_("Everywhere"), *(text for text, _inside in insides)])
        self._fill(self._ui.structureComboBox, [text for text, _chosen in structures])

    def _fill(self, combo: Any, texts: Sequence[str]) -> None:
        self._showing = True
        combo.clear()
        for text in texts:
            combo.addItem(text)
        self._showing = False

    # -- what the controls show ----------------------------------------------------------------------------

    def refresh(self) -> None:
        """Show which views are open, and their options."""
        inspection, ui = self._inspection, self._ui
        names = [] if inspection is None else inspection.names
        for name, button in self._buttons.items():
            markOpen(button, name in names)
        ui.jacobianOptions.setVisible("jacobian" in names)
        ui.structureOptions.setVisible("contours" in names or "agreement" in names)
        for box in (ui.fixedCheckBox, ui.warpedCheckBox, ui.surfacesCheckBox, ui.liveCheckBox):
            box.setVisible("contours" in names)
        for box in self._parts.values():
            box.setVisible("agreement" in names)
        ui.spacingOptions.setVisible("grid" in names or "arrows" in names)
        ui.foldsOptions.setVisible("folds" in names)
        if "flicker" not in names:
            self._flicker.stop()
            self._shownNow = ""

    def texts(self) -> str:
        """Return how to read each view that is open, as rich text."""
        inspection = self._inspection
        views = {} if inspection is None else {name: inspection.view(name) for name in inspection.names}
        lines = [f"<b>{escaped(VIEWS[name].title)}.</b> {escaped(view.text)}" for name, view in views.items() if view]
        if self._shownNow:
            lines.append(_("Shown now: the {which} image.").format(which=self._shownNow))
        return "<br>".join(lines)

    # -- opening ------------------------------------------------------------------------------------------

    def _onButton(self, name: str) -> None:
        if self._buttons[name].checked:
            self._open(name)
        else:
            self._owner.closeView(name)
        self.refresh()

    def _reopen(self, *names: str) -> None:
        """Open what is open of these views again, with the options that the controls show."""
        if self._showing or self._inspection is None:
            return
        for name in names:
            if self._inspection.view(name) is not None:
                self._open(name)
        self.refresh()

    def _open(self, name: str) -> None:
        options = self._optionsOf(name)
        view = self._owner.openView(name, **options)
        if view is None:
            return
        ui = self._ui
        if name == "jacobian":
            self._set(ui.rangeSlider, halfRangeOf(view))
            ui.rangeText.setText(rangeText(halfRangeOf(view)))
        elif name in SPACING_MM:
            self._set(ui.spacingSlider, options.get("spacingMm", SPACING_MM[name]))
            ui.affineCheckBox.setChecked(leavesAffineOut(view))
        elif name == "flicker":
            self._shownNow = _("fixed")
            self._flicker.start()
        elif name == "folds":
            self._folds.show()
        self._showParts()

    def _optionsOf(self, name: str) -> dict[str, Any]:
        ui, inspection = self._ui, self._inspection
        if name == "jacobian":
            inside = self._insides[max(0, ui.insideComboBox.currentIndex)]
            options: dict[str, Any] = {"opacity": ui.opacitySlider.value, "inside": inside}
            if inspection is not None and inspection.view(name) is not None:
                options["halfRange"] = ui.rangeSlider.value
            return options
        if name in ("contours", "agreement"):
            options = {"segments": self._structures[max(0, ui.structureComboBox.currentIndex)]}
            if name == "contours":
                options |= {"surfaces": ui.surfacesCheckBox.checked, "live": ui.liveCheckBox.checked}
            return options
        if name in SPACING_MM and inspection is not None and inspection.view(name) is not None:
            return {"spacingMm": ui.spacingSlider.value, "withoutAffine": bool(ui.affineCheckBox.checked)}
        return {}

    def _set(self, slider: Any, value: float) -> None:
        self._showing = True
        slider.setValue(value)
        self._showing = False

    # -- options of open views -----------------------------------------------------------------------------

    def _view(self, *names: str) -> Any:
        """The first of these views that is open; None while the controls are being filled."""
        if self._showing or self._inspection is None:
            return None
        return next((view for view in map(self._inspection.view, names) if view is not None), None)

    def _onRange(self, value: float) -> None:
        view = self._view("jacobian")
        if view is not None:
            setHalfRange(view, value)
            self._ui.rangeText.setText(rangeText(value))

    def _onOpacity(self, value: float) -> None:
        view = self._view("jacobian")
        if view is not None:
            view.setOpacity(value)

    def _onSpacing(self, value: float) -> None:
        view = self._view("grid", "arrows")
        if view is not None:
            setSpacing(view, value)

    def _showParts(self) -> None:
        """Outlines and agreement as the check boxes say."""
        ui, contours, agreement = self._ui, self._view("contours"), self._view("agreement")
        if contours is not None:
            for side, box in (("fixed", ui.fixedCheckBox), ("warped", ui.warpedCheckBox)):
                for kind in (side, f"{side} surfaces"):
                    setOutlineShown(contours, kind, box.checked)
        if agreement is not None:
            for part, box in self._parts.items():
                setPartShown(agreement, part, box.checked)

    def _onFlick(self) -> None:
        view = self._view("flicker")
        if view is None:
            self._flicker.stop()
            return
        self._shownNow = _("warped") if flick(view) == "warped" else _("fixed")
        self._ui.viewText.setText(self.texts())


def _reasonsAgainst(outputs: RegistrationOutputs) -> dict[str, str]:
    """Views that this run cannot have, with the reason."""
    inputs, nodes = outputs.inputs, outputs.nodes
    reasons: dict[str, str] = {}
    if nodes.transform is None:
        reasons |= dict.fromkeys(("grid", "arrows"), _("This run made no transform: tick it under Outputs."))
    if inputs.movingSegmentation is None and nodes.warpedSegmentation is None:
        reasons["contours"] = _("This run had no moving segmentation: choose one under More inputs.")
    if inputs.fixedSegmentation is None or nodes.warpedSegmentation is None:
        reasons["agreement"] = _("This needs a fixed and a moving segmentation: choose them under More inputs.")
    if outputs.result.folds.count == 0:
        reasons["folds"] = _("This map has no folds.")
    return reasons


def _segmentsOf(node: Any) -> list[tuple[str, str]]:
    """Id and name of each segment of a node in the scene."""
    if node is None or node.GetScene() is not slicer.mrmlScene:
        return []
    segmentation = node.GetSegmentation()
    return [(i, segmentation.GetSegment(i).GetName()) for i in segmentation.GetSegmentIDs()]
