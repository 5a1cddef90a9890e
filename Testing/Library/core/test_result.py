"""What is derived from a result."""

from __future__ import annotations

import numpy as np

from JointRegistrationLib.core.result import LOG2_JACOBIAN_FLOOR, log2_jacobian


def test_folds_and_nearly_folded_voxels_get_the_floor() -> None:
    values = log2_jacobian(np.array([-3.0, 0.0, 2.0**-12, 0.5, 1.0, 2.0]))
    assert values.dtype == np.float32
    np.testing.assert_array_equal(values, [LOG2_JACOBIAN_FLOOR] * 3 + [-1, 0, 1])
