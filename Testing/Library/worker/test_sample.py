"""The sample pair on disk, from the library and from the terminal."""

from __future__ import annotations

import numpy as np

from JointRegistrationLib.files import read_image, read_labels
from JointRegistrationLib.phantom import LABEL_NAMES
from JointRegistrationLib.worker.sample import LABELS, NAMES, is_complete
from Testing.Support.cli_cases import run


def test_names_of_the_labels_are_the_phantoms():
    assert {value: name.lower() for value, (name, _) in LABELS.items()} == LABEL_NAMES


def test_make_sample_writes_two_knees_with_their_labels(tmp_path):
    folder = tmp_path / "knees"
    assert not is_complete(folder)
    result = run("make-sample", folder, "--size", 24, 24, 16, "--seed", 3)
    assert result.exit_code == 0, result.output
    assert is_complete(folder)
    assert result.stdout.split() == [str(folder / name) for name in NAMES]
    fixed, moving = read_image(folder / "fixed.nrrd"), read_image(folder / "moving.nrrd")
    assert fixed.array.dtype == np.int16
    assert fixed.grid.size_ijk == (24, 24, 16)
    assert not np.array_equal(fixed.array, moving.array)
    labels = read_labels(folder / "moving_labels.nrrd")
    assert labels.grid.is_close(moving.grid)
    assert set(np.unique(labels.array)) == {0, *LABELS}
    first = moving.array
    run("make-sample", folder, "--size", 24, 24, 16, "--seed", 4)
    assert not np.array_equal(read_image(folder / "moving.nrrd").array, first)
