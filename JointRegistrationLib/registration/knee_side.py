"""Left or right: what two images say, whether they agree, and which side the networks are to take."""

from __future__ import annotations

import numpy as np

from ..core.errors import InputError
from ..core.geometry import FloatArray, Grid, transform_points
from ..core.structures import SideGuess
from ..networks import cache
from ..networks import side as detector
from ..ops.similarity.image_pair import ImagePair

#: How far to one side of the scanner's middle an image's centre lies from which its place counts, in mm.
ASIDE_MM = 25.0
#: What its place adds to the log odds: alone not even a likely answer, so that the networks still try both sides.
PLACE_LOG_ODDS = 0.9
#: A world origin this near to an image's corner was not set by a scanner, in mm.
_UNSET_MM = 3.0
_OTHER = {"right": "left", "left": "right"}


def knee_sides(pair: ImagePair, told: str, start: FloatArray | None, *, check: bool) -> tuple[str, ...]:
    """Return the sides that these knees may be, in the order of trust: one if it is told or found, else both.

    An answer that is likely, and not contradicted by the other image's, counts for both; certain ones go
    before likely ones. A starting transform that mirrors makes a left knee the counterpart of a right one.

    Args:
        pair: normalised images.
        told: the side, or ``"auto"``.
        start: see :func:`~.dispatch.estimate`.
        check: whether to refuse a left knee on a right one.

    Raises:
        InputError: if one image certainly shows a left knee and the other certainly a right one.
        CheckpointError: if the weights of the detection are damaged.
    """
    if told != "auto":
        return (told,)
    if not detector.SIDE_WEIGHTS.is_file():
        return ("right", "left")
    model = cache.side_net(pair.fixed.device)
    fixed = with_place(detector.detect_side(model, pair.fixed, pair.fixed_grid), pair.fixed_grid)
    moving = with_place(detector.detect_side(model, pair.moving, pair.moving_grid), pair.moving_grid)
    mirrors = start is not None and np.linalg.det(start[:3, :3]) < 0
    moving_side = _OTHER[moving.side] if mirrors else moving.side
    if check and fixed.certain and moving.certain and fixed.side != moving_side:
        raise InputError(_mismatch(fixed.side, moving.side, mirrors))
    surest, side = max((fixed, fixed.side), (moving, moving_side), key=lambda found: found[0].log_odds)
    likely = {s for guess, s in ((fixed, fixed.side), (moving, moving_side)) if guess.log_odds >= detector.LIKELY}
    return (side,) if surest.certain or len(likely) == 1 else (side, _OTHER[side])


def with_place(guess: SideGuess, grid: Grid) -> SideGuess:
    """Join what an image shows with where its header puts it.

    A patient lies in the middle of the scanner, so a right knee lies to the right of it (positive R). Images that
    were centred, or whose origin nobody set, add nothing.

    Args:
        guess: what the image itself says.
        grid: the image's lattice, in the patient (RAS, mm).
    """
    aside_mm = float(grid.center_ras[0])
    corners_ijk = np.indices((2, 2, 2)).reshape(3, 8).T * (np.asarray(grid.size_ijk) - 1)
    corners_ras = transform_points(grid.ijk_to_ras, corners_ijk)
    if abs(aside_mm) < ASIDE_MM or np.linalg.norm(corners_ras, axis=1).min() < _UNSET_MM:
        return guess
    seen = guess.log_odds if guess.side == "right" else -guess.log_odds
    odds = seen + np.copysign(PLACE_LOG_ODDS, aside_mm)
    return SideGuess("right" if odds >= 0 else "left", float(abs(odds)))


def _mismatch(fixed: str, moving: str, mirrors: bool) -> str:
    found = f"the fixed image shows a {fixed} knee and the moving image a {moving} one"
    if mirrors:
        return f"{found}, but the starting transform mirrors; give one that does not, or leave it out"
    return (
        f"{found}, so they have no anatomy in common. Is one of them the wrong image, or is the orientation in one "
        "header mirrored? If both are of the same side after all, set the side (--side), or switch the check off "
        "(--no-check-side; check_side in the settings)"
    )
