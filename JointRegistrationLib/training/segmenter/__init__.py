"""Training of the segmenter on renderings of random contrast."""
