"""The Joint Registration panel beside slice views, without desktop Slicer: ``make app``.

The panel is the module's own, on a real MRML scene and real Qt; see Testing/Host/slicer_host.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "Testing" / "Host"), str(ROOT / "JointRegistration"), str(ROOT)]


@click.command()
@click.argument("images", nargs=-1, type=click.Path(exists=True, path_type=Path))
@click.option("--sample", is_flag=True, help="Begin with the computed pair of knees.")
@click.option("--screenshot", type=click.Path(path_type=Path), help="Write the window as PNG and end.")
@click.option("--module", "moduleName", default="JointRegistration", help="Module, or the path of its file.")
def main(images: tuple[Path, ...], sample: bool, screenshot: Path | None, moduleName: str) -> None:
    """Open the panel with IMAGES (NIfTI, NRRD, MetaImage) as volumes."""
    from Testing.Support.slice_view import canRender

    if not canRender():
        raise click.ClickException("slices cannot be drawn here: OpenGL is missing; run: make rendering")
    import slicer_host

    host = slicer_host.install()
    host.answerByPerson()
    import slicer
    from slicer_host.desk.window import Desk, loadVolume

    if screenshot is None and host.app.platformName == "offscreen":
        raise click.ClickException("there is no display here; use --screenshot FILE")
    desk = Desk(host, moduleName)
    if sample:
        for source in slicer.modules.sampleDataSources.get("Joint Registration", []):
            desk.addSample(source)
    volumes = [loadVolume(path) for path in images]
    if volumes:
        slicer.util.setSliceViewerLayers(background=volumes[0], fit=True)
    if screenshot is None:
        host.app.exec()
    else:
        host.wait(lambda: desk.views.drawn)
        host.screenshot(desk.window, screenshot)
    desk.close()
    host.uninstall(check=False)


if __name__ == "__main__":
    main()
