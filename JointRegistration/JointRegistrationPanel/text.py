"""Sentences for people: translation, durations and sizes of memory."""

from __future__ import annotations

import re

from JointRegistrationMRML.translation import _

__all__ = ["_", "breakable", "duration", "escaped", "memory", "sentence", "toolTip"]


def duration(seconds: float) -> str:
    """``seconds`` as a person says it: "2 s", "40 s", "3 min", "1 h 10 min"."""
    if seconds < 10:
        return _("{seconds} s").format(seconds=max(1, round(seconds)))
    if seconds < 90:
        return _("{seconds} s").format(seconds=round(seconds / 5) * 5)
    minutes = round(seconds / 60)
    if minutes < 60:
        return _("{minutes} min").format(minutes=minutes)
    return _("{hours} h {minutes} min").format(hours=minutes // 60, minutes=minutes % 60)


def memory(amountBytes: float) -> str:
    """``amountBytes`` in GB with one decimal, or in MB below half a GB."""
    if amountBytes < 0.5e9:
        return _("{amount} MB").format(amount=round(amountBytes / 1e7) * 10)
    return _("{amount} GB").format(amount=f"{amountBytes / 1e9:.1f}")


def sentence(text: str) -> str:
    """``text`` with a capital letter and a full stop, as the library's messages have neither."""
    text = text.strip()
    if not text:
        return text
    return text[0].upper() + text[1:] + ("" if text[-1] in ".!?" else ".")


def breakable(text: object) -> str:
    """``text`` with places where a narrow label can break paths, and names such as those of DICOM series."""
    parted = re.sub(r"([/\\_])", "\\1\u200b", str(text))
    return re.sub(r"([^\s\u200b]{20})(?=[^\s\u200b])", "\\1\u200b", parted)  # words without any such place


def escaped(text: object) -> str:
    """``text`` safe to put into rich text."""
    return str(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def toolTip(text: str) -> str:
    """``text`` as a tooltip, in which Qt would take a name like "<b>" for markup."""
    return f"<span>{escaped(text)}</span>" if "<" in text else text
