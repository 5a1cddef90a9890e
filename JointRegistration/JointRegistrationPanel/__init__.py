"""The panel: controls and signals. What it does is done by the scene layer and by a worker process."""
