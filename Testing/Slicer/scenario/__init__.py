"""A scenario in desktop Slicer by real clicks and keys: ``make slicer-test SLICER=/path/to/Slicer``; see run.py."""
