"""Register the real knees of ``shared/data`` from the command line and print a table of what came out.

    python Testing/Benchmarks/real_knees.py [--data DIR] [--methods ...] [--pairs ...] [--keep DIR]

Four pairs: a knee at two flexion angles; a DESS and its own copy under a known warp; the same DESS and a
CubeQuant of that knee under the known warp; the same DESS and a DESS rendered from another knee's label map.
Methods are named as in ``joint-registration evaluate``: avsm is the networks alone, avsm:refine=20 refined.
Warps, resampling and landmark errors are SimpleITK's and NumPy's: but for the rendered knee nothing of the
library under test is used except its command line. real_pictures.py draws what --keep kept.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
import numpy as np
import SimpleITK as sitk

ROOT = Path(__file__).resolve().parents[2]
NUM_POINTS = 5000
#: Of the joint's centre; within it lie both condyles, the plateau and the patella.
JOINT_RADIUS_MM = 45.0


def default_data() -> Path:
    """Where the real knees are: JOINTREG_DATA, or shared/data beside the checkout."""
    return Path(os.environ.get("JOINTREG_DATA", ROOT.parent / "shared" / "data"))


def known_warp(points: np.ndarray, center: np.ndarray) -> np.ndarray:
    """Moving points (n, 3) to fixed points, LPS mm: 5 to 6 degrees, 2 to 4 % scale, 7 mm, and waves of 3 mm."""
    angles = np.deg2rad([5.0, -4.0, 6.0])
    rotation = sitk.Euler3DTransform((0, 0, 0), *angles)
    linear = np.array(rotation.GetMatrix()).reshape(3, 3) @ np.diag([1.04, 0.97, 1.02])
    moved = (points - center) @ linear.T + [3.0, -4.0, 5.0]
    moved[:, 0] += 2.5 * np.sin(moved[:, 1] / 15)
    moved[:, 1] += 3.0 * np.sin(moved[:, 2] / 18 + 1)
    moved[:, 2] += 2.5 * np.sin(moved[:, 0] / 13 + 2)
    return moved + center


def lattice(image: sitk.Image) -> np.ndarray:
    """Positions of all voxels, (n, 3) LPS mm, i fastest."""
    size = image.GetSize()
    k, j, i = np.meshgrid(*(np.arange(n) for n in reversed(size)), indexing="ij")
    index = np.stack([i, j, k], axis=-1).reshape(-1, 3)
    direction = np.array(image.GetDirection()).reshape(3, 3)
    return np.asarray(image.GetOrigin()) + (index * image.GetSpacing()) @ direction.T


def center_of(image: sitk.Image) -> np.ndarray:
    """Centre of the field of view, LPS mm."""
    return np.array(image.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in image.GetSize()]))


def warped_copy(source: sitk.Image, like: sitk.Image, center: np.ndarray) -> sitk.Image:
    """``source`` under the known warp, on a lattice of 256 x 256 in-plane voxels over ``like``."""
    size = [min(n, 256) for n in like.GetSize()]
    spacing = [s * (n - 1) / (m - 1) for s, n, m in zip(like.GetSpacing(), like.GetSize(), size, strict=True)]
    target = sitk.Image(size, sitk.sitkFloat32)
    target.SetSpacing(spacing)
    target.SetOrigin(like.GetOrigin())
    target.SetDirection(like.GetDirection())
    points = lattice(target)
    field = (known_warp(points, center) - points).reshape(*reversed(size), 3)
    vectors = sitk.GetImageFromArray(field, isVector=True)
    vectors.CopyInformation(target)
    transform = sitk.DisplacementFieldTransform(sitk.Cast(vectors, sitk.sitkVectorFloat64))
    return sitk.Resample(sitk.Cast(source, sitk.sitkFloat32), target, transform, sitk.sitkLinear, 0.0)


def rigid_between(fixed: sitk.Image, moving: sitk.Image) -> sitk.Transform:
    """How the patient moved between two scans, by SimpleITK's mutual information."""
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(48)
    method.SetMetricSamplingStrategy(method.REGULAR)
    method.SetMetricSamplingPercentage(0.05)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(1.0, 1e-4, 150)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel([4, 2])
    method.SetSmoothingSigmasPerLevel([2, 1])
    start = sitk.Euler3DTransform(center_of(fixed))
    method.SetInitialTransform(start, inPlace=False)
    return method.Execute(sitk.Cast(fixed, sitk.sitkFloat32), sitk.Cast(moving, sitk.sitkFloat32))


def landmark_pairs(moving: sitk.Image, tissue: sitk.Image, fixed: sitk.Image, patient: sitk.Transform, radius: float):
    """Corresponding (fixed, moving) points at edges of the tissue near the joint, each (n, 3) LPS mm.

    Edges, because inside a homogeneous muscle no registration of images can know where a point went.
    """
    center = center_of(fixed)
    edges = sitk.GetArrayFromImage(sitk.GradientMagnitudeRecursiveGaussian(tissue, 0.7)).ravel()
    points = lattice(moving)
    chosen = (edges > np.percentile(edges, 85)) & (np.linalg.norm(points - center_of(moving), axis=1) < radius)
    picked = np.random.default_rng(0).choice(np.flatnonzero(chosen), NUM_POINTS, replace=False)
    inverse = patient.GetInverse()
    there = known_warp(points[picked], center)
    fixed_points = np.array([inverse.TransformPoint(p) for p in there.tolist()])
    index = [fixed.TransformPhysicalPointToContinuousIndex(p) for p in fixed_points.tolist()]
    inside = np.all((np.array(index) >= 0) & (np.array(index) <= np.array(fixed.GetSize()) - 1), axis=1)
    return fixed_points[inside], points[picked][inside]


