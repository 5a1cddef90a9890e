"""Fixtures of the library's tests."""

from __future__ import annotations

from collections.abc import Iterator

import hypothesis
import pytest
import torch

from JointRegistrationLib.core.geometry import Grid
from Testing.Support.grids import GRIDS

# An example may take as long as it takes: no test depends on the machine's speed or load.
hypothesis.settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("any machine")


@pytest.fixture(params=list(GRIDS))
def grid(request: pytest.FixtureRequest) -> Grid:
    """Each of the named grids in turn."""
    return GRIDS[request.param]


@pytest.fixture
def oblique_grid() -> Grid:
    """Oblique and anisotropic."""
    return GRIDS["oblique"]


@pytest.fixture
def ras_grid() -> Grid:
    """Axis-aligned, anisotropic."""
    return GRIDS["ras"]


@pytest.fixture
def isotropic_grid() -> Grid:
    """18 voxels of 1 mm along each axis."""
    return GRIDS["isotropic"]


@pytest.fixture(autouse=True)
def denormal_numbers_stay() -> Iterator[None]:
    """Training switches them off for its process, which here is that of the other tests too."""
    yield
    torch.set_flush_denormal(False)
