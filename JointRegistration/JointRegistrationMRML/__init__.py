"""The scene layer: MRML nodes in, MRML nodes out. Imports neither Qt nor, by itself, PyTorch."""
