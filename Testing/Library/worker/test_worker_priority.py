"""The worker's priority where the application that starts it has put itself last."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from JointRegistrationLib.worker.priority import NICENESS

pytestmark = pytest.mark.skipif(not hasattr(os, "setpriority"), reason="priorities of this kind are not on Windows")

_LAST = 19
_SAY = "import os; from JointRegistrationLib.worker import priority as p; "


def _said(code: str, **environment: str) -> str:
    values = {**os.environ, **environment}
    done = subprocess.run([sys.executable, "-c", _SAY + code], env=values, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_a_process_that_put_itself_last_wants_back_to_where_it_was_started():
    own = os.getpriority(os.PRIO_PROCESS, 0)
    lowered = "os.setpriority(os.PRIO_PROCESS, 0, 19); print(p.wanted_niceness())"
    assert _said(lowered) == str(own if own < _LAST else None)
    if own < _LAST:
        assert _said("print(p.wanted_niceness())") == "None"


@pytest.mark.parametrize("wanted", ["19", "no number", None])
def test_the_niceness_of_the_environment_is_taken_and_nonsense_left_alone(wanted):
    environment = {} if wanted is None else {NICENESS: wanted}
    found = _said("p.take_niceness(); print(os.getpriority(os.PRIO_PROCESS, 0))", **environment)
    assert int(found) == (_LAST if wanted == "19" else os.getpriority(os.PRIO_PROCESS, 0))
