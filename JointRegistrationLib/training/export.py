"""From the runs of several stages to one weights file for the package."""

from __future__ import annotations
