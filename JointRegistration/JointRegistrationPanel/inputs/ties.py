"""Ties the controls of a form to the parameters that they name, until they are untied."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import slicer
import vtk
from slicer.parameterNodeWrapper import SlicerParameterNamePropertyName, createGuiConnector
from slicer.util import VTKObservationMixin


class Ties(VTKObservationMixin):
    """What the wrapper's own ``connectGui`` does, with an end to it.

    In Slicer 5.6 ``disconnectGui`` leaves an observer of the parameter node behind: a function that nothing else
    refers to, which the next change calls after Python has taken it apart.

    Args:
        parameters: the panel's.
        ui: the form; a control names its parameter by the property ``SlicerParameterName``.
    """

    def __init__(self, parameters: Any, ui: Any) -> None:
        VTKObservationMixin.__init__(self)
        self._parameters, self._showing = parameters, False
        self._connectors = dict(_connectors(parameters, ui))

    @property
    def showing(self) -> bool:
        """Return whether the controls are being given the parameters: what they report then, no person has chosen.

        A node selector reports an activation whenever it is given another node.
        """
        return self._showing

    def tie(self) -> None:
        """Show the parameters, and let either follow the other from now on."""
        self._show()
        for name, connector in self._connectors.items():
            connector.onChanged(partial(self._onChanged, name))
        self.addObserver(self._parameters, vtk.vtkCommand.ModifiedEvent, self._show)

    def untie(self) -> None:
        """Neither follows the other any more."""
        self.removeObservers()
        for connector in self._connectors.values():
            connector.onChanged(None)
        self._connectors = {}

    def _onChanged(self, name: str) -> None:
        if not self._showing:
            with slicer.util.NodeModify(self._parameters):
                self._parameters.setValue(name, self._connectors[name].read())

    def _show(self, caller: Any = None, event: Any = None) -> None:
        if self._showing:
            return
        self._showing = True
        try:
            with slicer.util.NodeModify(self._parameters):
                for name, connector in self._connectors.items():
                    connector.write(self._parameters.getValue(name))
        finally:
            self._showing = False


def _connectors(parameters: Any, ui: Any) -> Iterator[tuple[str, Any]]:
    for widget in vars(ui).values():
        name = widget.property(SlicerParameterNamePropertyName)
        if name:
            yield name, createGuiConnector(widget, parameters.dataType(name))
