"""Texts in the application's language: ``_("{name} is empty.").format(name=...)``, in every layer above the library.

A text is a literal, or Slicer's tools do not find it, and what varies is filled in afterwards.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable

import slicer


def translator() -> Callable[[str], str]:
    """Slicer's translation, in the context of the calling file; the text itself where there is none.

    There is none before 5.6, and none without the application. ``slicer.i18n.tr`` does the same, but up to 5.6 by
    ``inspect.stack()``: a panel full of texts opened seconds later.
    """
    if not hasattr(slicer, "app"):
        return lambda text: text
    try:
        from slicer.i18n import translate
    except ImportError:
        return lambda text: text

    def tr(text: str) -> str:
        translated = str(translate(sys._getframe(1).f_globals["__name__"], text))
        same = set(_PLACEHOLDER.findall(translated)) == set(_PLACEHOLDER.findall(text))
        return translated if same else text  # a translated placeholder would be an error later

    return tr


_PLACEHOLDER = re.compile(r"{\w*")
_ = translator()
