"""One start of the application: its steps one after the other, and what is recorded of each."""

from __future__ import annotations

import dataclasses
import faulthandler
import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import qt
import slicer

from .changes import May, unexpected
from .console import MARK
from .hands import pause
from .pump import Doing, Pauses, Pump
from .snapshot import snapshot

#: How often the event loop is to come round, and how long it may be held up unrecorded.
TICK_MS, PAUSE_S = 20, 0.2
#: How long a step waits for what should come, a guard against hanging.
PATIENCE_S = 900.0
#: How long the application is left alone after a step, before it is looked at.
SETTLE_MS = 400


@dataclasses.dataclass(frozen=True)
class Step:
    """Something that a person does.

    Args:
        name: of the step, and of its picture.
        do: does it.
        may: what it may do to the scene.
        since: the step before which the scene was what it is compared with; this one if empty.
        ends: the application is gone after it.
    """

    name: str
    do: Callable[[Any], Doing]
    may: May = May()  # noqa: RUF009 frozen
    since: str = ""
    ends: bool = False


@dataclasses.dataclass
class Record:
    """What is known of a step that was taken."""

    name: str
    seconds: float = 0.0
    changes: list[str] = dataclasses.field(default_factory=list)
    pauses: list[float] = dataclasses.field(default_factory=list)  # the longest of the event loop, s
    failure: str = ""
    facts: dict[str, Any] = dataclasses.field(default_factory=dict)


class Session:
    """Takes the steps from timer ticks, and leaves ``record.json`` and a picture of each in a folder.

    With ``HELD_UP`` in the environment ``held-up.txt`` says what Python was at whenever the event loop had not come
    round for ``PAUSE_S``. Python is read from outside while it runs, which can end the application, as it did once.

    Args:
        app: handed to the steps.
        steps: in their order.
        folder: where to; it exists.
    """

    def __init__(self, app: Any, steps: Sequence[Step], folder: Path) -> None:
        self._app, self._steps, self._folder = app, list(steps), folder
        self._pump, self._pauses = Pump(PATIENCE_S), Pauses(PAUSE_S)
        self._heldUp = (folder / "held-up.txt").open("w", encoding="utf-8") if "HELD_UP" in os.environ else None
        self._records: list[Record] = []
        self._scenes: dict[str, dict[str, Any]] = {}
        self._began, self._finishing = 0.0, False
        self._timer = qt.QTimer()
        self._timer.setInterval(TICK_MS)
        self._timer.connect("timeout()", self._tick)

    def start(self) -> None:
        """Begin; returns at once."""
        self._next(snapshot(slicer.mrmlScene))
        self._timer.start()

    def _next(self, scene: dict[str, Any]) -> None:
        step = self._steps[len(self._records)]
        self._scenes[step.name] = scene
        self._records.append(Record(step.name))
        for stream in (sys.stdout, sys.stderr, self._heldUp):
            print(f"{MARK}{step.name}", file=stream, flush=True)
        self._app.facts = self._records[-1].facts
        self._began, self._pauses.step = time.monotonic(), step.name
        self._pauses.skip()
        if step.ends:
            self._save(complete=True)
        self._pump.begin(self._doing(step))

    def _doing(self, step: Step) -> Doing:
        yield from step.do(self._app)
        yield from pause(SETTLE_MS)
        yield from self._app.picture(step.name)

    def _tick(self) -> None:
        self._pauses.tick()
        if self._heldUp is not None:
            faulthandler.dump_traceback_later(PAUSE_S, file=self._heldUp)  # unless the next tick comes before
        self._app.watchWidth()
        self._pump.tick()
        if self._pump.busy or self._finishing:
            return
        self._finishing = True  # a dialog's event loop may bring another tick
        try:
            self._finish()
        except Exception:  # noqa: BLE001 a scenario that fails must end
            self._end(traceback.format_exc())
        self._finishing = False

    def _finish(self) -> None:
        step, record = self._steps[len(self._records) - 1], self._records[-1]
        record.seconds = round(time.monotonic() - self._began, 2)
        pauses = sorted((s for name, s in self._pauses.found if name == step.name), reverse=True)
        record.pauses = [round(s, 2) for s in pauses[:5]]
        record.failure = self._pump.failure or ""
        scene = snapshot(slicer.mrmlScene)
        record.changes = unexpected(self._scenes[step.since or step.name], scene, step.may)
        if record.failure or len(self._records) == len(self._steps):
            self._end(record.failure)
        else:
            self._save(complete=False)
            self._next(scene)

    def _end(self, failure: str) -> None:
        self._timer.stop()
        faulthandler.cancel_dump_traceback_later()
        self._records[-1].failure = failure
        self._save(complete=len(self._records) == len(self._steps))
        slicer.util.exit(1 if failure else 0)

    def _save(self, complete: bool) -> None:
        content = {
            "slicer": slicer.app.applicationVersion,
            "qt": slicer.app.qVersion() if hasattr(slicer.app, "qVersion") else "",
            "log": slicer.app.errorLogModel().filePath,
            "complete": complete,
            "steps": [dataclasses.asdict(record) for record in self._records],
        }
        unfinished = self._folder / "record.json.part"
        unfinished.write_text(json.dumps(content, indent=1), encoding="utf-8")
        unfinished.replace(self._folder / "record.json")
