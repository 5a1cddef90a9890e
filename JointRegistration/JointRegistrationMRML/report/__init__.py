"""The report of a run: one HTML page with pictures, plots and tables."""
