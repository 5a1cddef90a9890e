"""Started by the application (``--python-script``): takes the steps of one part of the scenario.

inside.py PART FOLDER [--stub] [--steps NAME,NAME]
"""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[2]), str(HERE.parent)]

import slicer  # noqa: E402


def main() -> None:
    """Set the window up, and begin."""
    from scenario import parts
    from scenario.app import App
    from scenario.session import Session

    part, folder = sys.argv[1], Path(sys.argv[2])
    parts.prepare(part)
    app = App(folder, stub="--stub" in sys.argv)
    steps = parts.PARTS[part]
    if "--steps" in sys.argv:
        named = sys.argv[sys.argv.index("--steps") + 1].split(",")
        steps = [step for step in steps if step.name in named]
    slicer.scenarioSession = Session(app, steps, folder)  # kept: nobody else holds it
    slicer.scenarioSession.start()


main()
