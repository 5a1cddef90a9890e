"""The panel's sentences about what is wrong, each with a button that does something about it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from .text import breakable, toolTip

#: Rows in the .ui file. More problems than that are shown as the first ones are solved.
NUM_ROWS = 3

# Tints that leave the text in the palette's own colour, so that they suit light and dark.
_TINTS = {"error": "rgba(214, 48, 49, 70)", "warning": "rgba(240, 170, 0, 70)", "info": "rgba(60, 130, 220, 60)"}

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
        order = list(_TINTS)
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
        if index < len(self._messages) and self._messages[index].action is not None:
            self._messages[index].action()


def tint(frame: Any, severity: str) -> None:
    """Colour a row by what it says; ``severity`` is "error", "warning" or "info"."""
    name = frame.objectName
    frame.setStyleSheet(f"#{name} {{ background-color: {_TINTS[severity]}; border-radius: 4px; }}")


def markOpen(button: Any, isOpen: bool) -> None:
    """Show by the highlight's colours that what a button opens is open: in the dark, a pressed one looks like others.

    Only what is open has a style sheet: others, and all around them, follow a change of the application's palette.
    """
    button.setChecked(isOpen)
    wanted = _OPEN if isOpen else ""
    if button.styleSheet != wanted:
        button.setStyleSheet(wanted)
