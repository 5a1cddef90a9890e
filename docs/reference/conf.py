"""Sphinx's configuration for the API reference, which `make docs` makes from the docstrings."""

from __future__ import annotations

from typing import Any

from sphinx.application import Sphinx

from JointRegistrationLib import __version__

project = "Joint Registration"
release = __version__
extensions = ["sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.napoleon"]
html_theme = "alabaster"
html_theme_options = {"page_width": "70em"}
html_show_copyright = False
html_copy_source = False
python_maximum_signature_line_length = 100

# The stubs are written by sphinx-apidoc. What JointRegistrationLib hands on is documented where it is defined.
autosummary_generate = False
autodoc_default_options = {"undoc-members": True, "show-inheritance": True, "ignore-module-all": True}
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints_format = "short"
# Otherwise what PyTorch says of its modules would stand under ours.
autodoc_inherit_docstrings = False

# Every reference must lead somewhere, except to
nitpicky = True
nitpick_ignore_regex = [
    # other packages: a build needs no network,
    (
        r"py:\w+",
        r"(abc|argparse|click|collections|contextlib|enum|h5py|matplotlib|numpy|pathlib|pydicom|SimpleITK|subprocess"
        r"|tempfile|torch|types|typing|vtkmodules)\..+",
    ),
    # type variables,
    (r"py:(class|obj)", r"JointRegistration\w+(\.\w+)*\.(C|Decorated|Made|Network|R|S|T)"),
    # what is private: it shows in signatures and as a base,
    (r"py:class", r"JointRegistration\w+(\.\w+)*\._\w+"),
    # and PyTorch's in a NamedTuple, whose types are kept as they are written.
    (r"py:class", "Tensor"),
]


def _keep_first_colon(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Let napoleon take nothing for a type before the colon of a first line; ours are sentences."""
    if what in ("attribute", "data", "property"):
        lines.insert(0, "\\")  # an escaped line end, which leaves no trace


def _plain_defaults(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, signature: str | None, returned: str | None
) -> tuple[str | None, str | None]:
    """Write ``...`` for a default that a factory makes: with ``<factory>``, no Python, the types are not read."""
    return signature and signature.replace("<factory>", "..."), returned


def setup(app: Sphinx) -> None:
    """Connect what is above, ahead of napoleon."""
    app.connect("autodoc-process-docstring", _keep_first_colon, priority=400)
    app.connect("autodoc-process-signature", _plain_defaults)
