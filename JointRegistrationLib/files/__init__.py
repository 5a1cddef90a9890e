"""Files: images, label maps, transforms and landmarks. The only place that knows LPS.

Everything read is RAS mm; everything written is what ITK, ANTs and Slicer expect. A file is written
whole or not at all (:mod:`.output`).
"""

from .images import read_image, read_labels, read_mask, write_image, write_labels
from .landmarks import read_landmark_pairs, read_landmarks
from .output import atomic_file, output_folder
from .transforms import SpatialTransform, read_transform, write_affine, write_displacement_field, write_transform

__all__ = [
    "SpatialTransform",
    "atomic_file",
    "output_folder",
    "read_image",
    "read_labels",
    "read_landmark_pairs",
    "read_landmarks",
    "read_mask",
    "read_transform",
    "write_affine",
    "write_displacement_field",
    "write_image",
    "write_labels",
    "write_transform",
]
