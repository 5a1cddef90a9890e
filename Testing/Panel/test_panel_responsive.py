"""The window stays alive: the event loop comes round after every step of the work, whatever is registered.

How long a step takes is measured by Testing/Benchmarks/speed_limits.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from JointRegistrationMRML import pauses
from JointRegistrationMRML.run.job import RegistrationJob
from Testing.Support.panel_cases import Person, bentPair, surfacePair


def roundsOfTheLoop(person: Person, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Fills with the round of the event loop in which each step of a run was taken."""
    import qt

    rounds, taken = [0], []
    timer = qt.QTimer(person.host.app)
    timer.connect("timeout()", lambda: rounds.__setitem__(0, rounds[0] + 1))
    timer.start(0)
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
