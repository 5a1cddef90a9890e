"""The client's states, on a transport without a process: what it sends, what it tells, when it gives up."""

from __future__ import annotations

from pathlib import Path

import pytest

from JointRegistrationLib.core.errors import InputError, JointRegistrationError, ResourceError
from JointRegistrationLib.core.progress import Progress
from JointRegistrationLib.worker.client import NOT_ANSWERING, Client, State
from JointRegistrationLib.worker.messages import (
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
    encode,
)
from Testing.Support.worker_cases import Clock, FakeTransport, Recorder

JOB = Path("a-folder")
READY = Ready(7, {}, {"cpu": "CPU"})


class Fixture:
    def __init__(self) -> None:
        self.transport, self.recorder, self.clock = FakeTransport(), Recorder(), Clock()
        self.client = Client(self.transport, self.recorder, self.clock, start_patience_s=60, cancel_patience_s=0.7)

    def says(self, *messages: Message) -> None:
        self.client.receive(b"".join(map(encode, messages)))

    def after(self, seconds: float) -> None:
        self.clock.now += seconds
        self.client.tick()


@pytest.fixture
def worker() -> Fixture:
    return Fixture()


@pytest.fixture
def busy(worker: Fixture) -> Fixture:
    worker.client.start()
    worker.says(READY)
    worker.client.submit(JOB, worker.recorder)
    return worker


def test_start_is_done_once_and_ends_in_ready(worker):
    worker.client.start()
    worker.client.start()
    assert (worker.transport.started, worker.client.state, worker.client.ready) == (1, State.STARTING, None)
    worker.says(READY)
    assert (worker.client.state, worker.client.ready) == (State.READY, READY)
    assert worker.recorder.told == [("ready", READY)]


def test_a_run_submitted_to_a_stopped_worker_waits_until_it_is_ready(worker):
    worker.client.submit(JOB, worker.recorder)
    assert (worker.client.state, worker.client.running, worker.transport.written) == (State.STARTING, True, [])
    worker.says(READY)
    assert (worker.client.state, worker.transport.written) == (State.BUSY, [Register("a-folder")])


def test_progress_and_done_reach_the_listener_and_the_worker_takes_the_next_run(busy):
    progress = Progress("affine", 0.5, 1.5, 3.0)
    busy.says(progress, Log("a line"), Done("a-folder"))
    assert busy.recorder.told[1:] == [("progress", progress), ("log", "a line"), ("done", JOB)]
    busy.client.submit(Path("another"), busy.recorder)
    assert (busy.transport.started, busy.transport.written[-1]) == (1, Register("another"))


def test_each_run_tells_the_listener_that_came_with_it(worker):
    own = Recorder()
    worker.client.submit(JOB, own)
    worker.says(READY, Progress("affine", 0.5), Log("a line"), Done("a-folder"))
    assert own.told == [("progress", Progress("affine", 0.5)), ("done", JOB)]
    assert worker.recorder.told == [("ready", READY), ("log", "a line")]
    worker.client.submit(JOB, worker.recorder)
    worker.says(Done("a-folder"))
    assert worker.recorder.names == ["ready", "done"]


def test_only_one_run_at_a_time(busy):
    with pytest.raises(ResourceError, match="running already"):
        busy.client.submit(Path("another"), busy.recorder)
    busy.client.cancel()
    with pytest.raises(ResourceError, match="running already"):
        busy.client.submit(Path("another"), busy.recorder)


def test_failure_has_the_kind_and_text_of_the_library_s_error_and_the_worker_stays(busy):
    busy.says(Failed("InputError", "moving: every voxel has the value 0"))
    error = busy.recorder.last("failed")
    assert type(error) is InputError and str(error) == "moving: every voxel has the value 0"
    assert (busy.client.state, busy.transport.killed) == (State.READY, 0)


@pytest.mark.parametrize("kind", ["ZeroDivisionError", "annotations"])
def test_after_an_unexpected_error_the_worker_is_replaced(busy, kind):
    busy.says(Failed(kind, "not foreseen"))
    error = busy.recorder.last("failed")
    assert type(error) is JointRegistrationError
    assert f"{kind}: not foreseen" in str(error) and "report" in str(error)
    assert (busy.client.state, busy.transport.killed) == (State.STOPPED, 1)


# -- cancel ---------------------------------------------------------------------------------------------


def test_cancel_of_a_waiting_run_lets_the_worker_go_on_starting(worker):
    worker.client.submit(JOB, worker.recorder)
    worker.client.cancel()
    assert (worker.recorder.names, worker.client.state) == (["cancelled"], State.STARTING)
    worker.says(READY)
    assert (worker.client.state, worker.transport.written, worker.transport.killed) == (State.READY, [], 0)


def test_cancel_that_is_acknowledged_keeps_the_worker_warm(busy):
    busy.client.cancel()
    busy.client.cancel()
    assert busy.transport.written == [Register("a-folder"), Cancel()]
    busy.after(0.6)
    busy.says(Progress("affine", 0.9), Cancelled())
    assert busy.recorder.names == ["ready", "cancelled"]
    assert "progress" not in [name for name, _ in busy.recorder.told]
    busy.after(60)
    assert (busy.client.state, busy.transport.killed) == (State.READY, 0)