def errors_mm(transform: Path, pairs) -> np.ndarray:
    """Distance of each transformed fixed point from its moving point."""
    read = sitk.ReadTransform(str(transform))
    return np.linalg.norm(np.array([read.TransformPoint(p) for p in pairs[0].tolist()]) - pairs[1], axis=1)


def method_options(text: str) -> list[str]:
    """The command line's options for a method named as in ``evaluate``."""
    method, _, refine = text.partition(":refine=")
    return ["--method", method, *(["--refine", refine or "0"] if method == "avsm" else [])]


def register(fixed: Path, moving: Path, method: str, folder: Path) -> dict:
    """Run the command line; its metrics.json with the wall time added. Its notes go to the error stream."""
    command = [sys.executable, "-m", "JointRegistrationLib", "register", str(fixed), str(moving)]
    begin = time.perf_counter()
    options = ["-o", str(folder), *method_options(method), "--quiet", "--overwrite"]
    subprocess.run([*command, *options], check=True, cwd=ROOT)
    metrics = json.loads((folder / "metrics.json").read_text())
    for note in metrics["notes"]:
        click.echo(f"{folder.name}: {note}", err=True)
    return {**metrics, "wall_s": time.perf_counter() - begin}


def row(name: str, method: str, metrics: dict, tre: str) -> str:
    """One line of the table."""
    return (
        f"| {name} | {method} | {metrics['ncc_before']:.3f} → {metrics['ncc_after']:.3f} | {tre} "
        f"| {metrics['folds']} | {metrics['jacobian_min']:.2f} - {metrics['jacobian_max']:.2f} "
        f"| {metrics['inverse_error_mean_mm']:.4f} / {metrics['inverse_error_max_mm']:.2f} "
        f"| {metrics['wall_s']:.0f} | {metrics['peak_memory_mb'] / 1024:.1f} |"
    )


PAIRS = ("flexion", "dess", "cubequant", "rendered")


@click.command()
@click.option("--data", type=click.Path(path_type=Path), default=None, help="Folder with real-knee/ and knee-labels/.")
@click.option("--methods", default="affine-opt,avsm-affine,avsm,avsm:refine=20,vsvf-opt", show_default=True)
@click.option("--pairs", default=",".join(PAIRS), show_default=True)
@click.option("--keep", type=click.Path(path_type=Path), default=None, help="Keep the results in this folder.")
def main(data: Path | None, methods: str, pairs: str, keep: Path | None) -> None:
    """Print the table of docs/results.md."""
    data = data or default_data()
    if not (data / "real-knee").is_dir():
        raise click.ClickException(f"no real knees at {data / 'real-knee'}; give --data, or set JOINTREG_DATA")
    unknown = set(pairs.split(",")) - set(PAIRS)
    if unknown:
        raise click.UsageError(f"--pairs: {unknown.pop()!r} is unknown; choose of {', '.join(PAIRS)}")
    with tempfile.TemporaryDirectory() as scratch:
        folder = (keep or Path(scratch)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        click.echo(
            "| pair | method | NCC | TRE mean (95 %), mm | folds | Jacobian | inverse error mean / max, mm | s | GiB |"
        )
        click.echo("|---|---|---|---|---|---|---|---|---|")
        for pair in pairs.split(","):
            for line in rows(data, pair, methods.split(","), folder):
                click.echo(line)


def rows(data: Path, pair: str, methods: list[str], folder: Path):
    """The lines of one pair, one a method."""
    knees = data / "real-knee"
    if pair in ("dess", "cubequant"):
        yield from known_warp_rows(knees, pair, methods, folder)
        return
    if pair == "flexion":
        fixed, moving = knees / "flexion_fixed.nii.gz", knees / "flexion_moving.nii.gz"
    else:
        fixed, moving = knees / "dess.nii.gz", rendered_knee(data / "knee-labels", folder)
    for method in methods:
        metrics = register(fixed, moving, method, folder / f"{pair}--{method}")
        yield row("DESS, rendered knee" if pair == "rendered" else pair, method, metrics, "-")


def rendered_knee(labels: Path, folder: Path) -> Path:
    """A DESS-like image of the first validation knee, 80 x 192 x 192, as evaluation_pairs.py renders it."""
    from evaluation_pairs import coarser, rendered

    from JointRegistrationLib.files import read_labels, write_image

    source = sorted((labels / "validation").glob("*.nii.gz"))[0]
    scan = source.name.removesuffix(".nii.gz")
    path = folder / f"rendered-{scan}.nrrd"
    write_image(rendered(coarser(read_labels(source), 2), scan.split("_")[0], scan), path)
    return path


def known_warp_rows(knees: Path, name: str, methods: list[str], folder: Path):
    """Register the DESS to ``name`` under the known warp."""
    fixed = sitk.ReadImage(str(knees / "dess.nii.gz"))
    source = sitk.ReadImage(str(knees / f"{name}.nii.gz"))
    center = center_of(fixed)
    moving = warped_copy(source, fixed, center)
    tissue = warped_copy(fixed, fixed, center)
    path = folder / f"{name}-moving.nrrd"
    sitk.WriteImage(moving, str(path))
    patient = sitk.Euler3DTransform() if name == "dess" else rigid_between(fixed, source)
    pairs = landmark_pairs(moving, tissue, fixed, patient, JOINT_RADIUS_MM)
    before = np.linalg.norm(pairs[0] - pairs[1], axis=1)
    for method in methods:
        target = folder / f"{name}--{method}"
        metrics = register(knees / "dess.nii.gz", path, method, target)
        after = errors_mm(target / "transform.h5", pairs)
        tre = " → ".join(f"{e.mean():.2f} ({np.percentile(e, 95):.2f})" for e in (before, after))
        yield row(f"DESS, {name} warped", method, metrics, tre)


if __name__ == "__main__":
    main()
