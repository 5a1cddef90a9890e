"""The table of settings against the configuration, and against the panel's form."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from xml.etree import ElementTree

import pytest

from JointRegistrationLib.core.config import DETAIL_WEIGHTS, RegistrationConfig
from JointRegistrationLib.core.errors import ConfigError
from JointRegistrationLib.core.settings import SETTINGS, camel_case, with_settings

FORM = Path(__file__).parents[3] / "JointRegistration" / "Resources" / "UI" / "JointRegistration.ui"
DEFAULTS = RegistrationConfig()
OTHERS = {
    "method": "vsvf-opt",
    "refine": 7,
    "detail": "smooth",
    "similarity": "ncc",
    "regularity": 2.5,
    "landmark_weight": 0.125,
    "side": "left",
    "check_side": False,
    "affine_steps": 3,
    "vsvf_steps": 4,
    "working_millions": 1.25,
    "device": "cpu",
}


def test_the_defaults_are_the_configurations_to_the_last_digit():
    assert with_settings(DEFAULTS, {name: setting.default for name, setting in SETTINGS.items()}) == DEFAULTS


def test_every_setting_changes_what_it_is_called_after_and_is_shown_as_given():
    assert set(OTHERS) == set(SETTINGS)
    for name, value in OTHERS.items():
        changed = with_settings(DEFAULTS, {name: value})
        shown = {other: setting.value(changed) for other, setting in SETTINGS.items()}
        assert shown == {other: setting.default for other, setting in SETTINGS.items()} | {name: value}


def test_what_is_not_given_stays_as_it_is():
    config = with_settings(DEFAULTS, OTHERS)
    assert with_settings(config, dict.fromkeys(SETTINGS)) == config


def test_both_deformations_follow_similarity_and_regularity():
    config = with_settings(DEFAULTS, OTHERS)
    assert config.vsvf.similarity.name == config.lddmm.similarity.name == "ncc"
    assert config.lddmm.regularity == 2.5 * DEFAULTS.lddmm.regularity / DEFAULTS.vsvf.regularity
    assert config.vsvf.velocity.weights == DETAIL_WEIGHTS["smooth"]


def test_detail_keeps_the_rest_of_the_velocity():
    velocity = dataclasses.replace(DEFAULTS.vsvf.velocity, steps=9)
    config = dataclasses.replace(DEFAULTS, vsvf=dataclasses.replace(DEFAULTS.vsvf, velocity=velocity))
    assert with_settings(config, {"detail": "smooth"}).vsvf.velocity.steps == 9


@pytest.mark.parametrize(
    ("millions", "voxels"), [(2.95, DEFAULTS.preprocess.max_working_voxels), (2.94, 2_940_000), (2.96, 2_960_000)]
)
def test_the_first_resolution_shown_stands_for_the_exact_one(millions, voxels):
    assert with_settings(DEFAULTS, {"working_millions": millions}).preprocess.max_working_voxels == voxels


@pytest.mark.parametrize("values", [{"refine": 2.5}, {"refine": -1}, {"side": "both"}, {"check_side": "no"}])
def test_a_wrong_type_or_a_value_out_of_range_is_refused(values):
    with pytest.raises(ConfigError, match=next(iter(values))):
        with_settings(DEFAULTS, values)


def test_the_panels_form_has_a_control_for_every_setting_with_its_limits():
    tied, combos = {}, set()
    for widget in ElementTree.parse(FORM).iter("widget"):
        values = {found.get("name"): found[0].text for found in widget.findall("property")}
        tied[values.get("SlicerParameterName")] = values
        combos.add(widget.get("name"))
    for name, setting in SETTINGS.items():
        if setting.choices:
            assert f"{camel_case(name)}ComboBox" in combos
        elif setting.limits is None:
            assert camel_case(name) in tied
        else:
            control = tied[camel_case(name)]
            assert (float(control["minimum"]), float(control["maximum"])) == setting.limits
