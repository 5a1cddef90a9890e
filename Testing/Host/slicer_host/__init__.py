"""An embedded host for scripted modules: the module's own files on real MRML and real Qt, off-screen.

It stands in only for what PythonQt, CTK and the qMRML widgets add, and offers nothing that desktop Slicer
lacks. ``install()`` gives a ``Host``; its ``uninstall()`` gives Python back as it was.
"""

from __future__ import annotations

from .host import Host, install

__all__ = ["Host", "install"]
