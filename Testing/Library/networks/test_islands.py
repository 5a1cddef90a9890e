"""Pieces that lie apart from their structure are left out of a found segmentation."""

from __future__ import annotations

import numpy as np

from JointRegistrationLib.core.geometry import Grid
from JointRegistrationLib.core.structures import LABELS
from JointRegistrationLib.segmentation.islands import without_islands

GRID = Grid((20, 18, 16), (1.0, 1.0, 2.0))
FEMUR, CARTILAGE = LABELS["femur"], LABELS["femoral cartilage"]


def test_a_bone_is_its_largest_piece() -> None:
    labels = np.zeros(GRID.shape, np.uint8)
    labels[2:9, 2:9, 2:9] = FEMUR
    whole = labels.copy()
    labels[12:15, 12:15, 12:15] = FEMUR
    labels[9, 9, 9] = FEMUR  # touches by a corner only
    np.testing.assert_array_equal(without_islands(labels, GRID), whole)


def test_cartilage_may_lie_in_pieces_but_not_in_crumbs() -> None:
    labels = np.zeros(GRID.shape, np.uint8)
    labels[2:4, 2:8, 2:8] = CARTILAGE
    labels[8:10, 2:7, 2:5] = CARTILAGE  # 60 mm3
    whole = labels.copy()
    labels[13:15, 13:16, 13:15] = CARTILAGE  # 24 mm3
    np.testing.assert_array_equal(without_islands(labels, GRID), whole)


def test_one_crumb_alone_stays_and_other_labels_are_not_touched() -> None:
    labels = np.zeros(GRID.shape, np.uint8)
    labels[2, 2, 2] = CARTILAGE
    labels[5:7, 5:7, 5:7] = FEMUR
    labels[10, 10, 10] = 77
    np.testing.assert_array_equal(without_islands(labels, GRID), labels)
    assert not without_islands(np.zeros(GRID.shape, np.uint8), GRID).any()
