"""The command line, run many times by one warm process that forks, because importing PyTorch takes seconds.

Reads a line of JSON for each run: ``arguments``, and ``kill_after_s`` or null. The run is a process of its own that is
killed at that time, wherever it is. Answers with its exit code (negative: the signal) and the seconds that it took.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time


def main() -> None:
    """Serve standard input."""
    import SimpleITK  # noqa: F401 what every run needs, once
    import torch

    from JointRegistrationLib.cli import cli, register_files  # noqa: F401
    from JointRegistrationLib.evaluation import run  # noqa: F401
    from JointRegistrationLib.registration import register  # noqa: F401

    torch.set_num_threads(1)
    for line in sys.stdin:
        order = json.loads(line)
        begin = time.monotonic()
        child = os.fork()
        if child == 0:
            _run(cli, order["arguments"])
        status = _wait(child, None if order["kill_after_s"] is None else begin + order["kill_after_s"])
        answer = {"exit_code": os.waitstatus_to_exitcode(status), "seconds": time.monotonic() - begin}
        print(json.dumps(answer), flush=True)  # noqa: T201


def _run(cli: object, arguments: list[str]) -> None:
    code = 1
    try:
        silence = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(silence, descriptor)
        cli(arguments)  # type: ignore[operator]
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    finally:
        os._exit(code)


def _wait(child: int, deadline: float | None) -> int:
    while deadline is not None and time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status
        time.sleep(0.0005)
    if deadline is not None:
        os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1]


if __name__ == "__main__":
    main()
