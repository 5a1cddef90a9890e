"""The worker's side: takes jobs one after the other and says how they go.

The backend's two functions do the work; tests give :func:`serve` others. This module imports no PyTorch
by itself.
"""

from __future__ import annotations

import dataclasses
import os
import queue
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import IO

from ..core import errors
from ..core.errors import JointRegistrationError, OutOfMemory, RegistrationCancelled
from ..core.lattices.segments import RunSegments
from ..core.progress import CancelCheck, Progress, ProgressCallback
from ..core.result import RegistrationResult
from ..core.structures import Segmentation
from . import backend
from .backend import memory_plans
from .exchange import AnyJob, Job, read_job, write_found, write_result
from .folders import remove_folder, remove_stale_folders
from .messages import (
    Alive,
    Cancel,
    Cancelled,
    Done,
    Failed,
    Log,
    Message,
    Ping,
    Ready,
    Register,
    Shutdown,
    decode,
    encode,
)
from .segments import warp_segments

Run = Callable[[AnyJob, ProgressCallback, CancelCheck], RegistrationResult | Segmentation]

_PROGRESS_INTERVAL_S = 0.1
_PARENT_CHECK_S = 1.0
_ALIVE_S = 5.0
_CARRYING_THREADS = 4  # it is bound by the memory, which more do not make faster


def serve(
    make_ready: Callable[[], Ready] = backend.make_ready,
    run: Run = backend.run,
    free_memory: Callable[[], None] = backend.free_memory,
) -> int:
    """Serve standard input and output; when the former ends, so does the process.

    Returns:
        The process's exit code if the worker could not start.

    Args:
        make_ready: loads what runs need and says what there is. Called again for a Ping.
        run: runs a job, see :func:`.backend.run`.
        free_memory: called after memory ran out.
    """
    output = _Output(_take_stdout())
    requests = _Requests(sys.stdin.buffer)
    threading.Thread(target=_watch_parent, args=(requests,), daemon=True).start()
    threading.Thread(target=_give_signs_of_life, args=(requests, output), daemon=True).start()
    remove_stale_folders()
    try:
        ready = make_ready()
    except Exception as error:  # noqa: BLE001 whatever it is, its cause must be told
        output.send(Log(traceback.format_exc()))
        output.send(Failed("ResourceError", f"the registration process cannot start: {type(error).__name__}: {error}"))
        return 1
    output.send(ready)
    worker = _Worker(output, run, free_memory, next(iter(ready.devices), "cpu"))
    while True:
        request = requests.next()
        if isinstance(request, _Run):
            worker.work(request)
            requests.finished(request)
        elif isinstance(request, Ping):
            output.send(make_ready())
        else:
            output.send(Log(f"not understood: {request}"))


def _take_stdout() -> IO[bytes]:
    """Keep standard output for messages: what libraries print goes to standard error from now on."""
    sys.stdout.flush()
    channel = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return channel


class _Output:
    """Sends messages from any thread."""

    def __init__(self, channel: IO[bytes]) -> None:
        self._channel, self._lock = channel, threading.Lock()

    def send(self, message: Message) -> None:
        try:
            with self._lock:
                self._channel.write(encode(message))
        except OSError:
            os._exit(1)  # nobody listens any more


@dataclasses.dataclass(frozen=True)
class _Run:
    folder: Path
    cancel: threading.Event


class _Requests:
    """Reads standard input in a thread, so that a Cancel is seen while a run is under way."""

    def __init__(self, channel: IO[bytes]) -> None:
        self._queue: queue.Queue[_Run | Message] = queue.Queue()
        self._current: _Run | None = None
        threading.Thread(target=self._read, args=(channel,), daemon=True).start()

    def next(self) -> _Run | Message:
        """The next request."""
        return self._queue.get()

    def finished(self, run: _Run) -> None:
        """``run`` is over; the next one may have come already."""
        if self._current is run:
            self._current = None

    @property
    def busy(self) -> bool:
        """Return whether a run is under way, or about to be."""
        return self._current is not None

    def abandon(self) -> None:
        """Nobody waits for this process any more: it ends at once, whatever it is doing."""
        current = self._current
        if current is not None:
            remove_folder(current.folder)
        os._exit(0)

    def _read(self, channel: IO[bytes]) -> None:
        for line in channel:
            message = decode(line)
            if isinstance(message, Register):
                self._current = _Run(Path(message.folder), threading.Event())
                self._queue.put(self._current)
            elif isinstance(message, Cancel):
                if self._current is not None:
                    self._current.cancel.set()
            elif isinstance(message, Shutdown):
                break
            else:
                self._queue.put(message)
        self.abandon()


