"""Cells of tables that people open in a spreadsheet: what a stranger named must not become a formula there."""

from __future__ import annotations

from contextlib import suppress

#: What a cell begins with that Excel or LibreOffice evaluate; the wide forms count in some languages' versions.
_FORMULA = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")
_TEXT = "'"


def cell(text: str) -> str:
    """``text`` as a cell: with an apostrophe before it if it began a formula. Numbers stay numbers."""
    if not text.startswith(_FORMULA):
        return text
    with suppress(ValueError):
        float(text)
        return text
    return _TEXT + text


def text_of(value: str) -> str:
    """The text of a cell that :func:`cell` may have changed."""
    return value[1:] if value.startswith(_TEXT) and value[1:].startswith(_FORMULA) else value
