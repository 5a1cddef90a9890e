"""ctkSliderWidget, qMRMLSliderWidget, ctkRangeWidget, ctkDoubleSpinBox."""

from __future__ import annotations

from typing import Any

from PySide6 import QtCore, QtWidgets

from .properties import kept

_STEPS = 100000  # no finer than this can a slider be set; its spin box can


class _AroundBox(QtWidgets.QWidget):
    """A widget with the value of the spin box in it, ``_box``."""

    valueChanged = QtCore.Signal(float)
    decimalsChanged = QtCore.Signal(int)
    _box: QtWidgets.QDoubleSpinBox

    def setValue(self, value: float) -> None:
        self._box.setValue(value)

    def setDecimals(self, decimals: int) -> None:
        if decimals != self._box.decimals:
            self._box.setDecimals(decimals)
            self.decimalsChanged.emit(decimals)

    value = QtCore.Property(float, lambda self: self._box.value, setValue)
    decimals = QtCore.Property(int, lambda self: self._box.decimals, setDecimals)
    prefix = kept(str, "_box.prefix")
    suffix = kept(str, "_box.suffix")


class ctkDoubleSpinBox(_AroundBox):
    """A spin box whose widget is not itself a QDoubleSpinBox, as in CTK."""

    editingFinished = QtCore.Signal()

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._box = QtWidgets.QDoubleSpinBox(self)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._box)
        self.setFocusProxy(self._box)
        self._box.valueChanged.connect(self.valueChanged)
        self._box.editingFinished.connect(self.editingFinished)

    def stepUp(self) -> None:
        self._box.stepUp()

    def stepDown(self) -> None:
        self._box.stepDown()

    def setReadOnly(self, readOnly: bool) -> None:
        self._box.setReadOnly(readOnly)

    minimum = kept(float, "_box.minimum")
    maximum = kept(float, "_box.maximum")
    singleStep = kept(float, "_box.singleStep")
    readOnly = QtCore.Property(bool, lambda self: self._box.readOnly, setReadOnly)
    cleanText = QtCore.Property(str, lambda self: self._box.cleanText)


class ctkSliderWidget(_AroundBox):
    """A slider with a spin box, on one floating-point value."""

    valueIsChanging = QtCore.Signal(float)

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._slider = QtWidgets.QSlider(QtCore.Qt.Horizontal, self)
        self._slider.setRange(0, _STEPS)
        self._box = QtWidgets.QDoubleSpinBox(self)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._slider, 1)
        layout.addWidget(self._box)
        self.setFocusProxy(self._slider)
        self._tracking, self._pageStep, self._tick = True, 10.0, 0.1
        self._box.valueChanged.connect(self._onBox)
        self._slider.valueChanged.connect(self._onSlider)
        self._slider.sliderReleased.connect(lambda: self.valueChanged.emit(self._box.value))
        self._placeSlider()

    def _onBox(self, value: float) -> None:
        self._placeSlider()
        self.valueIsChanging.emit(value)
        if self._tracking or not self._slider.sliderDown:
            self.valueChanged.emit(value)

    def _onSlider(self, position: int) -> None:
        low, high = self._box.minimum, self._box.maximum
        step = self._box.singleStep or 1.0
        value = low + (high - low) * position / _STEPS
        self._box.setValue(low + round((value - low) / step) * step if value < high else high)

    def _placeSlider(self) -> None:
        low, high = self._box.minimum, self._box.maximum
        blocked = self._slider.blockSignals(True)
        self._slider.setValue(0 if high <= low else round((self._box.value - low) / (high - low) * _STEPS))
        self._slider.setSingleStep(max(1, round(self._box.singleStep / max(high - low, 1e-12) * _STEPS)))
        self._slider.blockSignals(blocked)

    def setSpinBoxVisible(self, visible: bool) -> None:
        self._box.setVisible(visible)

    def reset(self) -> None:
        self._box.setValue(self._box.minimum)

    minimum = kept(float, "_box.minimum", "_placeSlider")
    maximum = kept(float, "_box.maximum", "_placeSlider")
    singleStep = kept(float, "_box.singleStep", "_placeSlider")
    pageStep = kept(float, "_pageStep")
    tracking = kept(bool, "_tracking")
    spinBoxVisible = QtCore.Property(bool, lambda self: not self._box.isHidden(), setSpinBoxVisible)


class qMRMLSliderWidget(ctkSliderWidget):
    """A slider that takes part in the scene's units; here it only knows its scene."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._scene, self._quantity = None, ""

    def mrmlScene(self) -> Any:
        return self._scene

    def setMRMLScene(self, scene: Any) -> None:
        self._scene = scene

    def setQuantity(self, quantity: str) -> None:
        self._quantity = quantity

    quantity = QtCore.Property(str, lambda self: self._quantity, setQuantity)


class ctkRangeWidget(QtWidgets.QWidget):
    """Two values, the lower never above the upper."""

    minimumValueChanged = QtCore.Signal(float)
    maximumValueChanged = QtCore.Signal(float)
    valuesChanged = QtCore.Signal(float, float)
    rangeChanged = QtCore.Signal(float, float)

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._low, self._high = QtWidgets.QDoubleSpinBox(self), QtWidgets.QDoubleSpinBox(self)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for box in (self._low, self._high):
            layout.addWidget(box)
        self._high.setValue(self._high.maximum)
        self._low.valueChanged.connect(self._onLow)
        self._high.valueChanged.connect(self._onHigh)

    def _onLow(self, value: float) -> None:
        if value > self._high.value:
            self._high.setValue(value)
        self.minimumValueChanged.emit(value)
        self.valuesChanged.emit(value, self._high.value)

    def _onHigh(self, value: float) -> None:
        if value < self._low.value:
            self._low.setValue(value)
        self.maximumValueChanged.emit(value)
        self.valuesChanged.emit(self._low.value, value)

    def setMinimumValue(self, value: float) -> None:
        self._low.setValue(value)

    def setMaximumValue(self, value: float) -> None:
        self._high.setValue(value)

    def setValues(self, low: float, high: float) -> None:
        self._low.setValue(low)
        self._high.setValue(high)

    def setRange(self, minimum: float, maximum: float) -> None:
        for box in (self._low, self._high):
            box.setRange(minimum, maximum)
        self.rangeChanged.emit(minimum, maximum)

    def setDecimals(self, decimals: int) -> None:
        for box in (self._low, self._high):
            box.setDecimals(decimals)

    def reset(self) -> None:
        self.setValues(self._low.minimum, self._low.maximum)

    def _setSingleStep(self, step: float) -> None:
        for box in (self._low, self._high):
            box.setSingleStep(step)

    minimumValue = QtCore.Property(float, lambda self: self._low.value, setMinimumValue)
    maximumValue = QtCore.Property(float, lambda self: self._high.value, setMaximumValue)
    minimum = QtCore.Property(float, lambda self: self._low.minimum, lambda self, v: self.setRange(v, self.maximum))
    maximum = QtCore.Property(float, lambda self: self._low.maximum, lambda self, v: self.setRange(self.minimum, v))
    decimals = QtCore.Property(int, lambda self: self._low.decimals, setDecimals)
    singleStep = QtCore.Property(float, lambda self: self._low.singleStep, _setSingleStep)
