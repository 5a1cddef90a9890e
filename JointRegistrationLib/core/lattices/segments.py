"""Segments as label maps: what each is called, how they share maps, and those of one run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..geometry import FloatArray, Grid
from ..image import Image
from .sampling import LabelMap

Color = tuple[float, float, float]


@dataclass(frozen=True)
class SegmentLabel:
    """One segment: id and name, each without its like, colour (RGB, 0..1), layer, and value in that layer."""

    segment_id: str
    name: str
    color: Color
    layer: int
    value: int


@dataclass(frozen=True)
class SegmentLayers:
    """Segments; those that do not overlap share a label map.

    Args:
        layers: the label maps, each on a lattice of its own or all on one.
        segments: what is in them.
        bend: sends points (n, 3), RAS mm, from the world to where ``layers`` lie; None if these say so themselves.
    """

    layers: tuple[LabelMap, ...]
    segments: tuple[SegmentLabel, ...]
    bend: Callable[[FloatArray], FloatArray] | None = None

    @classmethod
    def of(cls, labels: Image, titles: Mapping[int, tuple[str, Color]]) -> SegmentLayers:
        """Return a label map's segments, in the world; ``titles`` gives name and colour of each value."""
        segments = (SegmentLabel(name.replace(" ", "_"), name, color, 0, n) for n, (name, color) in titles.items())
        return cls((LabelMap(labels.array, labels.grid),), tuple(segments))

    @property
    def grid(self) -> Grid:
        """The lattice of the layers, where they have one in common."""
        return self.layers[0].grid

    def find(self, name: str) -> SegmentLabel | None:
        """Return the segment of that name; None if there is none."""
        return next((segment for segment in self.segments if segment.name == name), None)

    def mask(self, segment: SegmentLabel) -> npt.NDArray[np.bool_]:
        """Return where a segment is, (k, j, i) on the lattice of its layer."""
        return np.asarray(self.layers[segment.layer].labels == segment.value)


@dataclass(frozen=True)
class RunSegments:
    """A run's segments; None where there are none, or nothing is wanted of them.

    Args:
        fixed, moving: as they lie, on lattices of their own or their image's.
        before: the moving ones as they lie, on the fixed lattice.
        warped: the moving ones through the map, on the fixed lattice.
    """

    fixed: SegmentLayers | None = None
    moving: SegmentLayers | None = None
    before: SegmentLayers | None = None
    warped: SegmentLayers | None = None

    @property
    def segments(self) -> dict[str, SegmentLabel]:
        """By name: the fixed segments, then those that only the moving ones have."""
        both = [layers for layers in (self.moving, self.fixed) if layers is not None]
        names = [segment.name for layers in reversed(both) for segment in layers.segments]
        known = {segment.name: segment for layers in both for segment in layers.segments}
        return {name: known[name] for name in names}
