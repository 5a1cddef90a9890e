"""Runs the scenario in a Slicer, and says what was wrong: ``make slicer-test SLICER=/path/to/Slicer``.

    python3 Testing/Slicer/scenario/run.py /path/to/Slicer [--output FOLDER] [--part main] [--stub] [--images]

Every part is a start of the application of its own, with settings of its own. It needs an X display: where there is no
DISPLAY, Xvfb is started, with a window manager. The mouse and the keyboard are xdotool's.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
sys.path[:0] = [str(HERE.parent)]

from scenario.console import Said, logProblems, problems, startMessages  # noqa: E402

PARTS = ("self-tests", "without-pytorch", "main", "reopened")
_SIZE = "1600x1000x24"
#: The longest a part may take, a guard against hanging.
_HANGS_S = 3600.0
_WINDOW_MANAGERS = ("openbox", "metacity", "xfwm4", "twm")


def main() -> int:
    """Run the parts; 0 if all went well."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is ended then, too
    options = _options()
    missing = _missing()
    if missing:
        print(f"Missing: {', '.join(missing)}. Debian, Ubuntu: sudo apt-get install xdotool xvfb openbox")
        return 2
    output = options.output.resolve()
    output.mkdir(parents=True, exist_ok=True)
    failed = False
    with _display(output) as display:
        for part in options.part or PARTS:
            began = time.monotonic()
            faults = _run(options, part, output / part, display)
            print(f"{part}: {'; '.join(faults[:1]) or 'passed'} ({time.monotonic() - began:.0f} s)", flush=True)
            for fault in faults:
                print(f"  {fault}")
            failed = failed or bool(faults)
    if options.images and not failed:
        from scenario.images import copyImages

        copyImages(output, ROOT / "docs" / "images")
    print(f"Pictures, consoles and records are in {output}")
    return int(failed)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("slicer", type=Path, help="the application's launcher")
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "slicer-test")
    parser.add_argument("--part", action="append", choices=PARTS, help="only this part; may come several times")
    parser.add_argument("--stub", action="store_true", help="a stand-in registers: for a Slicer without PyTorch")
    parser.add_argument("--steps", help="only these steps of the part, by their names with commas between")
    parser.add_argument("--images", action="store_true", help="write the pictures of README and docs")
    options = parser.parse_args()
    if not os.access(options.slicer, os.X_OK):
        parser.error(f"{options.slicer} is no program; give the path of Slicer's launcher: SLICER=/path/to/Slicer")
    return options


def _missing() -> list[str]:
    needed = ["xdotool"] + ([] if os.environ.get("DISPLAY") else ["Xvfb"])
    return [name for name in needed if shutil.which(name) is None]


@contextlib.contextmanager
def _display(output: Path) -> Iterator[str]:
    """The display to use: the one that is set, or a new one."""
    if os.environ.get("DISPLAY"):
        yield os.environ["DISPLAY"]
        return
    read, write = os.pipe()
    with (output / "xvfb.log").open("w") as log:
        server = subprocess.Popen(
            ["Xvfb", "-displayfd", str(write), "-screen", "0", _SIZE, "-nolisten", "tcp"],
            pass_fds=[write], stdout=log, stderr=log,
        )  # fmt: skip
        os.close(write)
        with os.fdopen(read) as pipe:
            display = f":{pipe.readline().strip()}"
        manager = next((name for name in _WINDOW_MANAGERS if shutil.which(name)), None)
        environment = {**os.environ, "DISPLAY": display}
        started = [subprocess.Popen([manager], env=environment, stdout=log, stderr=log)] if manager else []
        try:
            yield display
        finally:
            for process in [*started, server]:
                process.terminate()
                process.wait()


def _run(options: argparse.Namespace, part: str, folder: Path, display: str) -> list[str]:
    """Start the application once, and say what was wrong."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    command = [
        str(options.slicer), "--no-splash", "--disable-settings", "--ignore-slicerrc",
        "--additional-module-paths", str(ROOT / "JointRegistration"),
        "--python-script", str(HERE / "inside.py"), part, str(folder), *(["--stub"] if options.stub else []),
        *(["--steps", options.steps] if options.steps else []),
    ]  # fmt: skip
    with (
        tempfile.TemporaryDirectory() as home,
        (folder / "stdout").open("w") as out,
        (folder / "stderr").open("w") as err,
    ):
        environment = {**os.environ, "DISPLAY": display, "HOME": home, "XDG_CONFIG_HOME": home}
        environment["XDG_CACHE_HOME"] = str(folder.parent / "cache")  # the sample pair is computed once
        process = subprocess.Popen(command, stdout=out, stderr=err, env=environment, start_new_session=True)
        try:
            code = process.wait(timeout=_HANGS_S)
        except subprocess.TimeoutExpired:
            code = -1
        finally:
            left = _endGroup(process)
        log = _record(folder).get("log", "")
        if log and Path(log).exists():
            shutil.copy(log, folder / "application.log")
    return [*_faultsOf(folder, code), *(["a process was left behind"] if left else [])]


def _endGroup(process: subprocess.Popen[bytes]) -> bool:
    """End what the application left of its process group; whether there still was something after a while."""
    end = time.monotonic() + 30
    with contextlib.suppress(ProcessLookupError):
        while process.poll() is not None and time.monotonic() < end:
            os.killpg(process.pid, 0)
            time.sleep(0.5)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return True
    return False


def _record(folder: Path) -> dict[str, object]:
    path = folder / "record.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def _faultsOf(folder: Path, code: int) -> list[str]:
    """What was wrong in a part, in words."""
    record = _record(folder)
    faults = [] if code == 0 else [f"the application ended with code {code}"]
    if not record.get("complete"):
        faults.append("the scenario did not come to its end")
    for step in record.get("steps", ()):  # type: ignore[attr-defined]
        if step["failure"]:
            faults.append(f"{step['name']}: {step['failure'].strip().splitlines()[-1]}")
        faults += [f"{step['name']}: {change}" for change in step["changes"]]
    lines = {name: _lines(folder / name) for name in ("stdout", "stderr", "application.log")}
    said = [
        *problems(lines["stdout"], everything=False),
        *problems(lines["stderr"], everything=True),
        *logProblems(lines["application.log"]),
    ]
    faults += [f"{line.step}: console: {line.text}" for line in dict.fromkeys(said) if isinstance(line, Said)]
    started = sum(startMessages(found) for found in lines.values())
    (folder / "faults.txt").write_text("\n".join([*faults, f"({started} lines at the start)"]), encoding="utf-8")
    return faults


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []


if __name__ == "__main__":
    sys.exit(main())
