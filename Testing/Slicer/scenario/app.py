"""What a person sees and uses of the application: its panel, its views, its dialogs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import qt
import slicer

from .hands import Hands, pause
from .pump import Doing

MODULE = "JointRegistration"
#: Pixels within which the panel's controls fit.
NARROW = 400


class App:
    """The application as steps use it.

    Args:
        folder: where a step may write.
        stub: whether a stand-in registers, in place of the networks.
    """

    def __init__(self, folder: Path, stub: bool = False) -> None:
        self.folder, self.stub = folder, stub
        self.hands = Hands()
        #: What a step wants to have recorded.
        self.facts: dict[str, Any] = {}
        self._widest = 0
        #: By the name of a picture: its file, and the boxes (left, top, right, bottom) of panel and views in it.
        self.regions: dict[str, dict[str, Any]] = {}

    # -- the panel ----------------------------------------------------------------------------------------

    @property
    def panel(self) -> Any:
        """The module's panel."""
        return slicer.modules.JointRegistrationWidget.panel

    @property
    def ui(self) -> Any:
        """The panel's controls."""
        return self.panel.ui

    @property
    def inspect(self) -> Any:
        """The controls of the section Inspect."""
        return self.panel.inspect.ui

    def openModule(self) -> Doing:
        """Choose the module in the module selector's menu, by its search field."""
        yield from self.hands.keys("ctrl+f")
        yield lambda: slicer.app.activeModalWidget() is not None or slicer.app.activeWindow() is not mainWindow()
        yield from pause(300)
        yield from self.hands.type("Joint Registration")
        yield from pause(300)
        yield from self.hands.keys("Return")
        yield lambda: slicer.util.selectedModule() == MODULE

    def unfold(self, button: Any, open_: bool = True) -> Doing:
        """Open or close a section."""
        if bool(button.collapsed) == open_:
            yield from self.hands.click(button)
            yield lambda: bool(button.collapsed) != open_
            yield from pause(100)

    def choose(self, selector: Any, name: str) -> Doing:
        """Pick an entry of a combo box, or a node of a node selector, by its name."""
        combo = selector
        if not selector.inherits("QComboBox"):
            combo = next(c for c in slicer.util.findChildren(selector) if c.inherits("QComboBox"))
        yield from self.hands.click(combo)
        yield lambda: combo.view().visible
        yield from pause(150)
        root, view, model = combo.rootModelIndex(), combo.view(), combo.model()
        rows = [row for row in range(model.rowCount(root)) if combo.itemText(row) == name]
        if not rows:
            yield from self.hands.keys("Escape")
            raise AssertionError(f"{selector.objectName} has no {name!r}")
        index = model.index(rows[0], combo.modelColumn, root)
        view.scrollTo(index)
        box = view.visualRect(index)
        corner = view.viewport().mapToGlobal(box.center())
        yield from self.hands.clickAt(corner.x(), corner.y())
        yield lambda: combo.currentText == name

    def enter(self, box: Any, text: str) -> Doing:
        """Replace what a field holds."""
        yield from self.hands.click(box, (12, box.height // 2))
        yield from self.hands.keys("ctrl+a")
        yield from self.hands.type(text)
        yield from self.hands.keys("Tab")

    def answerFileDialog(self, path: Path) -> Doing:
        """Type a path into the dialog that is open, and accept it."""
        yield lambda: slicer.app.activeModalWidget() is not None
        yield from pause(300)
        yield from self.hands.keys("ctrl+a")
        yield from self.hands.type(str(path))
        yield from self.hands.keys("Return")
        yield lambda: slicer.app.activeModalWidget() is None

    def ready(self) -> Doing:
        """Wait until Register can be pressed and the inputs were judged."""
        yield lambda: self.ui.registerButton.enabled and not self.panel._judgeTimer.active
        yield from pause(200)

    def watchWidth(self) -> None:
        """Record what makes the panel wider than it was, while it does so."""
        module = getattr(slicer.modules, "JointRegistrationWidget", None)
        if module is None or module.panel is None or module.panel.widget.width <= self._widest:
            return
        self._widest = module.panel.widget.width
        page = slicer.modules.jointregistration.widgetRepresentation()
        needed = {child: leastWidth(child) for child in slicer.util.findChildren(page) if child.inherits("QWidget")}
        self.facts[f"widened to {self._widest} pixels by"] = {
            child.objectName or child.className(): width
            for child, width in needed.items()
            if child.visible and width > NARROW
        }

    # -- the views ----------------------------------------------------------------------------------------

    def sliceView(self, name: str) -> Any:
        """The widget in which a slice is drawn."""
        return slicer.app.layoutManager().sliceWidget(name).sliceView()

    def picture(self, name: str) -> Doing:
        """Keep what the screen shows, and where panel and views are; without ImageMagick the main window alone."""
        path = self.folder / f"{len(self.regions) + 1:02d}-{name.replace(' ', '-')}.png"
        self.regions[name] = {"picture": path.name}
        if shutil.which("import"):
            yield from self.hands.run("import", "-window", "root", path)
            shown = {"panel": modulePage(), "views": viewport()}
            self.regions[name] |= {part: boxOnScreen(widget) for part, widget in shown.items() if widget is not None}
        else:
            mainWindow().grab().save(str(path))
        (self.folder / "regions.json").write_text(json.dumps(self.regions, indent=1), encoding="utf-8")


def mainWindow() -> Any:
    """The application's main window."""
    return slicer.util.mainWindow()


def viewport() -> Any:
    """What holds all views."""
    return slicer.app.layoutManager().viewport()


def modulePage() -> Any:
    """The part of the panel that can be seen; None while no module is shown."""
    page = slicer.modules.jointregistration.widgetRepresentation()
    while page is not None and not page.inherits("QAbstractScrollArea"):
        page = page.parentWidget()
    return None if page is None else page.viewport()


def leastWidth(widget: Any) -> int:
    """How narrow a layout lets it become: a policy that does not shrink makes the size hint the minimum."""
    shrinks = int(widget.sizePolicy.horizontalPolicy()) & int(qt.QSizePolicy.ShrinkFlag)
    hint = widget.minimumSizeHint if shrinks else widget.sizeHint
    return max(hint.width(), widget.minimumWidth)


def boxOnScreen(widget: Any) -> list[int]:
    """Left, top, right and bottom, in pixels of the screen."""
    corner = widget.mapToGlobal(qt.QPoint(0, 0))
    return [corner.x(), corner.y(), corner.x() + widget.width, corner.y() + widget.height]


def use(condition: Any, text: str) -> None:
    """Fail with ``text`` unless ``condition``."""
    if not condition:
        raise AssertionError(text)
