"""Train the network that tells a left knee from a right one, JointRegistrationLib/weights/side.safetensors.

    python Testing/Tools/train_side.py POOL OUTPUT.safetensors [--updates 2000] [--threads 1]

POOL is a folder made by ``joint-registration prepare-pool``, with ``train`` and ``validation``, all right knees.
Every knee is turned, scaled, shifted, cropped, and given another contrast, shading, noise and slice thickness.
So that the answer is "unknown" where it is, a part of the batch are no knees as the network should know
them: upside down, back to front, axes exchanged, or smooth noise; their log odds are drawn to 0.
"""

from __future__ import annotations

import time
from pathlib import Path

import click
import torch
import torch.nn.functional as F
from torch import Tensor

from JointRegistrationLib.networks import checkpoint
from JointRegistrationLib.networks.checkpoint import checksum_file
from JointRegistrationLib.networks.side import ARCHITECTURE, LATTICE_IJK, SideNet
from JointRegistrationLib.training.data.augment import AugmentConfig, generator, random_affine
from JointRegistrationLib.training.data.pool import Pool, load_pool
from JointRegistrationLib.training.record.provenance import current_commit

BATCH, NO_KNEES = 16, 3
GEOMETRY = AugmentConfig(rotation_degrees=9.0, scale=0.1, shear=0.05, translation_mm=10.0)


def knees(pool: Pool, count: int, g: torch.Generator) -> Tensor:
    """``count`` random images of the pool, (count, 1, D, H, W) in [0, 1], under random affines."""
    chosen = [pool.scans[n] for n in torch.randint(len(pool.scans), (count,), generator=g).tolist()]
    images = torch.stack([s.images[int(torch.randint(len(s.images), (1,), generator=g))] for s in chosen])
    matrices = random_affine(GEOMETRY, pool.grid, count, g)
    half = torch.tensor([(n - 1) * s / 2 for n, s in zip(pool.grid.size_ijk, pool.grid.spacing_mm, strict=True)])
    axes = torch.as_tensor(pool.grid.direction_ras, dtype=torch.float32)
    center = torch.as_tensor(pool.grid.center_ras, dtype=torch.float32)
    linear = axes.T @ matrices[:, :3, :3] @ axes * half / half[:, None]
    offset = (matrices[:, :3, :3] @ center + matrices[:, :3, 3] - center) @ axes / half
    theta = torch.cat([linear, offset[..., None]], dim=2)
    points = F.affine_grid(theta, [count, 1, *LATTICE_IJK[::-1]], align_corners=True)
    return F.grid_sample(images[:, None].float() / 255, points, align_corners=True)


def as_scanned(images: Tensor, g: torch.Generator) -> Tensor:
    """Other contrast, shading, slice thickness, noise, field of view; each image its own."""
    done = []
    for image in images[:, None]:
        draw = torch.rand(8, generator=g).tolist()
        value = image.clamp(0, 1) ** (0.5 + 1.5 * draw[0])
        if draw[1] < 0.15:
            value = 1 - value
        shade = F.interpolate(torch.randn(1, 1, 3, 3, 3, generator=g), size=value.shape[2:], mode="trilinear")
        value = value * torch.exp(0.3 * draw[2] * shade)
        if draw[3] < 0.4:
            kernel = [(3, 1, 1), (1, 3, 1), (1, 1, 3), (3, 3, 3)][int(draw[4] * 4)]
            value = F.avg_pool3d(value, kernel, 1, [k // 2 for k in kernel], count_include_pad=False)
        value = value + 0.1 * draw[5] * torch.randn(value.shape, generator=g)
        if draw[6] < 0.5:
            value = cropped(value, g)
        done.append(value.clamp(0, 1))
    return torch.cat(done)


def cropped(value: Tensor, g: torch.Generator) -> Tensor:
    """Up to a quarter of every axis's ends is not in the image."""
    kept = torch.zeros_like(value)
    window = [slice(None), slice(None)]
    for n in value.shape[2:]:
        low, high = (0.25 * torch.rand(2, generator=g) * (torch.rand(2, generator=g) < 0.5)).tolist()
        window.append(slice(int(low * n), n - int(high * n)))
    kept[tuple(window)] = value[tuple(window)]
    return kept


def no_knees(images: Tensor, g: torch.Generator) -> Tensor:
    """What should give no answer: knees upside down or back to front, axes exchanged, smooth noise."""
    done = []
    for image in images[:, None]:
        kind = int(torch.randint(4, (1,), generator=g))
        if kind == 0:
            value = image.flip(3) if torch.rand(1, generator=g) < 0.5 else image.flip(4)
        elif kind == 1:
            value = F.interpolate(image.permute(0, 1, 3, 2, 4), size=image.shape[2:])
        elif kind == 2:
            value = F.interpolate(image.permute(0, 1, 4, 3, 2), size=image.shape[2:])
        else:
            size = int(torch.randint(3, 16, (1,), generator=g))
            value = F.interpolate(
                torch.rand(1, 1, size, size, size, generator=g), size=image.shape[2:], mode="trilinear"
            )
        done.append(value)
    return torch.cat(done)


def measure(model: SideNet, pool: Pool, draws: int) -> dict[str, float]:
    """Figures on augmented knees of a pool."""
    model.eval()
    with torch.no_grad():
        odds = torch.cat([model(as_scanned(knees(pool, 32, g), g)) for g in (generator(7, n) for n in range(draws))])
        g = generator(8, 0)
        none = model(no_knees(as_scanned(knees(pool, 64, g), g), g)).abs()
    model.train()
    return {
        "right": float((odds > 0).float().mean()),
        "certainly_right": float((odds > 3).float().mean()),
        "certainly_wrong": float((odds < -3).float().mean()),
        "no_knee_certain": float((none > 3).float().mean()),
    }


@click.command()
@click.argument("pool", type=click.Path(path_type=Path, exists=True))
@click.argument("output", type=click.Path(path_type=Path))
@click.option("--updates", default=2000, show_default=True)
@click.option("--threads", default=1, show_default=True)
def main(pool: Path, output: Path, updates: int, threads: int) -> None:
    """Train, print figures as it goes on, and write weights and checksum."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    train, validation = (load_pool(pool / part, (2, 2, 2)) for part in ("train", "validation"))
    model = SideNet()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=updates)
    begin, figures = time.perf_counter(), {}
    for step in range(updates):
        g = generator(1, step)
        images = as_scanned(knees(train, BATCH, g), g)
        odds = model(torch.cat([images[NO_KNEES:], no_knees(images[:NO_KNEES], g)]))
        real, none = odds[:-NO_KNEES], odds[-NO_KNEES:]
        loss = F.softplus(-real).mean() + 0.1 * none.square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if (step + 1) % 250 == 0 or step + 1 == updates:
            figures = measure(model, validation, 4 if step + 1 < updates else 16)
            shown = " ".join(f"{name} {value:.3f}" for name, value in figures.items())
            click.echo(f"{step + 1} {time.perf_counter() - begin:.0f} s loss {loss.item():.3f} {shown}")
            save(model, output, pool, {**figures, "updates": step + 1})


def save(model: SideNet, output: Path, pool: Path, figures: dict[str, float]) -> None:
    """Weights, float16, and their checksum beside them."""
    header = checkpoint.Header(ARCHITECTURE, {}, f"{pool}: renderings of right knees", current_commit(), dict(figures))
    digest = checkpoint.save_weights(output, model, header, half=True)
    checksum_file(output).write_text(f"{digest}  {output.name}\n")


if __name__ == "__main__":
    main()
