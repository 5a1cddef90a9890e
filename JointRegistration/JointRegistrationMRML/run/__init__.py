"""One registration of a scene's nodes: read, run, publish, and find again in a saved scene."""
