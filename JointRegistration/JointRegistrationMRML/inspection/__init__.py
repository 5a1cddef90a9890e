"""Views of a run: opened by one click and closed without a trace."""
