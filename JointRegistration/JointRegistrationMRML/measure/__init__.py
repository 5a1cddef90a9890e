"""Numbers of a run: overlap, distances, volume change, thickness, folds; as a table, plots and models."""
