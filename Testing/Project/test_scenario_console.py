"""The scenario's reading of the console, its pump and its record of pauses, without an application."""

from __future__ import annotations

from Testing.Slicer.scenario.console import logProblems, problems, startMessages
from Testing.Slicer.scenario.pump import Pauses, Pump

OUTPUT = """\
Switch to module: Welcome
WARNING: the graphics driver is old
[scenario] open
Switch to module: JointRegistration
a library's chatter
[scenario] register
Traceback (most recent call last):
  File "widget.py", line 3, in _judge
ValueError: no
[scenario] discard
ERROR: In vtkMRMLScene.cxx, line 1050
QObject::connect: signal not found
"""

LOG = """\
[WARNING][Qt] 29.11.2026 02:00:00 [Qt] (unknown:0) - before the first step
[DEBUG][Stream] 29.11.2026 02:00:01 [] (unknown:0) - [scenario] open
[INFO][Stream] 29.11.2026 02:00:02 [] (unknown:0) - an error: is only a word here
[ERROR][VTK] 29.11.2026 02:00:03 [vtk] (file.cxx:20) - No display node for segmentation
[WARNING][Qt] 29.11.2026 02:00:03 [Qt] (unknown:0) - libGL: no card
"""


def test_lines_that_say_they_are_errors_or_warnings_are_found_with_their_step() -> None:
    found = [(said.step, said.text) for said in problems(OUTPUT.splitlines(), everything=False)]
    assert found == [
        ("register", "Traceback (most recent call last):"),
        ("register", "ValueError: no"),
        ("discard", "ERROR: In vtkMRMLScene.cxx, line 1050"),
        ("discard", "QObject::connect: signal not found"),
    ]


def test_of_standard_error_every_line_counts_but_what_is_known() -> None:
    lines = ["at the start", "[scenario] open", "whatever it is", "libGL error: no card", ""]
    assert [said.text for said in problems(lines, everything=True)] == ["whatever it is"]


def test_what_the_application_says_while_it_starts_is_counted_and_not_judged() -> None:
    assert startMessages(OUTPUT.splitlines()) == 2
    assert problems(OUTPUT.splitlines()[:2], everything=True) == []


def test_the_log_is_judged_by_its_levels() -> None:
    found = [(said.step, said.text) for said in logProblems(LOG.splitlines())]
    assert found == [("open", "ERROR: No display node for segmentation")]


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_pump_goes_on_when_a_condition_holds() -> None:
    pump, done, allowed = Pump(10), [], []

    def doing():
        done.append(1)
        yield lambda: allowed
        done.append(2)

    pump.begin(doing())
    for _ in range(3):
        pump.tick()
    assert (done, pump.busy) == ([1], True)
    allowed.append(True)
    pump.tick()
    assert (done, pump.busy, pump.failure) == ([1, 2], False, None)


def test_the_pump_tells_a_hang_and_an_error_with_the_place() -> None:
    clock = Clock()
    pump = Pump(10, clock)

    def hanging():
        yield lambda: False

    def failing():
        yield lambda: True
        raise ValueError("not here")

    pump.begin(hanging())
    pump.tick()
    clock.now = 11.0
    pump.tick()
    assert not pump.busy and "nothing happened within 10 s" in pump.failure
    pump.begin(failing())
    pump.tick()
    pump.tick()
    assert not pump.busy and "ValueError: not here" in pump.failure


def test_a_tick_inside_a_tick_changes_nothing() -> None:
    pump, order = Pump(10), []

    def doing():
        order.append("begins")
        pump.tick()  # a dialog's event loop
        order.append("goes on")
        yield lambda: True

    pump.begin(doing())
    pump.tick()
    assert order == ["begins", "goes on"] and pump.failure is None


def test_pauses_are_kept_with_their_step_and_the_scenarios_own_time_is_none() -> None:
    clock = Clock()
    pauses = Pauses(0.2, clock)
    for step, seconds in (("open", 0.02), ("open", 0.5), ("register", 0.1), ("register", 0.3), ("register", 0.9)):
        pauses.step = step
        clock.now += seconds
        pauses.tick()
    pauses.skip()
    clock.now += 5
    pauses.tick()
    found = {step: [round(s, 6) for s in times] for step, times in pauses.longest(["open", "register", "save"]).items()}
    assert found == {"open": [0.5], "register": [0.9, 0.3]}
