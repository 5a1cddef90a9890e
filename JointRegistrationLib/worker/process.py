"""The worker as an ordinary child process: the command, and a transport without an event loop.

For scripts, tests and the synchronous form; a panel runs the same command its own way. This module
imports no PyTorch.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from ..core.system.children import PythonCommand, module_command
from .client import Client

_TAIL_BYTES = 4000
#: How long its last words are waited for; a child of its own may hold the pipe open for ever.
_LAST_WORDS_S = 5.0


#: How to start the worker.
WorkerCommand = PythonCommand


def worker_command(environment: Mapping[str, str] | None = None) -> WorkerCommand:
    """The command of the worker; see :func:`.children.code_command`."""
    return module_command("JointRegistrationLib.worker", environment=environment)


class SubprocessTransport:
    """A :class:`.client.Transport` that collects what the process does until :meth:`deliver` hands it on."""

    def __init__(self, command: WorkerCommand | None = None) -> None:
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None
        self._events: queue.Queue[bytes | None] = queue.Queue()
        self._stderr = bytearray()

    @property
    def running(self) -> bool:
        """Return whether there is a process."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start a fresh process; raises ``OSError`` if that is impossible."""
        command = self._command or worker_command()
        self._process = subprocess.Popen(
            [command.program, *command.arguments],
            env=command.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,  # a group of its own: Ctrl-C in a terminal is for the parent to handle
        )
        self._events, self._stderr = queue.Queue(), bytearray()
        errors = threading.Thread(target=_collect, args=(self._process.stderr, self._stderr), daemon=True)
        errors.start()
        threading.Thread(target=_read, args=(self._process.stdout, errors, self._events), daemon=True).start()

    def write(self, data: bytes) -> None:
        """Send to its standard input; raises ``OSError`` if it is gone."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.write(data)

    def kill(self) -> None:
        """End the process and its children at once."""
        process, self._process = self._process, None
        self._events = queue.Queue()
        if process is None:
            return
        if process.poll() is None:
            kill_tree(process.pid)
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    def deliver(self, client: Client, timeout_s: float = 0.0) -> None:
        """Wait up to ``timeout_s`` for something to happen, then hand on all that has, and the time."""
        deadline = time.monotonic() + timeout_s
        while self._process is not None:
            events = self._events
            try:
                data = events.get(timeout=max(deadline - time.monotonic(), 0.0)) if timeout_s else events.get_nowait()
            except queue.Empty:
                break
            timeout_s = 0.0
            if data is not None:
                client.receive(data)
            elif self._process is not None:
                client.ended(self._process.wait(), self._stderr.decode("utf-8", errors="replace"))
        client.tick()


def kill_tree(pid: int) -> None:
    """End a process and its children at once; on Linux and macOS it must lead a session of its own."""
    if sys.platform == "win32":
        taskkill = (
            Path(os.environ.get("SYSTEMROOT", r"C:\Windows")) / "System32" / "taskkill.exe"
        )  # not a namesake here
        subprocess.run([taskkill, "/F", "/T", "/PID", str(pid)], capture_output=True, check=False)
        return
    with contextlib.suppress(OSError):
        os.killpg(pid, signal.SIGKILL)


def _collect(pipe: IO[bytes] | None, tail: bytearray) -> None:
    """Keep the end of what the process writes."""
    with contextlib.suppress(OSError, ValueError):
        while pipe is not None and (data := pipe.read(2**16)):
            tail += data
            del tail[:-_TAIL_BYTES]


def _read(pipe: IO[bytes] | None, errors: threading.Thread, events: queue.Queue[bytes | None]) -> None:
    """Put into ``events`` what the process says, and None when it has ended."""
    with contextlib.suppress(OSError, ValueError):
        while pipe is not None and (data := pipe.read(2**16)):
            events.put(data)
    errors.join(timeout=_LAST_WORDS_S)
    events.put(None)
