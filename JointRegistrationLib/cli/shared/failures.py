"""How a command ends when it does not end well: one sentence, the right exit code, nothing half-done."""

from __future__ import annotations

import signal
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn, TypeVar

import click

from ...core.errors import JointRegistrationError, RegistrationCancelled, ResourceError
from .terminal import plain, plain_line, say

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

_BUG_EXIT_CODE = 1
_DEBUG = "JointRegistrationLib.debug"
_OUT_OF_MEMORY = ("out of memory", "allocate memory", "not enough memory", "bad_alloc", "bad allocation")


class CommandLine(click.Group):
    """A group whose commands' errors become one sentence and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except click.ClickException as error:
            vars(error)["message"] = plain(error.message)  # it quotes what was given
            raise
        except (click.exceptions.Exit, click.Abort):
            raise
        except KeyboardInterrupt:
            _fail(ctx, "cancelled; nothing was written", RegistrationCancelled.exit_code)
        except JointRegistrationError as error:
            _fail(ctx, str(error), error.exit_code)
        except Exception as error:  # noqa: BLE001 the last resort: no user should meet a traceback
            if _is_out_of_memory(error):
                advice = "close other programs, or lower preprocess.max_working_voxels with --config"
                _fail(ctx, f"memory ran out; {advice}", ResourceError.exit_code)
            _fail(
                ctx,
                f"unexpected {type(error).__name__}: {' '.join(str(error).split())}; this is a fault of the program: "
                "please report it with what --debug prints",
                _BUG_EXIT_CODE,
            )


def debug_option(command: Decorated) -> Decorated:
    """Add ``--debug``, which shows where an error comes from."""
    return click.option(
        "--debug",
        is_flag=True,
        expose_value=False,
        callback=lambda ctx, _parameter, value: ctx.meta.__setitem__(_DEBUG, value),
        help="Show where an error comes from, and the messages of the libraries underneath.",
    )(command)


class Interruption:
    """Whether the user asked to stop. After :meth:`too_late` such a wish changes nothing any more."""

    def __init__(self) -> None:
        self._asked = False
        self._too_late = False

    def asked(self) -> bool:
        """True once the user pressed Ctrl-C or the process was told to end."""
        return self._asked

    def too_late(self) -> None:
        """The results are being put in their place: finish."""
        self._too_late = True

    def handle(self, _signal: int, _frame: FrameType | None) -> None:
        """Stop what runs, once: a second Ctrl-C must not disturb the tidying up after the first."""
        if not self._asked and not self._too_late:
            self._asked = True
            raise KeyboardInterrupt


@contextmanager
def interruptible() -> Iterator[Interruption]:
    """Make Ctrl-C and a request to terminate end the block tidily."""
    interruption = Interruption()
    signals = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, interruption.handle) for number in signals]
    try:
        yield interruption
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)


def _is_out_of_memory(error: Exception) -> bool:
    return isinstance(error, MemoryError) or any(words in str(error).lower() for words in _OUT_OF_MEMORY)


def _fail(ctx: click.Context, message: str, exit_code: int) -> NoReturn:
    if ctx.meta.get(_DEBUG):
        say(traceback.format_exc(), error=True)
    say(plain_line(f"Error: {message}"), error=True)
    ctx.exit(exit_code)
