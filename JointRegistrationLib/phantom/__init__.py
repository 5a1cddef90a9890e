"""Procedural knees: anatomy from implicit functions, DESS-like images, pairs with known maps.

Example:
    >>> from JointRegistrationLib.phantom import KneeShape, make_knee, make_pair
    >>> knee = make_knee(KneeShape(side="left", flexion_deg=10.0), seed=1)  # doctest: +SKIP
    >>> pair = make_pair(seed=3)  # doctest: +SKIP
"""

from .anatomy import LABEL_NAMES
from .deformation import Deformation, DeformationConfig, random_deformation
from .from_labels import render_from_labels, tissues_from_labels
from .knee import Knee, default_grid, make_knee, working_grid
from .pairs import KneePair, make_flexion_pair, make_pair
from .rendering import render_dess
from .shapes.knee_shape import CartilageLesion, KneeShape, random_shape
from .tissues.contrast import TISSUES, ContrastConfig, random_contrast

__all__ = [
    "LABEL_NAMES",
    "TISSUES",
    "CartilageLesion",
    "ContrastConfig",
    "Deformation",
    "DeformationConfig",
    "Knee",
    "KneePair",
    "KneeShape",
    "default_grid",
    "make_flexion_pair",
    "make_knee",
    "make_pair",
    "random_contrast",
    "random_deformation",
    "random_shape",
    "render_dess",
    "render_from_labels",
    "tissues_from_labels",
    "working_grid",
]