def test_cancel_that_is_not_acknowledged_in_time_counts_and_the_worker_may_still_stop_by_itself(busy):
    busy.client.cancel()
    busy.after(0.65)
    assert busy.recorder.names == ["ready"]
    busy.after(0.1)
    assert (busy.recorder.names, busy.client.state, busy.client.running) == (
        ["ready", "cancelled"],
        State.STOPPING,
        False,
    )
    busy.says(Progress("affine", 0.9), Cancelled())
    busy.after(60)
    assert (busy.client.state, busy.transport.killed, busy.recorder.names) == (State.READY, 0, ["ready", "cancelled"])


def test_a_worker_that_does_not_stop_is_ended_and_the_next_run_starts_another(busy):
    busy.client.cancel()
    busy.after(0.75)
    busy.after(3.9)
    assert busy.transport.killed == 0
    busy.after(0.2)
    assert (busy.client.state, busy.transport.killed) == (State.STOPPED, 1)
    busy.says(Done("a-folder"))  # said before it died
    busy.client.submit(JOB, busy.recorder)
    assert (busy.recorder.names, busy.transport.started) == (["ready", "cancelled"], 2)


@pytest.fixture
def stopping(busy: Fixture) -> Fixture:
    """The run was cancelled, the worker has not paused yet, and the next run waits."""
    busy.client.cancel()
    busy.after(0.75)
    busy.client.submit(Path("another"), busy.recorder)
    assert busy.transport.written == [Register("a-folder"), Cancel()]
    return busy


@pytest.mark.parametrize("end", [Done("a-folder"), Cancelled(), Failed("ResourceError", "the folder is gone")])
def test_a_run_that_waits_for_the_worker_to_stop_begins_then(stopping, end):
    stopping.says(end)
    assert (stopping.client.state, stopping.transport.written[-1]) == (State.BUSY, Register("another"))
    stopping.says(Done("another"))
    assert stopping.recorder.names == ["ready", "cancelled", "done"]
    assert stopping.transport.started == 1


def test_a_run_that_waits_gets_a_new_worker_if_the_old_one_does_not_stop(stopping):
    stopping.after(4.1)
    assert (stopping.client.state, stopping.transport.killed, stopping.transport.started) == (State.STARTING, 1, 2)
    stopping.says(READY)
    assert (stopping.client.state, stopping.transport.written[-1]) == (State.BUSY, Register("another"))


def test_a_run_that_waits_gets_a_new_worker_if_the_old_one_dies(stopping):
    stopping.client.ended(-9)
    assert (stopping.client.state, stopping.transport.started) == (State.STARTING, 2)


def test_a_run_that_waits_can_be_cancelled_at_once(stopping):
    stopping.client.cancel()
    assert (stopping.client.running, stopping.recorder.names) == (False, ["ready", "cancelled", "cancelled"])
    stopping.says(Cancelled())
    assert (stopping.client.state, stopping.transport.written[-1]) == (State.READY, Cancel())


@pytest.mark.parametrize("end", [Done("a-folder"), Failed("InputError", "x"), Failed("ValueError", "x")])
def test_whatever_a_cancelled_run_ends_with_it_counts_as_cancelled(busy, end):
    busy.client.cancel()
    busy.says(end)
    assert busy.recorder.names == ["ready", "cancelled"]
    assert not busy.client.running


def test_death_of_a_worker_that_was_asked_to_cancel_counts_as_cancelled(busy):
    busy.client.cancel()
    busy.client.ended(-9)
    assert (busy.recorder.names, busy.client.state) == (["ready", "cancelled"], State.STOPPED)


def test_cancel_and_close_without_a_run_tell_nothing(worker):
    worker.client.cancel()
    worker.client.close()
    worker.client.start()
    worker.says(READY)
    worker.client.cancel()
    assert (worker.client.state, worker.transport.written) == (State.READY, [])


# -- death ------------------------------------------------------------------------------------------------


def test_death_in_a_run_is_told_with_the_last_words_and_what_to_do(busy):
    busy.client.ended(-9, "Killed by the system\n")
    error = busy.recorder.last("failed")
    assert isinstance(error, ResourceError)
    for words in (
        "at its work",
        "code -9",
        "Killed by the system",
        "Try again",
        "nothing was changed",
    ):
        assert words in str(error)
    busy.client.submit(JOB, busy.recorder)
    assert busy.transport.started == 2


def test_death_while_starting_fails_the_waiting_run(worker):
    worker.client.submit(JOB, worker.recorder)
    worker.client.ended(1, "ImportError: libcudnn")
    assert "while it started (code 1)" in str(worker.recorder.last("failed"))
    assert "libcudnn" in str(worker.recorder.last("failed"))
    assert not worker.client.running


