"""Draw the icon: a sagittal knee inside a grid that bends around the joint.

Run ``python Resources/draw_icon.py`` with Pillow installed; it writes the extension's and the
module's icon. The drawing is made at eight times the size and reduced, for smooth edges.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

SIZE = 128
OVERSAMPLING = 8

BACKGROUND = (20, 38, 58, 255)
GRID = (84, 160, 208, 165)
BONE = (240, 229, 206, 255)
BONE_EDGE = (122, 98, 66, 255)
CARTILAGE = (255, 142, 72, 255)

# Outlines in a unit square, y downwards; closed curves pass through the points smoothly.
FEMUR = [(0.37, -0.08), (0.59, -0.08), (0.60, 0.14), (0.68, 0.24), (0.80, 0.33), (0.84, 0.43), (0.79, 0.53)]
FEMUR += [(0.66, 0.575), (0.48, 0.585), (0.34, 0.54), (0.275, 0.44), (0.30, 0.31), (0.36, 0.17)]
TIBIA = [(0.235, 0.705), (0.29, 0.66), (0.50, 0.68), (0.74, 0.655), (0.81, 0.70), (0.74, 0.80), (0.65, 0.92)]
TIBIA += [(0.63, 1.08), (0.39, 1.08), (0.37, 0.93), (0.29, 0.84)]
PATELLA = [(0.19, 0.22), (0.225, 0.26), (0.235, 0.36), (0.20, 0.44), (0.145, 0.42), (0.125, 0.32), (0.145, 0.24)]
FEMUR_CARTILAGE = [
    (0.835, 0.46),
    (0.785, 0.535),
    (0.66, 0.58),
    (0.48, 0.59),
    (0.34, 0.545),
    (0.275, 0.45),
    (0.275, 0.39),
]
TIBIA_CARTILAGE = [(0.29, 0.662), (0.39, 0.668), (0.50, 0.679), (0.62, 0.668), (0.74, 0.657)]


def smooth_curve(points: list[tuple[float, float]], closed: bool) -> np.ndarray:
    """Catmull-Rom curve through ``points``: (n, 2) in the unit square."""
    p = np.asarray(points)
    padded = np.vstack([p[-1], p, p[0], p[1]]) if closed else np.vstack([p[0], p, p[-1]])
    t = np.linspace(0, 1, 24, endpoint=False)[:, None]
    pieces = []
    for a, b, c, d in zip(padded, padded[1:], padded[2:], padded[3:], strict=False):
        pieces.append(0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3))
    return np.vstack(pieces)


def bend(points: np.ndarray) -> np.ndarray:
    """Swirl about the joint, fading outwards: a smooth map without folds."""
    centre = np.array([0.5, 0.62])
    offset = points - centre
    angle = 0.55 * np.exp(-(offset**2).sum(axis=1) / 0.09)
    cos, sin = np.cos(angle), np.sin(angle)
    return centre + np.column_stack([cos * offset[:, 0] - sin * offset[:, 1], sin * offset[:, 0] + cos * offset[:, 1]])


def draw_icon() -> Image.Image:
    """The icon, RGBA, ``SIZE`` pixels square with rounded corners."""
    side = SIZE * OVERSAMPLING
    icon = Image.new("RGBA", (side, side), BACKGROUND)
    pen = ImageDraw.Draw(icon)

    def pixels(points: np.ndarray) -> list[tuple[float, float]]:
        return [(float(x), float(y)) for x, y in points * side]

    def stroke(points: np.ndarray, colour: tuple[int, ...], width: float) -> None:
        radius = width * side / 2
        for (x0, y0), (x1, y1) in itertools.pairwise(pixels(points)):
            for t in np.linspace(0, 1, 6):  # discs close together: round ends, no ragged joints
                x, y = x0 + t * (x1 - x0), y0 + t * (y1 - y0)
                pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)

    for outline in (FEMUR, TIBIA, PATELLA):
        curve = smooth_curve(outline, closed=True)
        pen.polygon(pixels(curve), fill=BONE)
        stroke(np.vstack([curve, curve[:1]]), BONE_EDGE, 0.014)
    for outline in (FEMUR_CARTILAGE, TIBIA_CARTILAGE):
        stroke(smooth_curve(outline, closed=False), CARTILAGE, 0.038)

    lines = Image.new("RGBA", (side, side))
    grid_pen = ImageDraw.Draw(lines)
    along = np.linspace(-0.1, 1.1, 200)
    for position in np.linspace(0.02, 0.98, 9):
        across = np.full_like(along, position)
        for line in (np.column_stack([along, across]), np.column_stack([across, along])):
            grid_pen.line(pixels(bend(line)), fill=GRID, width=round(0.011 * side), joint="curve")
    icon = Image.alpha_composite(icon, lines)

    corners = Image.new("L", (side, side))
    ImageDraw.Draw(corners).rounded_rectangle((0, 0, side - 1, side - 1), radius=0.14 * side, fill=255)
    icon.putalpha(corners)
    return icon.resize((SIZE, SIZE), Image.Resampling.LANCZOS)


def main() -> None:
    """Write both copies: Slicer wants the module's inside the module's folder."""
    root = Path(__file__).resolve().parent.parent
    icon = draw_icon()
    for folder in (root / "Resources", root / "JointRegistration/Resources/Icons"):
        folder.mkdir(parents=True, exist_ok=True)
        icon.save(folder / "JointRegistration.png", optimize=True)


if __name__ == "__main__":
    main()
