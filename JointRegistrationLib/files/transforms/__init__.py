"""Transform files."""
