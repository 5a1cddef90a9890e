"""Draw the panel's pictures for docs/tutorial.md: the sample pair, registered by the real worker in the test host.

    python Testing/Tools/panel_pictures.py [--folder docs/images]

With ``--scene demo-output/scene.mrb``, a scene that ``make demo`` wrote, only those of the section Inspect, in seconds.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "Testing" / "Host"), str(ROOT), str(ROOT / "JointRegistration")]
WIDTH = 400


def main(folder: Path, millions: float | None) -> None:
    """Open the panel, go through a first registration, and write a picture of each step."""
    import slicer_host

    host = slicer_host.install()
    widget = host.openModule("JointRegistration", width=WIDTH)
    panel, ui = widget.panel, widget.panel.ui

    def picture(name: str, part: Any = None) -> None:
        page = widget.parent
        for _ in range(3):
            host.processEvents()
            page.resize(WIDTH, page.layout().totalHeightForWidth(WIDTH))
        host.screenshot(part or page, folder / f"panel-{name}.png")

    picture("empty")
    host.click(ui.sampleButton)
    if millions is not None:
        panel._getParameters().workingMillions = millions
    wait(host, lambda: panel._worker.client.ready is not None and ui.registerButton.enabled)
    time.sleep(0.5)
    host.click(ui.moreInputsButton)
    picture("ready")
    host.click(ui.moreInputsButton)
    host.click(ui.outputsButton)
    picture("outputs")
    host.click(ui.outputsButton)
    host.click(ui.registerButton)
    wait(host, lambda: ui.progressBar.value > 300 and "left" in ui.stageLabel.text)
    picture("running")
    wait(host, lambda: not panel._run.running)
    inspect = panel.inspect
    host.click(inspect.ui.inspectButton)
    picture("results")
    host.click(inspect.ui.inspectButton)
    inspectPictures(host, inspect, lambda name: picture(name, inspect.widget))
    host.uninstall()


def inspectPictures(host: Any, inspect: Any, picture: Any) -> None:
    """The section Inspect with two views open, and with the numbers."""
    host.scene.AddNewNodeByClass("vtkMRMLCrosshairNode").SetCrosshairRAS(12.0, 3.0, -5.0)
    inspect.refresh(False)
    host.click(inspect.ui.jacobianButton)
    host.click(inspect.ui.contoursButton)
    picture("inspect")
    host.click(inspect.ui.closeViewsButton)
    host.click(inspect.ui.measureButton)
    wait(host, lambda: not inspect.numbers.measuring)
    picture("numbers")


def sceneMain(folder: Path, scene: Path) -> None:
    """The pictures of the section Inspect, of a registration that a scene holds."""
    import slicer_host

    host = slicer_host.install()
    widget = host.openModule("JointRegistration", width=WIDTH)
    from JointRegistrationMRML.scene import loadScene

    loadScene(host.scene, scene)
    host.processEvents()
    inspect = widget.panel.inspect
    host.click(inspect.ui.inspectButton)

    def picture(name: str) -> None:
        for _ in range(3):
            host.processEvents()
            widget.parent.resize(WIDTH, widget.parent.layout().totalHeightForWidth(WIDTH))
        host.screenshot(inspect.widget, folder / f"panel-{name}.png")

    inspectPictures(host, inspect, picture)
    host.uninstall()


def wait(host: Any, happened: Any) -> None:
    """Until ``happened()``, however long that takes on this machine."""
    host.wait(happened, 900)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=ROOT / "docs" / "images")
    parser.add_argument("--millions", type=float)
    parser.add_argument("--scene", type=Path)
    options = parser.parse_args()
    if options.scene is None:
        main(options.folder, options.millions)
    else:
        sceneMain(options.folder, options.scene)