def test_death_between_two_runs_is_only_logged_and_the_next_run_starts_another(busy):
    busy.says(Done("a-folder"))
    busy.client.ended(0)
    assert busy.recorder.names == ["ready", "done"]
    assert "starts a new one" in busy.recorder.last("log")
    busy.client.submit(JOB, busy.recorder)
    assert busy.transport.started == 2


def test_a_worker_that_cannot_load_pytorch_says_so(worker):
    worker.client.start()
    worker.says(Failed("ResourceError", "the registration process cannot start: ImportError: torch"))
    error = worker.recorder.last("failed")
    assert isinstance(error, ResourceError) and "ImportError: torch" in str(error)
    assert (worker.client.state, worker.transport.killed) == (State.STOPPED, 1)


def test_a_program_that_is_missing_fails_the_run(worker):
    worker.transport.fails = True
    worker.client.submit(JOB, worker.recorder)
    assert "no such program" in str(worker.recorder.last("failed"))
    assert (worker.client.state, worker.client.running) == (State.STOPPED, False)


def test_a_worker_that_is_never_ready_is_ended(worker):
    worker.client.submit(JOB, worker.recorder)
    worker.after(59)
    assert worker.recorder.names == []
    worker.after(2)
    assert "not ready after 60 s" in str(worker.recorder.last("failed"))
    assert (worker.client.state, worker.transport.killed) == (State.STOPPED, 1)


# -- the rest -----------------------------------------------------------------------------------------------


def test_close_ends_the_worker_and_cancels_its_run(busy):
    busy.client.close()
    assert busy.transport.written[-1] == Shutdown()
    assert (busy.recorder.names, busy.client.state, busy.transport.killed) == (
        ["ready", "cancelled"],
        State.STOPPED,
        1,
    )


def test_refresh_asks_between_runs_and_its_answer_is_told(busy):
    busy.client.refresh()
    busy.says(Done("a-folder"))
    busy.client.refresh()
    assert busy.transport.written == [Register("a-folder"), Ping()]
    now = Ready(7, {}, {"cuda": "NVIDIA, 3 GB free"})
    busy.says(now)
    assert (busy.client.ready, busy.client.state, busy.recorder.last("ready")) == (now, State.READY, now)


def test_what_is_no_message_is_logged(busy):
    busy.client.receive(b"Using backend: pytorch\n{broken\n")
    assert [told for name, told in busy.recorder.told if name == "log"] == ["Using backend: pytorch", "{broken"]
    assert busy.client.state is State.BUSY


def test_messages_cut_anywhere_arrive_whole(worker):
    worker.client.submit(JOB, worker.recorder)
    stream = b"".join(map(encode, (READY, Progress("affine", 0.5), Done("a-folder"))))
    for index in range(len(stream)):
        worker.client.receive(stream[index : index + 1])
    assert [name for name, _ in worker.recorder.told] == ["ready", "progress", "done"]


def test_half_a_message_of_a_dead_worker_does_not_reach_the_next_one(busy):
    busy.client.receive(encode(Done("a-folder"))[:-5])
    busy.client.ended(1)
    busy.client.submit(JOB, busy.recorder)
    busy.says(READY)
    assert busy.client.state is State.BUSY
    assert busy.recorder.names == ["ready", "failed", "ready"]


def test_a_listener_may_submit_the_next_run_when_told_of_an_end(worker):
    class Again(Recorder):
        def onDone(self, folder: object) -> None:
            super().onDone(folder)
            if len(self.told) < 3:
                worker.client.submit(Path("second"), self)

    again = Again()
    worker.client.submit(JOB, again)
    worker.says(READY, Done("a-folder"), Done("second"))
    assert again.told == [("done", JOB), ("done", Path("second"))]


# -- silence --------------------------------------------------------------------------------------------------


def test_a_worker_that_says_nothing_for_20_s_is_said_not_to_answer_once_and_until_it_does(busy):
    progress = Progress("affine", 0.25, None, 3.0)
    busy.says(progress)
    busy.after(19.9)
    assert busy.recorder.last("progress") == progress
    busy.after(0.2)
    busy.after(5.0)
    told = [what for name, what in busy.recorder.told if name == "progress"]
    assert told == [progress, Progress(NOT_ANSWERING, 0.25)]
    assert (busy.client.state, busy.transport.killed) == (State.BUSY, 0), "it may go on, or be cancelled"
    busy.says(Alive())
    assert busy.recorder.last("progress") == progress
    busy.after(20.1)
    assert busy.recorder.last("progress") == Progress(NOT_ANSWERING, 0.25)


def test_a_sign_of_life_is_enough_however_long_a_step_takes(busy):
    for _ in range(10):
        busy.after(10.0)
        busy.says(Alive())
    assert "progress" not in [name for name, _ in busy.recorder.told]


def test_the_silence_of_an_idle_worker_means_nothing_and_does_not_count_for_the_next_run(worker):
    worker.client.start()
    worker.says(READY)
    worker.after(1000.0)
    worker.client.submit(JOB, worker.recorder)
    worker.after(1.0)
    assert "progress" not in [name for name, _ in worker.recorder.told]
    worker.client.cancel()
    worker.after(0.8)
    assert worker.recorder.names[-1] == "cancelled"
