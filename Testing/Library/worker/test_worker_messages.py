"""Messages between client and worker: every one comes back as it went, and nothing breaks the reader."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from JointRegistrationLib.core.config import RegistrationConfig
from JointRegistrationLib.core.progress import Progress
from JointRegistrationLib.worker import backend
from JointRegistrationLib.worker.exchange import SegmentationJob
from JointRegistrationLib.worker.messages import (
    Cancel,
    Cancelled,
    Decoder,
    Done,
    Failed,
    Log,
    Ping,
    Ready,
    Register,
    Shutdown,
    decode,
    encode,
)
from JointRegistrationLib.worker.server import TimeLeft
from Testing.Support.worker_cases import small_job

EVERY_KIND = [
    Register("C:\\a folder\\ü"),
    Cancel(),
    Shutdown(),
    Ping(),
    Ready(7, {"torch": "2.4"}, {"cuda": "NVIDIA H200, 139 GB free", "cpu": "CPU, 2 threads"}, "the file is missing"),
    Progress("affine", 0.25, 1.5, 12.0),
    Progress("affine", 0.25),
    Done("/tmp/a"),
    Failed("InputError", "two\nlines"),
    Cancelled(),
    Log('a "line" with {braces}'),
]


@pytest.mark.parametrize("message", EVERY_KIND, ids=lambda message: type(message).__name__)
def test_message_is_one_line_of_ascii_and_comes_back(message):
    line = encode(message)
    assert line.endswith(b"\n") and line.count(b"\n") == 1 and line.isascii()
    assert decode(line) == message


@pytest.mark.parametrize(
    "line",
    [
        "Warning: something",
        "[1, 2]",
        "null",
        '{"type": "Done"}',
        '{"type": "Done", "folder": 3}',
        '{"type": "Done", "folder": "a", "more": 1}',
        '{"type": "Unheard"}',
        '{"type": ["Done"]}',
        '{"type": "Progress", "stage": "a", "fraction": "half"}',
        '{"type": "Done", "folder": "a"',
    ],
)
def test_what_is_no_message_becomes_a_log_line(line):
    assert decode(line.encode()) == Log(line)


@given(st.binary(max_size=200))
def test_no_bytes_break_the_decoder(data):
    decoder = Decoder()
    messages = decoder.feed(data + b"\n" + encode(Done("a")))
    assert messages[-1] == Done("a")


@given(st.lists(st.integers(1, 40), max_size=30))
def test_messages_survive_any_cutting(cuts):
    stream = b"".join(map(encode, EVERY_KIND))
    decoder, seen, start = Decoder(), [], 0
    for size in [*cuts, len(stream)]:
        seen += decoder.feed(stream[start : start + size])
        start += size
    assert seen == EVERY_KIND


# -- time left ----------------------------------------------------------------------------------------------


def _after(times_and_fractions):
    now = 0.0
    left = TimeLeft(lambda: now)
    for now, fraction in times_and_fractions:  # noqa: B007 the clock reads it
        seconds = left.update(fraction)
    return seconds


def test_time_left_of_an_even_run_is_exact():
    assert _after([(t, t / 40) for t in range(1, 11)]) == pytest.approx(30.0)


def test_time_left_is_not_told_too_early_nor_without_progress():
    assert _after([(0.1, 0.0), (1.9, 0.5)]) is None
    assert _after([(1.0, 0.0), (5.0, 0.0)]) is None


def test_time_left_follows_a_later_stage_that_is_slower():
    quick = [(t / 10, t / 20) for t in range(1, 11)]  # half of it in one second
    slow = [(1 + t, 0.5 + t / 100) for t in range(1, 20)]
    assert _after(quick + slow) == pytest.approx(31.0, rel=0.05)


# -- memory plans -------------------------------------------------------------------------------------------


def test_plans_go_from_fewer_voxels_to_the_cpu():
    job = small_job()
    asked, thinned, cpu = backend.memory_plans(job, "cuda")
    assert (asked.job, asked.note) == (job, "")
    voxels = job.config.preprocess.max_working_voxels
    assert thinned.job.config.preprocess.max_working_voxels == voxels // 4
    assert thinned.job.config.device == "auto"
    assert cpu.job.config == RegistrationConfig(device="cpu")
    assert "GPU's memory ran out" in thinned.note and "on the CPU" in cpu.note


@pytest.mark.parametrize("config, auto", [(RegistrationConfig(), "cpu"), (RegistrationConfig(device="cpu"), "cuda")])
def test_on_the_cpu_there_is_one_plan_with_less_memory(config, auto):
    asked, thinned = backend.memory_plans(small_job(config=config), auto)
    assert asked.job.config == config
    assert "computer's memory ran out" in thinned.note


@pytest.mark.parametrize("device, auto, devices", [("auto", "cuda", ["auto", "cpu"]), ("auto", "cpu", ["auto"])])
def test_bones_are_looked_for_on_the_cpu_if_the_gpus_memory_runs_out(device, auto, devices):
    job = SegmentationJob(small_job().inputs.fixed, device)
    assert [plan.job.device for plan in backend.memory_plans(job, auto)] == devices
