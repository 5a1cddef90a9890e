"""Figures of images, labels and maps, and what of them is out of the ordinary."""
