"""The methods: from two prepared images to an affine transform and a deformation around it."""

from __future__ import annotations

from collections.abc import Callable

from ...core.config import RegistrationConfig
from ...core.geometry import FloatArray
from ...core.progress import Reporter
from ...ops.similarity.image_pair import ImagePair
from ..knee_side import knee_sides
from ..landmarks import LandmarkTerm
from ..local_map import Estimate
from .optimised import optimised


def estimate(
    pair: ImagePair,
    config: RegistrationConfig,
    start: FloatArray | None,
    reporter: Reporter,
    lap: Callable[[str], None],
    *,
    landmarks: LandmarkTerm | None = None,
) -> Estimate:
    """Run the configured method.

    Args:
        pair: normalised images on their working grids.
        config: method and settings.
        start: a starting transform (4x4, RAS, fixed to moving), or None.
        reporter: spans all of the method's stages.
        lap: called with a stage's name when it is over, to take its time.
        landmarks: a term of the deformation's energy; None for none.

    Raises:
        RegistrationCancelled, InputError, CheckpointError: as the stages do; InputError also for a left knee
            on a right one, see :func:`~.knee_side.knee_sides`.
    """
    predicting = config.method in ("avsm", "avsm-affine")
    reporter.check()
    told = config.network.side
    sides = knee_sides(pair, told, start, check=config.check_side) if predicting or config.check_side else ()
    reporter.check()
    if predicting:
        from .networks import predicted  # noqa: PLC0415 the optimisers need no networks

        return predicted(pair, config, start, sides, reporter, lap, landmarks=landmarks)
    return optimised(pair, config.affine, config.deformation, start, reporter, lap, landmarks=landmarks)
