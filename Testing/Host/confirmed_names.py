"""The names of the application that the extension uses, as a list of those that were seen in a running one.

``python Testing/Host/confirmed_names.py`` writes the list anew; the record of the application has to be at hand.
"""

from __future__ import annotations

import json
from pathlib import Path

from slicer_host.qt.recorded_api import UNLISTED, record
from used_names import formProperties, signalNames, usedNames

FILE = Path(__file__).with_name("confirmed_names.json")
_PROPERTIES = " properties"  # of a class, as a form sets them
_SIGNALS = "signals"  # of whatever class
_RECORDED = {"slicer.ScriptedLoadableModule", "slicer.parameterNodeWrapper", "slicer", "slicer.util", "slicer.app"}


def ofApplication() -> dict[str, set[str]]:
    """The names that only a running application can confirm: its own namespaces, and Qt as PythonQt shows it."""
    used = usedNames()
    classes = {owner for owner in {*used, *formProperties()} if owner.startswith(("ctk", "qMRML")) or owner in _QT}
    found = {owner: used[owner] - UNLISTED for owner in _RECORDED | (classes & set(used))}
    found |= {kind + _PROPERTIES: names for kind, names in formProperties().items() if kind in classes}
    found[_SIGNALS] = signalNames()
    return {owner: names for owner, names in found.items() if names and owner != "qMRMLWidget" + _PROPERTIES}


#: The classes of Qt that were looked at in the application.
_QT = {
    *("QCheckBox", "QComboBox", "QDoubleSpinBox", "QEventLoop", "QFileDialog", "QGroupBox", "QLabel", "QLineEdit"),
    *("QPlainTextEdit", "QProcess", "QProgressBar", "QPushButton", "QSettings", "QSpinBox", "QTableWidget", "QTimer"),
    "QWidget",
}


def recorded(owner: str) -> set[str]:
    """What the record of the application says that ``owner`` has."""
    api = record()
    if owner == "slicer.parameterNodeWrapper":
        return set(api["parameterNodeWrapper"]["dir"])
    if owner == "slicer.ScriptedLoadableModule":
        return set(api["ScriptedLoadableModule"])
    if owner == _SIGNALS:
        ofWidgets = {entry["sig"] for kind in api["classes"].values() for entry in kind["signals"]}
        return ofWidgets | {f"{name}()" for name in api["slicer.app"]}
    if owner.endswith(_PROPERTIES):
        return {entry["name"] for entry in api["classes"][owner.removesuffix(_PROPERTIES)]["properties"]}
    return set(api["classes"][owner]["names"]) if owner in api["classes"] else set(api[owner])


def main() -> None:
    """Write the list of confirmed names anew; what the record lacks is refused."""
    wanted = ofApplication()
    for owner, names in wanted.items():
        unknown = names - recorded(owner)
        if unknown:
            raise SystemExit(f"{owner} has no {', '.join(sorted(unknown))} in the application: use something else")
    content = {owner: sorted(wanted[owner]) for owner in sorted(wanted)}
    FILE.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
