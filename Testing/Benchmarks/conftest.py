"""Timings are no tests: they are collected only where pytest-benchmark is asked for them."""

import sys

collect_ignore = [] if "--benchmark-only" in sys.argv else ["test_kernels.py"]
