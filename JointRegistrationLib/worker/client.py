"""The worker as its user sees it: a state machine, independent of how the process is run.

A :class:`Transport` runs the process. Whoever owns it hands on what the process does: bytes of its
standard output to :meth:`Client.receive`, its end to :meth:`Client.ended`, and, several times a second,
the passing of time to :meth:`Client.tick`. All calls come from one thread. This module imports no PyTorch.
"""

from __future__ import annotations

import enum
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from ..core.errors import JointRegistrationError, RegistrationCancelled, ResourceError
from ..core.progress import Progress, RunListener
from .messages import (
    Cancel,
    Cancelled,
    Decoder,
    Done,
    Failed,
    Log,
    Message,
    Ping,
    Ready,
    Register,
    Shutdown,
    death,
    encode,
    error_of,
    known_kind,
)

#: How long a worker that was asked to cancel may take before its user is told that it has.
CANCEL_PATIENCE_S = 0.7
#: How long after that it may go on to its next pause before its process is ended: a cold start takes as long.
STOP_PATIENCE_S = 4.0
#: How long a worker may take to say that it is ready; importing PyTorch from a slow disk takes long.
START_PATIENCE_S = 180.0
#: How long a worker that runs may say nothing before its user is told; it gives a sign of life more often than that.
SILENCE_PATIENCE_S = 20.0
#: The stage of the progress by which a run's listener is told that.
NOT_ANSWERING = "not answering"


class State(enum.Enum):
    """Return the worker's state. A run that waits for the start is part of ``STARTING``, or of ``STOPPING``.

    ``STOPPING``: the cancelled run is over for its user, but the worker has not come to a pause yet.
    """

    STOPPED = "stopped"
    STARTING = "starting"
    READY = "ready"
    BUSY = "busy"
    CANCELLING = "cancelling"
    STOPPING = "stopping"


class Transport(Protocol):
    """Runs the worker's process. After :meth:`kill` nothing of that process may reach the client."""

    @property
    def running(self) -> bool:
        """Return whether there is a process."""
        ...

    def start(self) -> None:
        """Start a fresh process; raises ``OSError`` if that is impossible."""
        ...

    def write(self, data: bytes) -> None:
        """Send to its standard input; raises ``OSError`` or does nothing if it is gone."""
        ...

    def kill(self) -> None:
        """End the process and its children at once; nothing to do if there is none."""
        ...


class WorkerListener(Protocol):
    """Told of the worker, whether it runs or not."""

    def onReady(self, ready: Ready) -> None: ...  # noqa: N802 the scene layer implements these

    def onLog(self, text: str) -> None: ...  # noqa: N802

    def onFailed(self, error: JointRegistrationError) -> None:  # noqa: N802
        """It could not be started, and no run was waiting for it."""


