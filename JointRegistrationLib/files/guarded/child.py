"""Files that could end or fill this process are read in another one, with bounds on its memory and time.

The child (:mod:`.child_reader`) answers with numbers in NumPy's own files, in a folder that is gone afterwards.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...core import errors
from ...core.errors import FileError, JointRegistrationError, ResourceError
from ...core.system.children import python_program
from ...core.system.memory import available_bytes
from ...core.system.reading import check_input_file
from .forker import STDERR, Forker

#: Memory that any file may take, and how many times its size a larger one may: a field is 6 bytes a voxel in a file
#: and 24 in memory, in several copies.
_MEMORY, _MEMORY_FACTOR = 7 << 28, 16
#: Seconds of processor time, and bytes of the file for each further one. Waiting is not counted, so that a busy machine
#: does no harm; what waits for ever is stopped after many times that.
_SECONDS, _BYTES_PER_SECOND, _WAIT_FACTOR = 15, 4_000_000, 20
_REPLY = "reply.json"


@dataclass(frozen=True)
class Answer:
    """What the child read: plain values, arrays by name, and what ITK had to say."""

    values: dict[str, Any]
    arrays: dict[str, npt.NDArray[Any]]
    warnings: str


def ask_child(what: str, path: Path, options: Mapping[str, Any] | None = None) -> Answer:
    """Let a child process read a file.

    Args:
        what: a function of :mod:`.child_reader`.
        path: the file.
        options: further arguments for it, as plain values.

    Raises:
        JointRegistrationError: the child's own, or FileError if reading ended or filled it.
        ResourceError: if it could not be started, or there is no space for its answer.
    """
    check_input_file(path)
    size = path.stat().st_size
    with tempfile.TemporaryDirectory(prefix="joint-registration-read-") as folder:
        request = {
            "what": what,
            "file": str(path.absolute()),
            "name": str(path),
            "options": dict(options or {}),
            "memory_bytes": max(_MEMORY, _MEMORY_FACTOR * size),
            "most_bytes": (available_bytes() or 0) // 2,
            "seconds": _SECONDS + size // _BYTES_PER_SECOND,
        }
        (Path(folder) / "request.json").write_text(json.dumps(request), encoding="ascii")
        warnings = _run(folder, path, request)
        return _answer(Path(folder), path, warnings)


def write_answer(folder: Path, values: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """The child's part: the arrays first, so that a reply means that all is there."""
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array, allow_pickle=False)
    reply = json.dumps({"values": dict(values), "arrays": list(arrays)})
    (folder / _REPLY).write_text(reply, encoding="ascii")


def write_failure(folder: Path, error: JointRegistrationError) -> None:
    """The child's part: an error to be raised in the parent."""
    reply = json.dumps({"error": [type(error).__name__, str(error)]})
    (folder / _REPLY).write_text(reply, encoding="ascii")


def _run(folder: str, path: Path, request: Mapping[str, Any]) -> str:
    """Let a child work and wait; what it wrote to stderr."""
    timeout_s = _WAIT_FACTOR * float(request["seconds"])
    try:
        code = _spawned(folder, timeout_s) if os.name == "nt" else _forker().run(folder, timeout_s)
    except subprocess.TimeoutExpired as error:
        raise FileError(f"{path}: reading it does not end; it is damaged: copy or export the file again") from error
    except OSError as error:
        raise ResourceError(
            f"{path}: no process could be started to read it ({error}); close other programs"
        ) from error
    messages = Path(folder) / STDERR
    said = messages.read_bytes()[-4000:].decode("utf-8", "replace") if messages.exists() else ""
    if not (Path(folder) / _REPLY).is_file():
        raise _died(path, code, said)
    return said


@cache
def _forker() -> Forker:
    return Forker(_command("serve(main)"), _environment())


def _spawned(folder: str, timeout_s: float) -> int:
    with (Path(folder) / STDERR).open("wb") as messages:
        done = subprocess.run(
            [*_command("main(sys.argv[2])"), folder],
            check=False,
            cwd=folder,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=messages,
            timeout=timeout_s,
        )
    return done.returncode


def _command(call: str) -> list[str]:
    """Python with a call of :mod:`.child_reader`: it finds packages where this process does, and nothing elsewhere."""
    library = str(Path(__file__).resolve().parents[3])
    found = dict.fromkeys([*(str(Path(entry).absolute()) for entry in sys.path if entry), library])
    start = "import sys; sys.path[:] = sys.argv[1].split('\\n'); "
    return [
        python_program(),
        "-c",
        f"{start}from JointRegistrationLib.files.guarded.child_reader import *; {call}",
        "\n".join(found),
    ]


def _environment() -> dict[str, str]:
    one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"), "1")
    return {**os.environ, **one, "PYTHONSAFEPATH": "1"}


def _died(path: Path, code: int, said: str) -> JointRegistrationError:
    """The error for a child that ended without an answer."""
    last = said.strip().splitlines()[-1:] or [""]
    if "No space left" in said:
        return ResourceError(f"{path}: there is no space in {tempfile.gettempdir()} to read it; free some space")
    if "MemoryError" in said or "bad_alloc" in said or "alloc" in last[0]:
        return FileError(
            f"{path}: asks for more memory than a file of its size can hold; it is damaged: export it again"
        )
    if code in (-getattr(signal, "SIGXCPU", 0), -getattr(signal, "SIGKILL", 0)):
        return FileError(f"{path}: reading it takes too long or too much memory; it is damaged: export the file again")
    if code > 0 and "Error" in last[0]:
        return FileError(f"{path}: cannot be read ({last[0][:160]}); copy or export the file again")
    return FileError(f"{path}: damaged: reading it ended the reader (code {code}); copy or export the file again")


def _answer(folder: Path, path: Path, warnings: str) -> Answer:
    reply = json.loads((folder / _REPLY).read_text(encoding="ascii"))
    if "error" in reply:
        name, message = reply["error"]
        raise getattr(errors, name, FileError)(message)
    arrays = {name: np.load(folder / f"{name}.npy", allow_pickle=False) for name in reply["arrays"]}
    return Answer(reply["values"], arrays, warnings)
