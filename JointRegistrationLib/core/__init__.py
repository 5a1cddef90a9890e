"""Data and rules that need no PyTorch: grids, images, configuration, results, errors."""
