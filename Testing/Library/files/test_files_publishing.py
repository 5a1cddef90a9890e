"""What several processes, killed ones included, make of one output folder."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from JointRegistrationLib.core.errors import FileError
from JointRegistrationLib.core.system import held_folders
from JointRegistrationLib.core.system.held_folders import LOCK_NAME, UNFINISHED, make_held_folder, remove_left_folders
from JointRegistrationLib.core.system.locks import try_lock
from JointRegistrationLib.files import atomic_file, output_folder
from JointRegistrationLib.files.manifest import MANIFEST_NAME, PUBLISHING, read_manifest

ROOT = Path(__file__).resolve().parents[3]
NAMES = ("a.txt", "b.txt", "c.txt")
posix = pytest.mark.skipif(sys.platform == "win32", reason="sends signals")


def child(code: str, folder: Path) -> subprocess.Popen[str]:
    """A process that runs ``code`` with ``folder`` and what it needs from the library."""
    head = (
        "import os, pathlib, signal, sys, time\n"
        "from pathlib import Path\n"
        "from JointRegistrationLib.files.output import atomic_file, output_folder\n"
        "from JointRegistrationLib.core.system.held_folders import *\n"
        "folder = Path(sys.argv[1])\n"
        "def write(staging, text, *names):\n"
        "    for name in names: (staging / name).write_text(text)\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", head + code, str(folder)],
        stdin=subprocess.PIPE,  # never at its end before communicate: what waits for it waits
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def begun(process: subprocess.Popen[str]) -> subprocess.Popen[str]:
    """The process, once it has said something."""
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n", process.communicate()
    return process


def killed(process: subprocess.Popen[str]) -> None:
    begun(process).send_signal(signal.SIGKILL)
    process.communicate(timeout=30)


def earlier_run(folder: Path) -> None:
    """Files a and b of an earlier run, and one of the user's."""
    with output_folder(folder, NAMES, overwrite=True) as staging:
        for name in ("a.txt", "b.txt"):
            (staging / name).write_text("old")
    (folder / "notes.txt").write_text("mine")


def results(folder: Path) -> dict[str, str]:
    """What a reader believes: the files of the manifest, each as it was written."""
    manifest = read_manifest(folder)
    manifest.check(*manifest.files)
    return {name: (folder / name).read_text() for name in manifest.files}


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


OLD, NEW = {"a.txt": "old", "b.txt": "old"}, {"b.txt": "new", "c.txt": "new"}
RUN = (
    "with output_folder(folder, ('a.txt', 'b.txt', 'c.txt'), overwrite=True) as staging:\n"
    "    write(staging, 'new', 'b.txt', 'c.txt')\n"
)
WAITING = RUN + "    print('begun', flush=True); time.sleep(600)\n"
#: What publishing does to the folder, one after the other: the manifest, the step that counts, two files, the old
#: file that is removed, the manifest's place, the emptied folder.
STEPS = ("write_text", "rename", "replace", "replace", "unlink", "replace", "rmdir")


# -- kills ----------------------------------------------------------------------------------------------------


@posix
@pytest.mark.parametrize("step", range(len(STEPS)))
def test_a_kill_before_any_step_of_publishing_leaves_the_old_run_or_the_new_one(step: int, tmp_path: Path) -> None:
    earlier_run(tmp_path)
    occurrence = STEPS[:step].count(STEPS[step])
    code = (
        f"count, real = [0], Path.{STEPS[step]}\n"
        "def deadly(path, *arguments, **named):\n"
        "    ours = armed and (path.name != LOCK_NAME) and path.name[:12] != UNFINISHED\n"
        f"    if ours and count[0] == {occurrence}: print('begun', flush=True); os.kill(os.getpid(), signal.SIGKILL)\n"
        "    count[0] += ours\n"
        "    return real(path, *arguments, **named)\n"
        f"armed = False\nPath.{STEPS[step]} = deadly\n" + RUN + "    armed = True\n"
    )
    killed(child(code, tmp_path))
    committed = step >= 2
    assert results(tmp_path) == (NEW if committed else OLD)
    expected = {*results(tmp_path), MANIFEST_NAME, "notes.txt"}
    assert {name for name in names(tmp_path) if not name.startswith(".")} == expected
    earlier_run(tmp_path)
    assert results(tmp_path) == OLD
    assert names(tmp_path) == {*OLD, MANIFEST_NAME, "notes.txt"}, "nothing of the killed run is left"


