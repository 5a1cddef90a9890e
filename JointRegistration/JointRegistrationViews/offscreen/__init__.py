"""Slice views drawn without a window."""
