"""What client and worker say to each other: one JSON object a line, each a frozen dataclass.

The field ``"type"`` holds the class's name. Every line can be decoded: what is not one of these messages,
for example what a library prints, becomes a :class:`Log`. This module imports no PyTorch.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any

from ..core import errors
from ..core.errors import JointRegistrationError
from ..core.progress import Progress

# -- to the worker ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Register:
    """Run the job in ``folder``, see :mod:`.exchange`."""

    folder: str


@dataclass(frozen=True)
class Cancel:
    """End the run under way, or the one that waits."""


@dataclass(frozen=True)
class Shutdown:
    """End the process."""


@dataclass(frozen=True)
class Ping:
    """Say Ready again, with what is found now; answered between runs."""


# -- from the worker ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ready:
    """The worker waits for a job.

    Args:
        pid: its process id.
        versions: by package, ``"python"`` included.
        devices: what there is to compute on, in words, by its name in the configuration. The first is what
            ``"auto"`` takes, and its words say why where that is the CPU.
        weights: why the networks' weights could not be loaded; empty if they were.
    """

    pid: int
    versions: dict[str, str] = field(default_factory=dict)
    devices: dict[str, str] = field(default_factory=dict)
    weights: str = ""


@dataclass(frozen=True)
class Done:
    """The result lies in the job's ``folder``."""

    folder: str


@dataclass(frozen=True)
class Failed:
    """The run, or the start of the worker, failed. ``kind`` is a class of :mod:`.errors`, or another's name."""

    kind: str
    message: str


@dataclass(frozen=True)
class Cancelled:
    """The run was ended as asked; it left no result."""


@dataclass(frozen=True)
class Alive:
    """A sign of life, every few seconds of a run, however long its steps take."""


@dataclass(frozen=True)
class Log:
    """A line for the log."""

    text: str


ToWorker = Register | Cancel | Shutdown | Ping
FromWorker = Ready | Progress | Done | Failed | Cancelled | Alive | Log
Message = ToWorker | FromWorker

_TYPES: dict[str, type[Any]] = {
    kind.__name__: kind
    for kind in (Register, Cancel, Shutdown, Ping, Ready, Progress, Done, Failed, Cancelled, Alive, Log)
}


def encode(message: Message) -> bytes:
    """One line of ASCII, newline included."""
    values = {"type": type(message).__name__, **dataclasses.asdict(message)}
    return json.dumps(values).encode("ascii") + b"\n"


def decode(line: bytes) -> Message:
    """The message of one line; a :class:`Log` of the line itself if it is none."""
    text = line.decode("utf-8", errors="replace").strip()
    try:
        values = json.loads(text)
        kind = _TYPES[values.pop("type")]
        message: Message = kind(**values)
    except (ValueError, KeyError, TypeError, AttributeError):
        return Log(text)
    return message if _well_typed(message) else Log(text)


def _well_typed(message: Message) -> bool:
    """Whether every field has the kind of value that its annotation says."""
    allowed: dict[str, tuple[type, ...]] = {
        "str": (str,),
        "int": (int,),
        "float": (int, float),
        "float | None": (int, float, type(None)),
        "dict[str, str]": (dict,),
    }
    return all(
        isinstance(getattr(message, entry.name), allowed[str(entry.type)]) for entry in dataclasses.fields(message)
    )


class Decoder:
    """Bytes as they arrive, cut anywhere, to messages."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[Message]:
        """The messages that ``data`` completes. Empty lines are skipped."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [decode(line) for line in lines if line.strip()]


def known_kind(failed: Failed) -> type[JointRegistrationError] | None:
    """The error class of that name, or None if it is not one of ours."""
    kind = getattr(errors, failed.kind, None)
    return kind if isinstance(kind, type) and issubclass(kind, JointRegistrationError) else None


def error_of(failed: Failed) -> JointRegistrationError:
    """The error that the worker told of; one that nobody foresaw asks for a report."""
    kind = known_kind(failed)
    if kind is not None:
        return kind(failed.message)
    return JointRegistrationError(
        f"the registration process failed unexpectedly ({failed.kind}: {failed.message}); please report it with the log"
    )


def death(starting: bool, exit_code: int, stderr_tail: str) -> str:
    """Why a run failed whose process ended by itself, and what to do."""
    when = "while it started" if starting else "at its work"
    last = stderr_tail.strip()
    said = f" Its last words: {last}" if last else ""
    return (
        f"the registration process ended {when} (code {exit_code}); nothing was changed. Try again; if it "
        f"happens again, close other programs or, to register, reduce preprocess.max_working_voxels.{said}"
    )