@posix
def test_what_a_killed_run_left_is_gone_after_the_next_and_never_believed(tmp_path: Path) -> None:
    out = tmp_path / "out"
    killed(child(WAITING, out))
    assert any(name.startswith(UNFINISHED) for name in names(out))
    with pytest.raises(FileError, match="incomplete, made by an interrupted run"):
        read_manifest(out)
    with output_folder(out, NAMES) as staging:
        (staging / "a.txt").write_text("next")
    assert names(out) == {"a.txt", MANIFEST_NAME}


@posix
def test_files_that_were_being_written_by_a_killed_process_are_swept_by_the_next(tmp_path: Path) -> None:
    killed(child("with atomic_file(folder / 'a.txt'): print('begun', flush=True); time.sleep(600)", tmp_path))
    assert len(names(tmp_path)) == 1
    with atomic_file(tmp_path / "b.txt") as temporary:
        temporary.write_text("b")
    assert names(tmp_path) == {"b.txt"}


def test_an_interrupted_publication_in_a_folder_that_cannot_be_written_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    earlier_run(tmp_path)
    (tmp_path / PUBLISHING).mkdir()
    (tmp_path / MANIFEST_NAME).replace(tmp_path / PUBLISHING / MANIFEST_NAME)

    def forbidden(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "replace", forbidden)
    with pytest.raises(FileError, match=r"incomplete, made by an interrupted run.*Permission denied.*writable"):
        read_manifest(tmp_path)
    monkeypatch.undo()
    assert results(tmp_path) == OLD


@pytest.mark.parametrize("name", ["../thesis.docx", "/thesis.docx", "a/b", "..", ""])
def test_a_manifest_that_reaches_out_of_its_folder_is_none(name: str, tmp_path: Path) -> None:
    (tmp_path / "thesis.docx").write_text("mine")
    run = tmp_path / "run"
    (run / PUBLISHING).mkdir(parents=True)
    values = {"format": "joint-registration-results-1", "files": {}, "replaced": [name]}
    (run / PUBLISHING / MANIFEST_NAME).write_text(json.dumps(values))
    with pytest.raises(FileError, match="incomplete"):
        read_manifest(run)
    assert (tmp_path / "thesis.docx").read_text() == "mine"


# -- two at once ----------------------------------------------------------------------------------------------


