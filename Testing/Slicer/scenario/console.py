"""What an application wrote: which lines are errors or warnings, and during which step.

Standard error is to stay empty. On standard output and in the application's log, lines count that say they are errors
or warnings. What the application says of itself while it starts, before the first step, is counted and not judged.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator

#: Written to both outputs when a step begins.
MARK = "[scenario] "
_START = "start of the application"

_PROBLEM = re.compile(
    r"Traceback \(most recent call last\)|^\w*(?:Error|Exception)\b|^\s*(?:Generic )?(?:ERROR|Warning|WARNING)\b"
    r"|^\[(?:ERROR|CRITICAL|WARNING|FATAL)\]|^(?:Q\w+::\w|QObject:|qt\.)|\b(?:[Ee]rror|WARN(?:ING)?):"
    r"|[Ss]egmentation fault"
)
#: The application's log: ``[LEVEL][Category] date time [Logger] (file:line) - text``.
_LOGGED = re.compile(r"^\[(?P<level>[A-Z]+)\]\[(?P<category>[^\]]*)\]\s.*? - (?P<text>.*)$")
_BAD_LEVELS = ("WARNING", "ERROR", "CRITICAL", "FATAL")

#: Said by the application, the graphics driver or the X server, whatever the module does; each with its reason.
KNOWN: tuple[tuple[str, str], ...] = (
    (r"^Switch to module: ", "the application tells of every module that is shown"),
    (r"^Loading Slicer RC file", "the application tells where its start-up file is"),
    (r"MESA|libGL|glx|GLX|swrast|DRI", "the graphics driver on a machine without a graphics card"),
    (r"QXcbConnection: XCB error: 3 \(BadWindow\)", "Qt asks the X server about a menu or dialog that has just closed"),
    (r"XDG_RUNTIME_DIR", "Qt, where no desktop session is running"),
)


@dataclasses.dataclass(frozen=True)
class Said:
    """A line that is a problem.

    Attributes:
        step: the step during which it came.
        text: the line.
    """

    step: str
    text: str


def problems(lines: Iterable[str], *, everything: bool, known: Iterable[tuple[str, str]] = KNOWN) -> list[Said]:
    """The problems among the lines of one output.

    Args:
        everything: every line is one (standard error), not only those that say so.
        known: patterns of what is none, with the reason.
    """
    patterns = [re.compile(pattern) for pattern, _reason in known]
    found = []
    for step, line in _bySteps(lines):
        if step == _START or not line.strip() or any(pattern.search(line) for pattern in patterns):
            continue
        if everything or _PROBLEM.search(line):
            found.append(Said(step, line.rstrip()))
    return found


def logProblems(lines: Iterable[str], known: Iterable[tuple[str, str]] = KNOWN) -> list[Said]:
    """The problems in the application's own log."""
    patterns = [re.compile(pattern) for pattern, _reason in known]
    found = []
    for step, line in _bySteps(lines):
        entry = _LOGGED.match(line)
        if step == _START or entry is None or entry["level"] not in _BAD_LEVELS:
            continue
        if not any(pattern.search(entry["text"]) for pattern in patterns):
            found.append(Said(step, f"{entry['level']}: {entry['text']}"))
    return found


def startMessages(lines: Iterable[str]) -> int:
    """How many lines the application wrote before the first step."""
    return sum(1 for step, line in _bySteps(lines) if step == _START and line.strip())


def _bySteps(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    step = _START
    for line in lines:
        before, mark, name = line.partition(MARK)
        if mark:
            step = name.strip()
        if not mark:
            yield step, line
        elif not _LOGGED.match(line):  # the log has its own words before the mark
            yield step, before
