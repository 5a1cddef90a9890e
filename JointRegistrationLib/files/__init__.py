"""Files: images, label maps, transforms and landmarks. The only place that knows LPS.

Everything read is RAS mm; everything written is what ITK, ANTs and Slicer expect. A file is written
whole or not at all (:mod:`.output`).
"""

from .images import read_image, read_labels, read_mask, write_image, write_labels
from .landmarks import read_landmark_pairs, read_landmarks
from .output import atomic_file, output_folder
from .results import REPORT_NAME, RESULT_NAMES, read_metrics, read_result, result_bytes, write_json, write_result
from .transforms.itk import (
    SpatialTransform,
    is_displacement_field,
    read_transform,
    starting_map,
    write_affine,
    write_displacement_field,
    write_transform,
)

__all__ = [
    "REPORT_NAME",
    "RESULT_NAMES",
    "SpatialTransform",
    "atomic_file",
    "is_displacement_field",
    "output_folder",
    "read_image",
    "read_labels",
    "read_landmark_pairs",
    "read_landmarks",
    "read_mask",
    "read_metrics",
    "read_result",
    "read_transform",
    "result_bytes",
    "starting_map",
    "write_affine",
    "write_displacement_field",
    "write_image",
    "write_json",
    "write_labels",
    "write_result",
    "write_transform",
]
