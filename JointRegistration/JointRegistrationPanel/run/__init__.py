"""One run in the panel: its worker, progress, results and verdict."""
