"""Damaged files over all readers: none may end the process, raise anything but our own errors, or fill the memory.

    python Testing/Support/fuzz_inputs.py --count 5000 --minutes 30

Each input is a sound file with a few bytes, numbers, lines or values changed, by a seed of its own. The readers run in
a process that this one watches, with a bound on its memory; what ends it is found by its number.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))

MEMORY_BYTES, SECONDS = 2 << 30, 20
_NUMBERS = (b"0", b"-1", b"1e400", b"nan", b"99999999999", b"4294967295", b"-2147483648", b"1e-300", b"1" * 400)
_VALUES: tuple[Any, ...] = (None, True, -1, 0, 5, 1e308, 10**400, "", "x" * 3000, [], {}, [[]], [1], "NaN")


def damaged(content: bytes, rng: np.random.Generator) -> bytes:
    """The content with one to four changes."""
    if content[:1] in b"{[" and rng.random() < 0.6:
        return _with_other_value(content, rng)
    data = bytearray(content)
    for _ in range(int(rng.integers(1, 5))):
        data = _changed(data, rng)
    return bytes(data)


def _changed(data: bytearray, rng: np.random.Generator) -> bytearray:
    if not data:
        return data
    head = min(len(data), 1024) if rng.random() < 0.7 else len(data)  # headers are where it matters
    at, kind = int(rng.integers(head)), int(rng.integers(8))
    if kind == 0:
        data[at] ^= 1 << int(rng.integers(8))
    elif kind == 1:
        data[at : at + int(rng.integers(1, 9))] = rng.bytes(int(rng.integers(1, 9)))
    elif kind == 2:
        del data[int(rng.integers(len(data))) :]
    elif kind == 3:
        del data[at : at + int(rng.integers(1, 64))]
    elif kind == 4:
        data[at:at] = data[at : at + int(rng.integers(1, 200))] * int(rng.integers(1, 20))
    elif kind == 5:
        extreme = int(rng.choice([0, 1, 127, 255, 32767, 65535, 2**31 - 1, 2**32 - 1]))
        data[at : at + 4] = extreme.to_bytes(4, "little")
    elif kind == 6:
        data[at:at] = _NUMBERS[int(rng.integers(len(_NUMBERS)))]
    else:
        lines = bytes(data).split(b"\n")
        one, other = (int(n) for n in rng.integers(len(lines), size=2))
        lines[one], lines[other] = lines[other], lines[one][:5000] * int(rng.integers(1, 300))
        data = bytearray(b"\n".join(lines))
    return data


def _with_other_value(content: bytes, rng: np.random.Generator) -> bytes:
    """JSON with one value replaced by one of another type, one left out, or nested deeply."""
    values = json.loads(content)
    places: list[tuple[Any, Any]] = []
    pending = [values]
    while pending:
        node = pending.pop()
        items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
        for key, value in items:
            places.append((node, key))
            pending.append(value)
    node, key = places[int(rng.integers(len(places)))]
    kind = int(rng.integers(10))
    if kind == 0:
        del node[key]
    elif kind == 1:
        return json.dumps(values).replace("1", "[" * 20000, 1).encode()
    else:
        node[key] = _VALUES[int(rng.integers(len(_VALUES)))]
    return json.dumps(values).encode()


# -- running ------------------------------------------------------------------------------------------------------


def work(start: int, stop: int, seed: int, seconds: float) -> None:
    """Read inputs ``start`` to ``stop``; a line of JSON for each on stdout, before and after."""
    from JointRegistrationLib.core.errors import JointRegistrationError
    from Testing.Support.fuzz_seeds import make_seeds

    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        seeds = make_seeds(Path(folder))
        _bound_memory()
        for number in range(start, stop):
            if time.monotonic() - begun > seconds:
                break
            rng = np.random.default_rng((seed, number))
            chosen = seeds[number % len(seeds)]
            sound = chosen.path.read_bytes()
            kind = f"{chosen.path.parent.name}/{chosen.path.name}"
            _tell({"number": number, "kind": kind})
            chosen.path.write_bytes(damaged(sound, rng))
            used, outcome = time.process_time(), "read"
            try:
                chosen.read(chosen.path)
            except JointRegistrationError as error:
                outcome = "refused" if str(error) and "\n" not in str(error) else f"bad message {error!r}"
            except BaseException as error:  # noqa: BLE001 any other is what is sought
                outcome = f"{type(error).__name__}: {str(error)[:200]}"
            if time.process_time() - used > SECONDS:
                outcome = f"took {time.process_time() - used:.0f} s"
            chosen.path.write_bytes(sound)
            _tell({"number": number, "kind": kind, "outcome": outcome})


def _tell(values: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(values) + "\n")
    sys.stdout.flush()


def _bound_memory() -> None:
    try:
        import resource
    except ImportError:
        return
    statm = Path("/proc/self/statm")
    if statm.exists():
        limit = int(statm.read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE") + MEMORY_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def fuzz(count: int, seed: int = 13, minutes: float = 30.0) -> tuple[Counter[str], list[str]]:
    """How many inputs were read and refused, and every failure as a line."""
    begun, next_number = time.monotonic(), 0
    counts: Counter[str] = Counter()
    failures: list[str] = []
    while next_number < count and time.monotonic() - begun < 60 * minutes:
        left = 60 * minutes - (time.monotonic() - begun)
        arguments = [
            "--work",
            str(next_number),
            "--count",
            str(count),
            "--seed",
            str(seed),
            "--minutes",
            str(left / 60),
        ]
        done = subprocess.run(
            [sys.executable, str(Path(__file__)), *arguments],
            check=False,
            capture_output=True,
            text=True,
            errors="replace",
        )
        lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"number"')]
        for line in lines:
            outcome = line.get("outcome")
            if outcome in ("read", "refused"):
                counts[outcome] += 1
            elif outcome is not None:
                failures.append(f"input {line['number']}, {line['kind']}: {outcome}")
        if done.returncode == 0:
            break
        if not lines:
            raise RuntimeError(done.stderr[-2000:])
        failures.append(f"input {lines[-1]['number']}, {lines[-1]['kind']}: ended the process ({done.returncode})")
        next_number = lines[-1]["number"] + 1
    return counts, failures


def main() -> int:
    """The command; 1 if anything failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=13)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--work", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work is not None:
        work(options.work, options.count, options.seed, 60 * options.minutes)
        return 0
    counts, failures = fuzz(options.count, options.seed, options.minutes)
    summary = f"{counts['read']} read, {counts['refused']} refused, {len(failures)} failed"
    sys.stdout.write("\n".join([*failures, summary]) + "\n")
    return bool(failures)


if __name__ == "__main__":
    sys.exit(main())
