"""Bones and cartilages found in an image."""
