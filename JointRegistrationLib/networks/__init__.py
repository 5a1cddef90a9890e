"""The networks of AVSM: multi-step affine, momentum generation, and both in order."""
