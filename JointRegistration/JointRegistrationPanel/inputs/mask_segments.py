"""Which segment of each mask counts: a list beside the mask's selector, while that holds a segmentation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import slicer
from slicer.util import VTKObservationMixin

from ..text import _

#: The masks, by the beginning of their parameters' and controls' names.
MASKS = ("fixedMask", "movingMask")
_ALL = _("All segments")
_GONE = _("(gone)")


class MaskSegments(VTKObservationMixin):
    """Fills the two lists, and follows segments that come, go or are renamed.

    (Slicer's own qMRMLSegmentSelectorWidget has no word of ours for "all of them".)

    Args:
        ui: the form.
        choose: called with a parameter and its new value.
        changed: called when segments of a mask have changed.
    """

    def __init__(self, ui: Any, choose: Callable[[str, Any], None], changed: Callable[[], None]) -> None:
        VTKObservationMixin.__init__(self)
        self._ui, self._choose, self._changed = ui, choose, changed
        self._followed: dict[str, Any] = dict.fromkeys(MASKS)
        self._ids: dict[str, list[str]] = {mask: [] for mask in MASKS}
        self._showing = False
        for mask in MASKS:
            self._list(mask).currentIndexChanged.connect(lambda index, mask=mask: self._onChosen(mask, index))
            selector = getattr(ui, f"{mask}Selector")
            selector.connect("nodeActivated(vtkMRMLNode*)", lambda node, mask=mask: self._onMaskPicked(mask, node))

    def show(self, parameters: Any) -> None:
        """Bring both lists up to date; None for no parameters."""
        masks = {mask: _segmentation(getattr(parameters, mask, None)) for mask in MASKS}
        self._follow(masks)
        for mask, node in masks.items():
            self._list(mask).setVisible(node is not None)
            if node is not None:
                self._fill(mask, node, getattr(parameters, f"{mask}Segment"))

    def _list(self, mask: str) -> Any:
        return getattr(self._ui, f"{mask}SegmentComboBox")

    def _fill(self, mask: str, node: Any, chosen: str) -> None:
        """List the segments; one that was chosen and is gone stays chosen, until a person picks another."""
        segmentation, combo = node.GetSegmentation(), self._list(mask)
        ids = list(segmentation.GetSegmentIDs())
        texts = [_ALL, *(segmentation.GetSegment(segmentId).GetName() for segmentId in ids)]
        if chosen and chosen not in ids:
            ids.append(chosen)
            texts.append(_GONE)
        self._ids[mask] = ["", *ids]
        self._showing = True
        if texts != [combo.itemText(row) for row in range(combo.count)]:
            combo.clear()
            for text in texts:
                combo.addItem(text)
        combo.setCurrentIndex(self._ids[mask].index(chosen))
        self._showing = False

    def _onChosen(self, mask: str, index: int) -> None:
        if not self._showing and 0 <= index < len(self._ids[mask]):
            self._choose(f"{mask}Segment", self._ids[mask][index])

    def _onMaskPicked(self, mask: str, node: Any) -> None:
        """A person chose another mask: the segment of the one before means nothing in it."""
        if node is not self._followed[mask]:
            self._choose(f"{mask}Segment", "")

    def _follow(self, masks: dict[str, Any]) -> None:
        if masks == self._followed:
            return
        self.removeObservers()
        self._followed = masks
        events = slicer.vtkSegmentation
        for node in {node.GetID(): node for node in masks.values() if node is not None}.values():
            for event in (events.SegmentAdded, events.SegmentRemoved, events.SegmentModified):
                self.addObserver(node, event, self._onSegmentsChanged)

    def _onSegmentsChanged(self, caller: Any = None, event: Any = None) -> None:
        self._changed()


def _segmentation(node: Any) -> Any:
    """``node`` if it is a segmentation, else None."""
    return node if node is not None and node.IsA("vtkMRMLSegmentationNode") else None
