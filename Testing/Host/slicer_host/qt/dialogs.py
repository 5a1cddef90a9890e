"""Modal dialogs never block a test: each is answered from a queue, and one without an answer is a failure."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

from PySide6 import QtWidgets


@dataclass
class Dialogs:
    """Answers to give, and what was asked so far.

    An answer is a button's text ("OK", "Cancel", "Yes"), a button's number, a bool (the accepting or the
    rejecting button), or for file and text dialogs the text itself.
    """

    answers: deque[Any] = field(default_factory=deque)
    asked: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)

    def next(self, text: str) -> Any:
        """The next answer to a dialog saying ``text``; None (as if closed) where none was given."""
        self.asked.append(text)
        if self.answers:
            return self.answers.popleft()
        self.unexpected.append(text)
        return None


_current: list[Dialogs] = []
_MessageBox = QtWidgets.QMessageBox


def use(dialogs: Dialogs | None) -> None:
    """Answer from ``dialogs`` from now on; None: dialogs open as usual."""
    _current[:] = [] if dialogs is None else [dialogs]


def interceptDialogs() -> None:
    """Replace what blocks: exec of dialogs, and the static functions of the standard ones."""
    for kind in (QtWidgets.QDialog, _MessageBox):
        original = kind.exec
        kind.exec = lambda self, original=original: _answered(self) if _current else original(self)
        kind.exec_ = kind.exec
    for name in ("question", "information", "warning", "critical"):
        setattr(_MessageBox, name, staticmethod(_messageFunction(name)))
    files, texts = QtWidgets.QFileDialog, QtWidgets.QInputDialog
    for kind, names in ((files, ("getOpenFileName", "getSaveFileName", "getExistingDirectory")), (texts, ("getText",))):
        for name in names:
            setattr(kind, name, staticmethod(_textFunction(getattr(kind, name), name)))


def _answered(dialog: QtWidgets.QDialog) -> int:
    if not isinstance(dialog, _MessageBox):
        answer = _current[0].next(dialog.windowTitle)
        result = QtWidgets.QDialog.Accepted if answer else QtWidgets.QDialog.Rejected
        dialog.done(result)
        return int(result)
    detailed = dialog.detailedText
    answer = _current[0].next(dialog.text + (f"\n{detailed}" if detailed else ""))
    buttons = dialog.buttons() or [dialog.addButton(_MessageBox.Ok)]
    chosen = _chosenButton(dialog, buttons, answer)
    return int(dialog.standardButton(chosen)) or int(dialog.buttonRole(chosen) != _MessageBox.RejectRole)


def _chosenButton(dialog: QtWidgets.QMessageBox, buttons: list[Any], answer: Any) -> Any:
    rejecting = (_MessageBox.RejectRole, _MessageBox.NoRole)
    if isinstance(answer, str):
        found = [b for b in buttons if b.text.replace("&", "").lower() == answer.lower()]
        if not found:
            raise AssertionError(f"the dialog has no button {answer!r}, only {[b.text for b in buttons]}")
    elif isinstance(answer, bool) or answer is None:
        found = [b for b in buttons if (dialog.buttonRole(b) not in rejecting) == bool(answer)] or buttons[-1:]
    else:
        found = [b for b in buttons if int(dialog.standardButton(b)) == int(answer)]
    found[0].click()
    return found[0]


def _messageFunction(name: str) -> Any:
    def show(parent: Any, title: str, text: str, buttons: Any = _MessageBox.Ok, default: Any = None) -> int:
        box = _MessageBox(parent)
        box.windowTitle, box.text = title, text
        box.setStandardButtons(_MessageBox.StandardButton(int(buttons)))
        return int(box.exec())

    show.__name__ = name
    return show


def _textFunction(original: Any, name: str) -> Any:
    def ask(parent: Any = None, title: str = "", *arguments: Any, **named: Any) -> Any:
        if not _current:
            answered = original(parent, title, *arguments, **named)
            return answered[0] if name in ("getOpenFileName", "getSaveFileName") else answered
        answer = _current[0].next(title)
        if name == "getText":
            return (answer or "", answer is not None)
        return answer or ""  # PythonQt returns the path alone, PySide6 the chosen filter as well

    ask.__name__ = name
    return ask
