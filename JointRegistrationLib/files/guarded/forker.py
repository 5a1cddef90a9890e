"""A process that has the image libraries loaded and forks for each file: starting one anew takes a second each time.

It ends with this process, or when nothing was asked of it for a while. Not for Windows, which cannot fork.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

_IDLE_SECONDS = 60
#: Where a child's messages go, in the folder of its request.
STDERR = "stderr.txt"


class Forker:
    """The asking side. One file at a time; threads wait for each other.

    Args:
        command: of the process, which calls :func:`serve`.
        environment: its whole environment.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._command, self._environment = list(command), dict(environment)
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0
        self._lock = threading.Lock()

    def run(self, folder: str, timeout_s: float) -> int:
        """Let a fork work on the request in ``folder``; its exit code, negative for a signal.

        Raises:
            subprocess.TimeoutExpired: if it did not end in time; it was killed.
            OSError: if the process cannot be started.
        """
        with self._lock:
            for _ in range(2):  # an idle one may have ended just now
                pid = self._begin(folder)
                if pid is not None:
                    return self._wait(pid, timeout_s)
            raise OSError("the reading process does not start")

    def _begin(self, folder: str) -> int | None:
        """Hand over the folder; the fork's process id, or None if there was nobody to ask."""
        if self._process is None or self._process.poll() is not None or self._owner != os.getpid():
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd=os.sep,
                env=self._environment,
            )
            self._owner = os.getpid()
        try:
            _sent(self._process.stdin).write(json.dumps(folder).encode("ascii") + b"\n")
            _sent(self._process.stdin).flush()
            return int(_sent(self._process.stdout).readline())
        except (OSError, ValueError):
            self._end()
            return None

    def _wait(self, pid: int, timeout_s: float) -> int:
        assert self._process is not None
        output = _sent(self._process.stdout)
        with selectors.DefaultSelector() as selector:
            selector.register(output, selectors.EVENT_READ)
            if selector.select(timeout_s):
                return int(output.readline() or -signal.SIGKILL)
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)
        output.readline()
        raise subprocess.TimeoutExpired(self._command, timeout_s)

    def _end(self) -> None:
        if self._process is not None:
            for stream in (self._process.stdin, self._process.stdout):
                with contextlib.suppress(OSError):
                    _sent(stream).close()
            self._process.kill()
            self._process.wait()
            self._process = None


def serve(work: Callable[[str], None]) -> None:
    """The answering side: for each folder on stdin, the process id of a fork and then its exit code on stdout.

    Args:
        work: called in the fork, in the folder, with the folder; what it writes to stderr goes to :data:`STDERR` there.
    """
    with selectors.DefaultSelector() as selector:
        selector.register(0, selectors.EVENT_READ)
        while selector.select(_IDLE_SECONDS):
            line = _line()
            if not line:
                return
            pid = os.fork()
            if pid == 0:
                _work_on(json.loads(line), work)
            os.write(1, b"%d\n" % pid)
            _, status = os.waitpid(pid, 0)
            os.write(1, b"%d\n" % os.waitstatus_to_exitcode(status))


def _work_on(folder: str, work: Callable[[str], None]) -> None:
    code = 1
    try:
        os.chdir(folder)
        messages = os.open(Path(folder) / STDERR, os.O_WRONLY | os.O_CREAT, 0o600)
        nothing = os.open(os.devnull, os.O_RDWR)
        for source, target in ((nothing, 0), (nothing, 1), (messages, 2)):
            os.dup2(source, target)
        work(folder)
        code = 0
    except BaseException as error:  # noqa: BLE001 a fork must end here, whatever happens
        os.write(2, f"{type(error).__name__}: {error}\n".encode("utf-8", "replace"))
    finally:
        os._exit(code)


def _line() -> bytes:
    """A line from stdin, unbuffered, so that none is kept from the selector."""
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(0, 1)
        if not byte:
            return b""
        line += byte
    return line


def _sent(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None
    return stream
