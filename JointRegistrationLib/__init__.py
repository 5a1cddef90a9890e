"""Joint affine and non-parametric registration of knee MRI (AVSM). Imports no PyTorch by itself.

The names of ``__all__`` are what users of the library need; each is imported when it is first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .core.config import (
        AffineConfig,
        LandmarkConfig,
        LddmmConfig,
        NetworkConfig,
        PreprocessConfig,
        RegistrationConfig,
        SimilarityConfig,
        VelocityConfig,
        VsvfConfig,
    )
    from .core.errors import (
        CheckpointError,
        ConfigError,
        FileError,
        GeometryError,
        InputError,
        JointRegistrationError,
        OutOfMemory,
        RegistrationCancelled,
        ResourceError,
    )
    from .core.figures.metrics import LabelMetrics, dice, label_metrics
    from .core.geometry import Grid
    from .core.image import Image, LandmarkPairs
    from .core.lattices.sampling import warp_label_image
    from .core.result import FoldCount, LandmarkErrors, RegistrationResult, StartingMap
    from .core.structures import Segmentation
    from .files.images import read_image, read_labels, read_mask, write_image, write_labels
    from .files.landmarks import read_landmark_pairs, read_landmarks
    from .files.results import read_metrics, read_result
    from .files.transforms.itk import (
        SpatialTransform,
        read_transform,
        starting_map,
        write_affine,
        write_displacement_field,
        write_transform,
    )
    from .registration.landmarks import fit_transform
    from .registration.register import register
    from .segmentation.segment import segment

__version__ = "0.1.0"

__all__ = [
    "AffineConfig",
    "CheckpointError",
    "ConfigError",
    "FileError",
    "FoldCount",
    "GeometryError",
    "Grid",
    "Image",
    "InputError",
    "JointRegistrationError",
    "LabelMetrics",
    "LandmarkConfig",
    "LandmarkErrors",
    "LandmarkPairs",
    "LddmmConfig",
    "NetworkConfig",
    "OutOfMemory",
    "PreprocessConfig",
    "RegistrationCancelled",
    "RegistrationConfig",
    "RegistrationResult",
    "ResourceError",
    "Segmentation",
    "SimilarityConfig",
    "SpatialTransform",
    "StartingMap",
    "VelocityConfig",
    "VsvfConfig",
    "__version__",
    "dice",
    "fit_transform",
    "label_metrics",
    "read_image",
    "read_labels",
    "read_landmark_pairs",
    "read_landmarks",
    "read_mask",
    "read_metrics",
    "read_result",
    "read_transform",
    "register",
    "segment",
    "starting_map",
    "warp_label_image",
    "write_affine",
    "write_displacement_field",
    "write_image",
    "write_labels",
    "write_transform",
]

#: The modules that hold them.
_MODULES = {
    "core.config": (
        "AffineConfig LandmarkConfig LddmmConfig NetworkConfig PreprocessConfig RegistrationConfig "
        "SimilarityConfig VelocityConfig VsvfConfig"
    ),
    "core.errors": (
        "CheckpointError ConfigError FileError GeometryError InputError JointRegistrationError "
        "OutOfMemory RegistrationCancelled ResourceError"
    ),
    "core.figures.metrics": "LabelMetrics dice label_metrics",
    "core.geometry": "Grid",
    "core.image": "Image LandmarkPairs",
    "core.lattices.sampling": "warp_label_image",
    "core.result": "FoldCount LandmarkErrors RegistrationResult StartingMap",
    "core.structures": "Segmentation",
    "files.images": "read_image read_labels read_mask write_image write_labels",
    "files.landmarks": "read_landmark_pairs read_landmarks",
    "files.results": "read_metrics read_result",
    "files.transforms.itk": (
        "SpatialTransform read_transform starting_map write_affine write_displacement_field write_transform"
    ),
    "registration.landmarks": "fit_transform",
    "registration.register": "register",
    "segmentation.segment": "segment",
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = found = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
