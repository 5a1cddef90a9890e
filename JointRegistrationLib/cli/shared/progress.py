"""Progress on a terminal as a bar, elsewhere as one line a stage."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click

from ...core.progress import ProgressCallback


@contextmanager
def shown_progress(*, quiet: bool) -> Iterator[ProgressCallback | None]:
    """A progress callback (stage, fraction of all, loss) that shows itself on standard error; None if quiet."""
    if quiet:
        yield None
    elif sys.stderr.isatty():
        with _bar() as progress:
            yield progress
    else:
        yield _stage_lines()


@contextmanager
def _bar() -> Iterator[ProgressCallback]:
    from tqdm import tqdm  # noqa: PLC0415 only where there is a terminal

    layout = "{desc:<12} {percentage:3.0f}% |{bar:30}| {elapsed}, {remaining} left{postfix}"
    with tqdm(total=100, bar_format=layout, file=sys.stderr, leave=False) as bar:

        def update(stage: str, fraction: float, loss: float | None) -> None:
            new_stage = not bar.desc.startswith(stage)
            bar.set_description_str(stage, refresh=False)
            if loss is not None:
                bar.set_postfix_str(f"loss {loss:.4f}", refresh=False)
            bar.update(100 * fraction - bar.n)
            if new_stage:
                bar.refresh()

        yield update


def _stage_lines() -> ProgressCallback:
    shown: list[str] = []

    def update(stage: str, fraction: float, _loss: float | None) -> None:
        if stage not in shown:
            shown.append(stage)
            click.echo(f"{stage} ({100 * fraction:.0f} %)", err=True)

    return update
