"""Segments: as layers of labels, as masks, as nodes, and warped."""
