"""The panel's sentences about what is wrong, each with a button that does something about it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import qt

from .text import breakable, toolTip

#: Rows in the .ui file. More problems than that are shown as the first ones are solved.
NUM_ROWS = 3

# Background and text, on light panels and on dark ones. The text is given a colour too: a frame with a style
# sheet does not always follow the palette.
_LIGHT = {"error": ("#f6d0d0", "#4a0d0d"), "warning": ("#fbe7b8", "#3f2f00"), "info": ("#d3e3f8", "#0c2748")}
_DARK = {"error": ("#6b2424", "#ffffff"), "warning": ("#5c4708", "#ffffff"), "info": ("#24446b", "#ffffff")}
_MIDDLE = 128

_OPEN = (
    "background-color: palette(highlight); color: palette(highlighted-text); "
    "border: 1px solid palette(highlight); border-radius: 2px; padding: 3px 6px;"
)


@dataclass(frozen=True)
class Message:
    """One sentence. ``action`` is done by a button with the text ``remedy``; there is none if it is empty."""

    severity: str
    text: str
    remedy: str = ""
    action: Callable[[], None] | None = None


class MessageRows:
    """The message rows of the form: ``problem1Frame``, ``problem1Text``, ``remedy1Button``, ..."""

    def __init__(self, ui: Any) -> None:
        self._messages: list[Message] = []
        self._rows = [
            (getattr(ui, f"problem{n}Frame"), getattr(ui, f"problem{n}Text"), getattr(ui, f"remedy{n}Button"))
            for n in range(1, NUM_ROWS + 1)
        ]
        for index, (frame, _text, button) in enumerate(self._rows):
            frame.setVisible(False)
            button.clicked.connect(lambda checked=False, index=index: self._act(index))

    def show(self, messages: Sequence[Message]) -> None:
        """Show ``messages``, errors first."""
        order = list(_LIGHT)
        self._messages = sorted(messages, key=lambda message: order.index(message.severity))[:NUM_ROWS]
        for index, (frame, text, button) in enumerate(self._rows):
            message = self._messages[index] if index < len(self._messages) else None
            frame.setVisible(message is not None)
            if message is None:
                continue
            tint(frame, message.severity)
            text.setText(breakable(message.text))
            button.setVisible(bool(message.remedy))
            button.setText(message.remedy)
            button.setToolTip(toolTip(message.remedy))

    def _act(self, index: int) -> None:
        action = self._messages[index].action if index < len(self._messages) else None
        if action is not None:
            action()


def tint(frame: Any, severity: str) -> None:
    """Colour a row by what it says; ``severity`` is "error", "warning" or "info"."""
    name = frame.objectName
    isDark = frame.parentWidget().palette.color(qt.QPalette.Window).lightness() < _MIDDLE
    background, text = (_DARK if isDark else _LIGHT)[severity]
    frame.setStyleSheet(
        f"#{name} {{ background-color: {background}; border-radius: 4px; }} #{name} QLabel {{ color: {text}; }}"
    )


def markOpen(button: Any, isOpen: bool) -> None:
    """Show by the highlight's colours that what a button opens is open: in the dark, a pressed one looks like others.

    Only what is open has a style sheet: others, and all around them, follow a change of the application's palette.
    """
    button.setChecked(isOpen)
    wanted = _OPEN if isOpen else ""
    if button.styleSheet != wanted:
        button.setStyleSheet(wanted)