def _watch_parent(requests: _Requests) -> None:
    """End when the parent has died although standard input stays open, held by another of its children."""
    parent = os.getppid()
    while os.getppid() == parent:
        time.sleep(_PARENT_CHECK_S)
    requests.abandon()


def _give_signs_of_life(requests: _Requests, output: _Output) -> None:
    while True:
        time.sleep(_ALIVE_S)
        if requests.busy:
            output.send(Alive())


class _Worker:
    def __init__(self, output: _Output, run: Run, free_memory: Callable[[], None], auto_device: str) -> None:
        self._output, self._run, self._free_memory = output, run, free_memory
        self._auto_device = auto_device

    def work(self, request: _Run) -> None:
        """Run one job and say how it ended."""
        try:
            job = read_job(request.folder)
            result = self._result(job, request)
            self._write(job, result, request)
            end: Message = Cancelled() if request.cancel.is_set() else Done(str(request.folder))
        except RegistrationCancelled:
            end = Cancelled()
        except JointRegistrationError as error:
            end = Failed(_public_kind(error), str(error))
        except MemoryError:
            end = Failed("OutOfMemory", "memory ran out while images or results were passed on; close other programs")
        except Exception as error:  # noqa: BLE001 the worker must say what happened
            self._output.send(Log(traceback.format_exc()))
            end = Failed(type(error).__name__, str(error))
        if request.cancel.is_set():
            remove_folder(request.folder)  # nobody waits for it, and its sender may have been unable to (Windows)
        self._output.send(end)

    def _write(self, job: AnyJob, result: RegistrationResult | Segmentation, request: _Run) -> None:
        if isinstance(result, Segmentation):
            write_found(request.folder, result)
        else:
            assert isinstance(job, Job)
            write_result(request.folder, result, self._segments(job, result, request))

    def _segments(self, job: Job, result: RegistrationResult, request: _Run) -> RunSegments:
        """The job's segments on the fixed lattice."""
        if job.segments.moving is not None:
            self._output.send(Progress("segments", 1.0))
        field, cancelled = result.displacement_field_mm, request.cancel.is_set
        return warp_segments(job.segments, result.fixed_grid, field, backend.threads(_CARRYING_THREADS), cancelled)

    def _result(self, job: AnyJob, request: _Run) -> RegistrationResult | Segmentation:
        """The result of the first memory plan that memory suffices for."""
        shortage: OutOfMemory | None = None
        for plan in memory_plans(job, self._auto_device):
            if plan.note:
                self._free_memory()
                self._output.send(Log(plan.note))
            try:
                result = self._run(plan.job, self._reporter(), request.cancel.is_set)
            except OutOfMemory as error:
                shortage = OutOfMemory(str(error))  # without its traceback, which keeps the memory
                continue
            except MemoryError:
                shortage = OutOfMemory("memory ran out; reduce preprocess.max_working_voxels, or close other programs")
                continue
            if isinstance(result, Segmentation) or not plan.note:
                return result
            return dataclasses.replace(result, notes=(*result.notes, plan.note))
        assert shortage is not None
        raise shortage

    def _reporter(self) -> ProgressCallback:
        """Progress as messages: every change of stage, else about ten a second."""
        left = TimeLeft()
        last_stage, last_time = "", 0.0

        def report(stage: str, fraction: float, loss: float | None) -> None:
            nonlocal last_stage, last_time
            seconds_left = left.update(fraction)
            now = time.monotonic()
            if stage == last_stage and now - last_time < _PROGRESS_INTERVAL_S:
                return
            last_stage, last_time = stage, now
            self._output.send(Progress(stage, float(fraction), loss if loss is None else float(loss), seconds_left))

        return report


def _public_kind(error: JointRegistrationError) -> str:
    """The nearest class that the errors module has."""
    names = (str(kind.__name__) for kind in type(error).__mro__ if getattr(errors, kind.__name__, None) is kind)
    return next(names)


_LEAST_S = 2.0
_WINDOW_SHARE = 0.5


class TimeLeft:
    """Seconds left from fractions done. Later stages are slower than earlier ones, so the past is forgotten."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._begin = clock()
        self._seen: deque[tuple[float, float]] = deque([(0.0, 0.0)])

    def update(self, fraction: float) -> float | None:
        """Seconds left after ``fraction`` (0 to 1) of the run; None while it is too early to say.

        The pace is that of the last half of the time, or of the last 2 seconds if that is more.
        """
        now = self._clock() - self._begin
        self._seen.append((now, fraction))
        window = max(_LEAST_S, _WINDOW_SHARE * now)
        while len(self._seen) > 2 and self._seen[1][0] <= now - window:
            self._seen.popleft()
        since, done = self._seen[0]
        if now < _LEAST_S or fraction <= done:
            return None
        return (1.0 - fraction) * (now - since) / (fraction - done)