class Client:
    """Keeps one worker and gives it one run at a time.

    Args:
        transport: runs the process.
        listener: told of the worker.
        clock: seconds, from any origin.
        start_patience_s, cancel_patience_s, stop_patience_s, silence_patience_s: see :data:`START_PATIENCE_S`,
            :data:`CANCEL_PATIENCE_S`, :data:`STOP_PATIENCE_S` and :data:`SILENCE_PATIENCE_S`.
    """

    def __init__(
        self,
        transport: Transport,
        listener: WorkerListener,
        clock: Callable[[], float] = time.monotonic,
        *,
        start_patience_s: float = START_PATIENCE_S,
        cancel_patience_s: float = CANCEL_PATIENCE_S,
        stop_patience_s: float = STOP_PATIENCE_S,
        silence_patience_s: float = SILENCE_PATIENCE_S,
    ) -> None:
        self._transport = transport
        self._listener = listener
        self._clock = clock
        self._start_patience_s, self._cancel_patience_s = start_patience_s, cancel_patience_s
        self._stop_patience_s, self._silence_patience_s = stop_patience_s, silence_patience_s
        self._decoder = Decoder()
        self._state = State.STOPPED
        self._ready: Ready | None = None
        self._run: tuple[Path, RunListener[Path]] | None = None
        self._deadline = 0.0
        self._heard, self._silent = 0.0, False
        self._progress = Progress("", 0.0)

    @property
    def state(self) -> State:
        """Return the worker's state."""
        return self._state

    @property
    def ready(self) -> Ready | None:
        """Return what the worker said of itself, or None before its start and after its end."""
        return self._ready

    @property
    def running(self) -> bool:
        """Return whether a run is under way or waits for the worker."""
        return self._run is not None

    # -- what the user asks for -----------------------------------------------------------------------

    def start(self) -> None:
        """Start the worker if there is none. A failure is reported to ``onFailed``."""
        if self._state is not State.STOPPED:
            return
        self._decoder, self._ready = Decoder(), None
        self._state, self._deadline = State.STARTING, self._clock() + self._start_patience_s
        try:
            self._transport.start()
        except OSError as error:
            self._stop()
            self._fail(ResourceError(f"the registration process could not be started: {error}; check the installation"))

    def submit(self, folder: Path, listener: RunListener[Path]) -> None:
        """Run the job in ``folder``, as soon as the worker is ready, or has stopped an earlier run.

        Args:
            folder: complete, see :func:`.exchange.job_steps`.
            listener: told of this run; it ends with ``folder``, where the result lies then.

        Raises:
            ResourceError: if a run is under way.
        """
        if self._run is not None:
            raise ResourceError("a registration or search is running already; wait for its end or cancel it")
        self._run = folder, listener
        if self._state is not State.STOPPING:
            self._next_run()

    def cancel(self) -> None:
        """End the run: it has failed, as cancelled, within ``cancel_patience_s``. Without a run nothing happens."""
        if self._run is None or self._state is State.CANCELLING:
            return
        if self._state in (State.STARTING, State.STOPPING):  # the worker goes on: the next run will want it
            self._end_cancelled()
            return
        self._state, self._deadline = State.CANCELLING, self._clock() + self._cancel_patience_s
        self._write(Cancel())

    def refresh(self) -> None:
        """Have ``onReady`` called again with what is found now, e.g. the GPU's free memory."""
        if self._state is State.READY:
            self._write(Ping())

    def close(self) -> None:
        """End the worker; a run under way is cancelled."""
        if self._state is not State.STOPPED:
            self._write(Shutdown())
            self._stop()
        if self._run is not None:
            self._end_cancelled()

    # -- what the transport's owner hands on ------------------------------------------------------------

    def receive(self, data: bytes) -> None:
        """Bytes of the worker's standard output, cut anywhere."""
        self._hear()
        decoder = self._decoder
        for message in decoder.feed(data):
            if self._decoder is not decoder or self._state is State.STOPPED:
                return  # the worker that said this has been ended
            self._take(message)

    def ended(self, exit_code: int, stderr_tail: str = "") -> None:
        """The process ended by itself."""
        if self._state is State.STOPPED:
            return
        before = self._state
        self._stop()
        if before is State.CANCELLING:
            self._end_cancelled()
        elif before is State.STOPPING:
            self._next_run()
        elif before is State.READY:
            self._listener.onLog(f"the registration process ended (code {exit_code}); the next run starts a new one")
        else:
            self._fail(ResourceError(death(before is State.STARTING, exit_code, stderr_tail)))

    def tick(self) -> None:
        """Time has passed: ends a worker that does not start, or does not stop, in time; says if it is silent."""
        if self._state is State.BUSY:
            self._check_silence()
        if self._state not in (State.STARTING, State.CANCELLING, State.STOPPING) or self._clock() < self._deadline:
            return
        if self._state is State.CANCELLING:
            self._state, self._deadline = State.STOPPING, self._clock() + self._stop_patience_s
            self._end_cancelled()
        elif self._state is State.STOPPING:
            self._stop()
            self._next_run()
        else:
            self._stop()
            self._fail(
                ResourceError(
                    f"the registration process was not ready after {self._start_patience_s:.0f} s and was ended; "
                    "try again, and close other programs if the computer is busy"
                )
            )

    # -- inside -----------------------------------------------------------------------------------------

    def _take(self, message: Message) -> None:
        if isinstance(message, Log):
            self._listener.onLog(message.text)
        elif isinstance(message, Ready):
            self._take_ready(message)
        elif isinstance(message, Failed) and self._state is State.STARTING:
            self._stop()
            self._fail(error_of(message))
        elif self._state is State.CANCELLING and isinstance(message, (Done, Failed, Cancelled)):
            self._pause(message)
            self._end_cancelled()  # whatever it was: the user has cancelled
        elif self._state is State.STOPPING and isinstance(message, (Done, Failed, Cancelled)):
            self._pause(message)
            self._next_run()
        elif self._state is State.BUSY:
            self._take_of_run(message)

    def _take_ready(self, ready: Ready) -> None:
        self._ready = ready
        starting = self._state is State.STARTING
        if starting:
            self._state = State.READY
        self._listener.onReady(ready)
        if starting and self._state is State.READY and self._run is not None:
            self._send_job()

    def _hear(self) -> None:
        self._heard = self._clock()
        if self._silent:
            self._silent = False
            if self._state is State.BUSY:
                self._tell(self._progress)

    def _check_silence(self) -> None:
        if not self._silent and self._clock() - self._heard >= self._silence_patience_s:
            self._silent = True
            self._tell(Progress(NOT_ANSWERING, self._progress.fraction))

    def _take_of_run(self, message: Message) -> None:
        if isinstance(message, Progress):
            self._progress = message
            self._tell(message)
        elif isinstance(message, (Done, Failed, Cancelled)):
            self._pause(message)
            if isinstance(message, Done):
                self._end_run().onDone(Path(message.folder))
            elif isinstance(message, Failed):
                self._end_run().onFailed(error_of(message))
            else:
                self._end_cancelled()

    def _tell(self, progress: Progress) -> None:
        if self._run is not None:
            self._run[1].onProgress(progress)

    def _pause(self, message: Message) -> None:
        """The run has ended; the worker waits for the next, or is ended if it may be out of order."""
        if isinstance(message, Failed) and known_kind(message) is None:
            self._stop()  # after an unexpected error, e.g. of CUDA, only a new process is surely sound
        else:
            self._state = State.READY

    def _next_run(self) -> None:
        """Begin the run that waited until the worker had stopped, if there is one."""
        if self._run is None:
            return
        if self._state is State.READY:
            self._send_job()
        else:
            self.start()

    def _end_run(self) -> RunListener[Path]:
        assert self._run is not None
        (_, listener), self._run = self._run, None
        return listener

    def _end_cancelled(self) -> None:
        self._end_run().onFailed(RegistrationCancelled("the registration was cancelled; nothing was changed"))

    def _fail(self, error: JointRegistrationError) -> None:
        (self._listener if self._run is None else self._end_run()).onFailed(error)

    def _send_job(self) -> None:
        assert self._run is not None
        self._state = State.BUSY
        self._heard, self._silent, self._progress = self._clock(), False, Progress("preparing", 0.0)
        self._write(Register(str(self._run[0])))

    def _write(self, message: Message) -> None:
        try:
            self._transport.write(encode(message))
        except OSError as error:  # it is ending: ended() or tick() follow
            self._listener.onLog(f"the registration process takes no more messages: {error}")

    def _stop(self) -> None:
        self._state, self._ready, self._decoder = State.STOPPED, None, Decoder()
        self._transport.kill()
