"""Register the demo's pair, a phantom under a known deformation, by several methods and print the errors.

python Testing/Benchmarks/demo_pair.py
"""

from __future__ import annotations

import time

import click
import numpy as np

from JointRegistrationLib.core.config import NetworkConfig, RegistrationConfig
from JointRegistrationLib.phantom import make_pair
from JointRegistrationLib.registration.register import register

SEED = 7
CONFIGS = {
    "affine-opt": RegistrationConfig(method="affine-opt"),
    "avsm-affine": RegistrationConfig(method="avsm-affine"),
    "avsm": RegistrationConfig(method="avsm", network=NetworkConfig(refine=0)),
    "avsm, refine 10": RegistrationConfig(method="avsm", network=NetworkConfig(refine=10)),
    "avsm, refine 20 (the default)": RegistrationConfig(method="avsm", network=NetworkConfig(refine=20)),
    "avsm, refine 30": RegistrationConfig(method="avsm", network=NetworkConfig(refine=30)),
    "vsvf-opt": RegistrationConfig(method="vsvf-opt"),
}


@click.command()
def main() -> None:
    """Print the table of docs/results.md."""
    pair = make_pair(SEED)
    labelled = pair.fixed.labels.array > 0
    truth = pair.displacement_field_mm[labelled]
    click.echo("| method | mean error at bone and cartilage, mm | NCC | folds | s |")
    click.echo("|---|---|---|---|---|")
    click.echo(f"| nothing | {np.linalg.norm(truth, axis=-1).mean():.2f} | | | |")
    for name, config in CONFIGS.items():
        begin = time.perf_counter()
        result = register(pair.fixed.image, pair.moving.image, config)
        seconds = time.perf_counter() - begin
        error = np.linalg.norm(result.displacement_field_mm[labelled] - truth, axis=-1).mean()
        click.echo(f"| {name} | {error:.2f} | {result.similarity_after:.3f} | {result.folds.count} | {seconds:.0f} |")
        for note in result.notes:
            click.echo(f"{name}: {note}", err=True)


if __name__ == "__main__":
    main()
