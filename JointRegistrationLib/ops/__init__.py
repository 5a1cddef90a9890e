"""Differentiable operations on maps, fields and images."""