@posix
@pytest.mark.parametrize("existing", [False, True], ids=["new folder", "over an earlier run"])
def test_a_second_run_into_a_folder_is_refused_at_once_and_the_first_one_ends_well(
    existing: bool, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    if existing:
        earlier_run(out)
    first = begun(child(RUN + "    print('begun', flush=True); sys.stdin.readline()\n", out))
    refused = pytest.raises(FileError, match=r"another run is writing to it at the moment; wait for its end")
    with refused, output_folder(out, NAMES, overwrite=True):
        pytest.fail("must be refused before anything is computed")
    if not existing:
        with pytest.raises(FileError, match="a run is writing to it at the moment"):
            read_manifest(out)
    first.communicate(timeout=60)
    assert first.returncode == 0
    assert results(out) == NEW
    assert names(out) == {*NEW, MANIFEST_NAME, *(["notes.txt"] if existing else [])}


@posix
def test_of_many_runs_that_start_together_at_least_one_ends_well_and_nothing_is_mixed(tmp_path: Path) -> None:
    out = tmp_path / "out"
    code = (
        "time.sleep(max(0, float(sys.argv[2]) - time.time()))\n"
        "with output_folder(folder, ('a.txt', 'b.txt', 'c.txt'), overwrite=True) as staging:\n"
        "    write(staging, str(os.getpid()), 'a.txt', 'b.txt', 'c.txt')\n"
    )
    begin = str(time.time() + 3)
    runs = []
    for _ in range(6):
        process = child(code.replace("sys.argv[2]", repr(begin)), out)
        runs.append(process)
    said = [process.communicate(timeout=60)[1] for process in runs]
    winners = {str(process.pid) for process in runs if process.returncode == 0}
    assert winners
    assert all("at the moment" in text for process, text in zip(runs, said, strict=True) if process.returncode)
    found = results(out)
    assert len(set(found.values())) == 1 and set(found.values()) <= winners
    assert names(out) == {*NAMES, MANIFEST_NAME}


def test_files_written_side_by_side_do_not_sweep_each_other(tmp_path: Path) -> None:
    with atomic_file(tmp_path / "a.txt") as first:
        first.write_text("a")
        held_folders._swept.clear()  # as another process would begin
        with atomic_file(tmp_path / "b.txt") as second:
            second.write_text("b")
        assert remove_left_folders(UNFINISHED, tmp_path) == []
    assert names(tmp_path) == {"a.txt", "b.txt"}


# -- locks and held folders -----------------------------------------------------------------------------------


def test_a_lock_keeps_others_out_until_it_is_released(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    lock = try_lock(path)
    assert lock is not None and lock.sure
    assert try_lock(path) is None
    lock.release()
    assert not path.exists()
    again = try_lock(path)
    assert again is not None
    lock.release()
    assert path.exists(), "a second release frees nobody else's"
    again.release()


@posix
def test_a_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    code = "from JointRegistrationLib.core.system.locks import try_lock\nkept = try_lock(folder / 'lock')\n"
    process = begun(child(code + "print('begun', flush=True); time.sleep(600)", tmp_path))
    assert try_lock(tmp_path / "lock") is None
    killed_now = process
    killed_now.send_signal(signal.SIGKILL)
    killed_now.communicate(timeout=30)
    lock = try_lock(tmp_path / "lock")
    assert lock is not None
    lock.release()


@posix
def test_a_link_in_the_place_of_a_lock_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to(tmp_path / "victim")
    with pytest.raises(OSError, match="symbolic link"):
        try_lock(tmp_path / "lock")
    assert not (tmp_path / "victim").exists()


def test_what_looks_like_a_leftover_but_is_not_ours_stays(tmp_path: Path) -> None:
    own = make_held_folder(UNFINISHED, tmp_path)
    users = tmp_path / f"{UNFINISHED}thesis"
    users.mkdir()
    (users / "chapter.txt").write_text("mine")
    left = make_held_folder(UNFINISHED, tmp_path)
    (left / "half").write_text("x")
    (left / "link").symlink_to(users)
    held_folders._held.pop(left).release(remove=False)  # as if its process had been killed
    empty = tmp_path / f"{UNFINISHED}empty"
    empty.mkdir()
    assert sorted(remove_left_folders(UNFINISHED, tmp_path)) == sorted([left, empty])
    assert names(tmp_path) == {own.name, users.name}
    assert (users / "chapter.txt").read_text() == "mine"
    held_folders.remove_held_folder(own)
    assert names(tmp_path) == {users.name}


def test_what_could_not_be_removed_at_once_is_found_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Windows, while another process has a file open."""

    real = Path.unlink

    def in_use(path: Path) -> None:
        if path.name == "open":
            raise PermissionError(13, "in use")
        real(path)

    folder = make_held_folder(UNFINISHED, tmp_path)
    for name in ("open", "closed"):
        (folder / name).write_text("x")
    monkeypatch.setattr(Path, "unlink", in_use)
    held_folders.remove_held_folder(folder)
    assert names(folder) == {"open", LOCK_NAME}
    assert remove_left_folders(UNFINISHED, tmp_path) == []
    monkeypatch.undo()
    assert remove_left_folders(UNFINISHED, tmp_path) == [folder]
    assert names(tmp_path) == set()


@posix
def test_names_that_can_be_foreseen_are_not_written_to(tmp_path: Path) -> None:
    """A link that somebody planted under the temporary name must not be followed."""
    victim = tmp_path / "victim"
    victim.write_text("mine")
    for name in (f".{os.getpid()}-a.txt", ".a.txt.partial", "a.txt.part"):
        (tmp_path / name).symlink_to(victim)
    with atomic_file(tmp_path / "a.txt") as temporary:
        assert (temporary.parent.stat().st_mode & 0o777) == 0o700
        temporary.write_text("ours")
    assert victim.read_text() == "mine"
    assert (tmp_path / "a.txt").read_text() == "ours"
    umask = os.umask(0)
    os.umask(umask)
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o666 & ~umask


@posix
def test_a_pipe_or_device_is_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FileError, match="a device or a pipe"), atomic_file(tmp_path / "pipe"):
        pytest.fail("must be refused")
    assert (tmp_path / "pipe").is_fifo()


def test_a_folder_of_the_name_of_a_result_is_refused_before_anything_is_computed(tmp_path: Path) -> None:
    (tmp_path / "b.txt").mkdir()
    refused = pytest.raises(FileError, match=r"b\.txt: cannot be written, because it is a folder")
    with refused, output_folder(tmp_path, NAMES, overwrite=True):
        pytest.fail("must be refused before anything is computed")


def test_lock_files_are_not_left(tmp_path: Path) -> None:
    earlier_run(tmp_path)
    assert LOCK_NAME not in names(tmp_path)
