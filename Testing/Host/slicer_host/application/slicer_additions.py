"""What the application adds to the ``slicer`` package of the slicer-core wheel, and its removal."""

from __future__ import annotations

import functools
import subprocess
import sys
import types
from collections.abc import Callable
from typing import Any

import slicer
import slicer.util

from .. import parameter_node
from ..qt import application_python
from ..qt.qt_module import makeQtModule
from ..widgets import absent, ctk_module
from ..widgets.checkable_node_combo_box import qMRMLCheckableNodeComboBox
from ..widgets.node_combo_box import qMRMLNodeComboBox
from ..widgets.scene_widgets import qMRMLWidget
from ..widgets.sliders import qMRMLSliderWidget
from . import sample_data, scripted_module
from .modules import qSlicerScriptedLoadableModule, qSlicerScriptedLoadableModuleWidget

WIDGETS = (qMRMLCheckableNodeComboBox, qMRMLNodeComboBox, qMRMLSliderWidget, qMRMLWidget)
_MISSING = object()


@functools.cache
def _modules() -> dict[str, types.ModuleType]:
    """Made once, so that what an imported file has got from them stays good for the next host."""
    custom = {kind.__name__: kind for kind in (*ctk_module.WIDGETS, *WIDGETS)}
    return {"qt": makeQtModule(custom), "ctk": ctk_module.makeCtkModule()}


@functools.cache
def _standIns() -> dict[str, types.ModuleType]:
    """For the application's own Python, where no checkout of its sources is named."""
    return {
        "SampleData": sample_data.makeModule(),
        "slicer.i18n": _makeTranslation(),
        "slicer.ScriptedLoadableModule": scripted_module.makeModule(),
        "slicer.parameterNodeWrapper": parameter_node.makeModule(),
    }


def additions(host: Any) -> dict[str, Any]:
    """What the package ``slicer`` gets around ``host``."""
    return {
        "app": host.app,
        "mrmlScene": host.scene,
        "modules": types.SimpleNamespace(sampleDataSources={}),
        "moduleNames": types.SimpleNamespace(),
        "selfTests": {},
        "qSlicerScriptedLoadableModule": qSlicerScriptedLoadableModule,
        "qSlicerScriptedLoadableModuleWidget": qSlicerScriptedLoadableModuleWidget,
        **{kind.__name__: kind for kind in (*WIDGETS, *absent.QMRML_WIDGETS)},
    }


def install(host: Any) -> Callable[[], None]:
    """Add everything; returns what takes it away again."""
    undo = [_replaceItem(sys.modules, name, module) for name, module in _modules().items()]
    undo += [_replaceAttribute(slicer, name, value) for name, value in additions(host).items()]
    path = list(sys.path)
    undo.append(lambda: sys.path.__setitem__(slice(None), path))
    undo += _addPython()
    undo.append(_replaceAttribute(slicer.util, "pip_install", _recorder(host)))
    if hasattr(slicer, "packaging"):
        undo.append(_replaceAttribute(slicer.packaging, "pip_install", _installByUtil))

    def uninstall() -> None:
        for step in reversed(undo):
            step()

    return uninstall


def _installByUtil(
    requirements: Any, blocking: bool = True, completedCallback: Callable[[int], None] | None = None, **_named: Any
) -> None:
    """``slicer.packaging.pip_install``: as slicer.util's, but without blocking a failure is told, not raised."""
    code = 0
    try:
        slicer.util.pip_install(requirements)
    except subprocess.CalledProcessError as error:
        if blocking:
            raise
        code = error.returncode
    if completedCallback is not None and not blocking:
        completedCallback(code)


def _addPython() -> list[Callable[[], None]]:
    """The Python part of the application: its own, or our stand-ins."""
    checkout = application_python.source()
    if checkout is not None:
        return [application_python.install(checkout)]
    undo = [_replaceItem(sys.modules, name, module) for name, module in _standIns().items()]
    named = {name.partition(".")[2]: module for name, module in _standIns().items() if "." in name}
    return undo + [_replaceAttribute(slicer, name, module) for name, module in named.items()]


def _recorder(host: Any) -> Callable[..., None]:
    def pip_install(requirements: str | list[str], **_named: Any) -> None:
        """Note what would be installed."""
        host.installed.extend(requirements.split() if isinstance(requirements, str) else requirements)

    return pip_install


def _makeTranslation() -> types.ModuleType:
    """No language is loaded: texts come back as they are."""
    module = types.ModuleType("slicer.i18n")
    module.tr = lambda text: text
    module.translate = lambda context, text: text
    return module


def _replaceItem(owner: dict[str, Any], name: str, value: Any) -> Callable[[], None]:
    before = owner.get(name, _MISSING)
    owner[name] = value
    return lambda: owner.pop(name, None) if before is _MISSING else owner.__setitem__(name, before)


def _replaceAttribute(owner: Any, name: str, value: Any) -> Callable[[], None]:
    before = vars(owner).get(name, _MISSING)
    setattr(owner, name, value)
    return lambda: delattr(owner, name) if before is _MISSING else setattr(owner, name, before)
