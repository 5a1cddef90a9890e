"""Draw the panel's pictures for docs/tutorial.md: the sample pair, registered by the real worker in the test host.

python Testing/Tools/panel_pictures.py [docs/images]
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "Testing" / "Host"), str(ROOT), str(ROOT / "JointRegistration")]
WIDTH = 400


def main(folder: Path) -> None:
    """Open the panel, go through a first registration, and write a picture of each step."""
    import slicer_host

    host = slicer_host.install()
    widget = host.openModule("JointRegistration", width=WIDTH)
    panel, ui = widget.panel, widget.panel.ui

    def picture(name: str) -> None:
        page = widget.parent
        for _ in range(3):
            host.processEvents()
            page.resize(WIDTH, page.layout().totalHeightForWidth(WIDTH))
        host.screenshot(page, folder / f"panel-{name}.png")

    picture("empty")
    host.click(ui.sampleButton)
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
    picture("results")
    print(ui.summaryLabel.text)  # noqa: T201
    host.uninstall()


def wait(host: Any, happened: Any) -> None:
    """Until ``happened()``, however long that takes on this machine."""
    host.wait(happened, 900)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "images")
