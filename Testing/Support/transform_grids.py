"""Pairs of grids in the orientations that break wrong transform files."""

from __future__ import annotations

import numpy as np

from JointRegistrationLib.core.geometry import Grid


def rotation(axis: int, degrees: float) -> np.ndarray:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    a, b = [n for n in range(3) if n != axis]
    matrix = np.eye(3)
    matrix[a, a] = matrix[b, b] = c
    matrix[a, b], matrix[b, a] = -s, s
    return matrix


OBLIQUE = rotation(0, 20) @ rotation(2, -35) @ rotation(1, 10)
GRIDS = {
    "RAS": Grid((20, 22, 18), (2.0, 2.0, 2.0), (-20.0, -22.0, -18.0)),
    "LPS": Grid((20, 22, 18), (2.0, 2.0, 2.0), (20.0, 22.0, -18.0), ((-1, 0, 0), (0, -1, 0), (0, 0, 1))),
    "LAS": Grid((20, 22, 18), (2.0, 2.0, 2.0), (20.0, -22.0, -18.0), ((-1, 0, 0), (0, 1, 0), (0, 0, 1))),
    "PIR": Grid((22, 20, 12), (1.9, 2.0, 3.1), (-16.0, 20.0, 19.0), ((0, 0, 1), (-1, 0, 0), (0, -1, 0))),
    "oblique": Grid((20, 22, 18), (2.0, 1.8, 2.2), (-25.0, -14.0, -22.0), tuple(map(tuple, OBLIQUE.tolist()))),
    "anisotropic": Grid((32, 30, 10), (1.2, 1.4, 4.5), (-19.0, -20.0, -20.0)),
}
PAIRS = [("RAS", "LPS"), ("LPS", "oblique"), ("LAS", "anisotropic"), ("oblique", "PIR"), ("anisotropic", "RAS")]
