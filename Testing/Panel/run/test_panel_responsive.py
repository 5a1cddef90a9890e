"""The window stays alive: the event loop comes round after every step of the work, whatever is registered.

How long a step takes is measured by Testing/Benchmarks/speed_limits.py.
"""

from __future__ import annotations

import importlib
import itertools
import sys
from collections.abc import Callable, Generator
from typing import Any

import pytest

from JointRegistrationMRML import pauses
from JointRegistrationMRML.run.job import RegistrationJob
from Testing.Support.panel_cases import Person, bentPair, surfacePair


def roundsOfTheLoop(person: Person, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Fills with the round of the event loop in which each step of a run was taken."""
    rounds, taken = [0], []
    qtTimer(person, lambda: rounds.__setitem__(0, rounds[0] + 1))
    step = RegistrationJob.step

    def counted(job: Any) -> bool:
        taken.append(rounds[0])
        return step(job)

    monkeypatch.setattr(RegistrationJob, "step", counted)
    return taken


def smallBentPair(person: Person) -> None:
    bentPair(person, (40, 40, 30))


@pytest.mark.parametrize("choose", [smallBentPair, surfacePair], ids=["masks and bent volumes", "surfaces"])
def test_the_event_loop_comes_round_after_every_step_of_reading(
    person: Person, choose: Callable[[Person], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    person.open("--stay-at", "preparing")
    choose(person)
    person.waitUntilReady()
    taken = roundsOfTheLoop(person, monkeypatch)
    monkeypatch.setattr(pauses, "STEP_S", 0.0)  # the shortest steps, however fast the machine is
    person.host.click(person.ui.registerButton)
    person.host.wait(lambda: person.panel._worker.client.state.value == "busy")
    person.host.click(person.ui.cancelButton)
    person.host.wait(lambda: not person.panel._run.running)
    assert len(taken) > 150
    assert len(set(taken)) == len(taken), "two steps in one round of the event loop"


def pausesOfViews(person: Person) -> list[int]:
    """How often each slice view was told not to draw, and not yet to draw again."""
    layoutManager = person.host.layoutManager
    return [layoutManager.sliceWidget(name)._pauses for name in layoutManager.sliceViewNames()]


def test_no_view_draws_within_a_step_and_one_in_each_turn_after_it(person: Person) -> None:
    from JointRegistrationPanel.window import drawnApart

    person.host.loadModule("JointRegistration")
    within = []

    def work() -> Generator[None, None, str]:
        within.append(pausesOfViews(person))
        yield
        within.append(pausesOfViews(person))
        return "done"

    turns, after = drawnApart(work()), []
    with pytest.raises(StopIteration, match="done"):
        while True:
            next(turns)
            after.append(pausesOfViews(person))
    assert within == [[1, 1, 1]] * 2  # the same views
    assert after == [[1, 1, 1], [0, 1, 1], [0, 0, 1], [0, 0, 0]] * 2


@pytest.mark.parametrize("how", ["fails", "is left"])
def test_views_draw_again_after_a_step_that_fails_or_is_left(person: Person, how: str) -> None:
    from JointRegistrationPanel.window import drawnApart

    person.host.loadModule("JointRegistration")

    def work() -> Generator[None, None, None]:
        if how == "fails":
            raise ValueError
        yield

    turns = drawnApart(work())
    if how == "fails":
        with pytest.raises(ValueError):
            next(turns)
    else:
        next(turns)
        assert pausesOfViews(person) == [1, 1, 1]
        turns.close()
    assert pausesOfViews(person) == [0, 0, 0]


def test_views_that_wait_draw_after_a_single_change_too(person: Person) -> None:
    from JointRegistrationPanel.window import still

    person.host.loadModule("JointRegistration")
    within = []
    still(lambda: within.append(pausesOfViews(person)))
    assert within == [[1, 1, 1]] == [pausesOfViews(person)]
    person.host.wait(lambda: pausesOfViews(person) == [0, 0, 0])


def test_a_stop_closes_the_steps_themselves(person: Person) -> None:
    from JointRegistrationPanel.window import Turns

    person.host.loadModule("JointRegistration")
    closed = []

    def work() -> Generator[None, None, None]:
        try:
            yield
        finally:
            closed.append(pausesOfViews(person))

    steps = work()  # held here too
    turns = Turns(steps)
    turns._step()
    turns.stop()
    assert closed == [[1, 1, 1]]  # what the steps take back is not drawn in between either
    assert pausesOfViews(person) == [0, 0, 0]


def test_discard_takes_one_thing_away_in_each_turn_of_the_event_loop(person: Person) -> None:
    from JointRegistrationMRML.scene.transaction import nodesOf

    person.open()
    person.chooseVolumes()
    person.register()
    person.fit()
    own = ("vtkMRMLTransformNode", "vtkMRMLScalarVolumeNode", "vtkMRMLSegmentationNode", "vtkMRMLTableNode")
    counts = []

    def count(*_args: Any) -> None:
        counts.append(sum(any(node.IsA(kind) for kind in own) for node in nodesOf(person.scene)))

    count()
    timer = qtTimer(person, count)
    person.discard()
    timer.stop()
    count()
    assert counts[0] - counts[-1] >= 4
    assert max(before - after for before, after in itertools.pairwise(counts)) == 1


def test_what_the_panel_imports_is_imported_one_by_one_before_it_is_opened(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(pauses, "import_module", asked.append)
    module = person.host.loadModule("JointRegistration")
    person.host.finishStartup()
    importing = sys.modules["JointRegistration"].JointRegistration.importing
    person.host.wait(lambda: not importing.active)
    assert asked == list(sys.modules["JointRegistration"]._PARTS)
    monkeypatch.undo()
    for name in asked:
        importlib.import_module(name)
    assert module is not None


def qtTimer(person: Person, called: Callable[..., None]) -> Any:
    """A timer that calls in every turn of the event loop."""
    import qt

    timer = qt.QTimer(person.host.app)
    timer.connect("timeout()", called)
    timer.start(0)
    return timer
