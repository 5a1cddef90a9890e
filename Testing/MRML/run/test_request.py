"""The arguments of the console as a request."""

from __future__ import annotations

import pytest

from JointRegistrationLib.core.config import RegistrationConfig
from JointRegistrationLib.core.errors import ConfigError, InputError
from JointRegistrationMRML.run.register import makeRequest


def test_settings_go_before_the_configuration():
    arguments = {"method": "vsvf-opt", "landmarkWeight": 0.5, "checkSide": False, "device": None}
    config = makeRequest(None, None, RegistrationConfig(method="avsm-affine", device="cpu"), arguments).config
    assert (config.method, config.landmarks.weight, config.check_side, config.device) == ("vsvf-opt", 0.5, False, "cpu")


def test_a_setting_that_is_wrong_or_not_known_is_refused():
    with pytest.raises(ConfigError, match="refine"):
        makeRequest(None, None, None, {"refine": -1})
    with pytest.raises(InputError, match=r"unknown argument 'refines'; known are .*landmarkWeight"):
        makeRequest(None, None, None, {"refines": 1})
