"""What is printed: names and texts out of files must not steer the terminal, nor pretend to be other lines."""

from __future__ import annotations

import re

import click

#: Control characters but for line feed and tab, those that change the direction of writing or hide, and half a
#: character, as the bytes of a name that is not UTF-8 are kept, which no terminal takes.
_STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")


def plain(text: str) -> str:
    """``text`` with every character that steers a terminal written as its number."""
    return _STEERING.sub(lambda found: ascii(found.group())[1:-1], text)


def plain_line(text: str) -> str:
    """The same, in one line."""
    return plain(text.replace("\n", "\\n"))


def say(text: str, *, error: bool = False) -> None:
    """Print text, :func:`plain`, on standard output or on standard error."""
    click.echo(plain(text), err=error)
