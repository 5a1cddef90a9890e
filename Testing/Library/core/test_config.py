"""Configuration: checked when built, and JSON as its saved form."""

import dataclasses
import json

import pytest

from JointRegistrationLib.core.config import (
    AffineConfig,
    PreprocessConfig,
    RegistrationConfig,
    SimilarityConfig,
    VelocityConfig,
    VsvfConfig,
    detail_of,
    with_detail,
)
from JointRegistrationLib.core.errors import ConfigError
from JointRegistrationLib.core.serialization import from_dict, from_json, to_json

CHANGED = RegistrationConfig(
    method="affine-opt",
    device="cpu",
    preprocess=PreprocessConfig(max_working_voxels=50_000),
    affine=AffineConfig(model="rigid", levels=(4, 1), similarity=SimilarityConfig("lncc", 11)),
    vsvf=VsvfConfig(velocity=VelocityConfig(sigmas_mm=(3.0,), weights=(1.0,), integrator="rk4")),
)


@pytest.mark.parametrize("config", [RegistrationConfig(), CHANGED])
def test_json_gives_the_same_configuration_back(config):
    assert from_json(RegistrationConfig, to_json(config)) == config


def test_settings_saved_before_the_kernel_s_metric_keep_their_kernel_and_optimiser():
    velocity = {"sigmas_mm": [4.0, 8.0], "weights": [0.5, 0.5], "integrator": "scaling-squaring", "steps": 10}
    saved = {"vsvf": {"velocity": velocity, "regularity": 10.0, "optimizer": "lbfgs"}}
    config = from_dict(RegistrationConfig, saved)
    assert config.vsvf == VsvfConfig(
        velocity=VelocityConfig((4.0, 8.0), (0.5, 0.5), steps=10), regularity=10.0, optimizer="lbfgs"
    )
    assert from_json(RegistrationConfig, to_json(config)) == config


def test_a_geodesic_has_no_kernel_metric():
    with pytest.raises(ConfigError, match=r"lddmm.optimizer: 'kernel-lbfgs' is unknown; choose one of lbfgs, adam"):
        from_dict(RegistrationConfig, {"lddmm": {"optimizer": "kernel-lbfgs"}})


def test_missing_values_keep_their_defaults():
    config = from_dict(RegistrationConfig, {"affine": {"model": "similarity"}})
    assert config == dataclasses.replace(RegistrationConfig(), affine=AffineConfig(model="similarity"))


def test_integers_are_accepted_for_real_numbers():
    assert from_dict(VsvfConfig, {"regularity": 3}).regularity == 3.0


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"metod": "vsvf-opt"}, r"RegistrationConfig: unknown setting 'metod'; known are method"),
        ({"affine": {"levels": [4, 2], "modle": 1}}, r"RegistrationConfig.affine: unknown setting 'modle'"),
        ({"method": "syn"}, r"registration.method: 'syn' is unknown; choose one of"),
        ({"device": "tpu"}, r"registration.device"),
        ({"method": 3}, r"str is needed, but 3"),
        ({"affine": 3}, r"a JSON object is needed"),
        ({"affine": {"levels": 4}}, r"a list is needed"),
        ({"affine": {"levels": []}}, r"at least one shrink factor"),
        ({"affine": {"levels": [1, 2]}}, r"from coarse to fine"),
        ({"affine": {"levels": [0]}}, r"levels: 0 is out of range; give a value from 1 to 64"),
        ({"affine": {"iterations": 2.5}}, r"int is needed"),
        ({"affine": {"iterations": True}}, r"int is needed"),
        ({"affine": {"iterations": -1}}, r"out of range"),
        ({"affine": {"similarity": {"name": "ssd"}}}, r"similarity.name: 'ssd' is unknown"),
        ({"preprocess": {"lower_percentile": 60.0}}, r"lower_percentile: 60.0 is out of range"),
        ({"vsvf": {"regularity": float("nan")}}, r"a finite number is needed"),
        ({"vsvf": {"velocity": {"sigmas_mm": [5.0]}}}, r"one weight per sigma"),
        ({"vsvf": {"velocity": {"sigmas_mm": [5.0], "weights": [0.5]}}}, r"must sum to 1, but sum to 0.5"),
        ({"vsvf": {"velocity": {"integrator": "euler"}}}, r"integrator: 'euler' is unknown"),
        ({"vsvf": {"optimizer": "sgd"}}, r"optimizer: 'sgd' is unknown"),
    ],
)
def test_wrong_values_are_refused_with_what_is_allowed(values, message):
    with pytest.raises(ConfigError, match=message):
        from_dict(RegistrationConfig, values)


def test_broken_json_is_refused():
    with pytest.raises(ConfigError, match="not valid JSON"):
        from_json(RegistrationConfig, "{")


def test_configuration_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        RegistrationConfig().method = "other"


def test_saved_form_is_plain_json():
    assert json.loads(to_json(CHANGED))["vsvf"]["velocity"]["integrator"] == "rk4"


def test_details_are_kernels_by_name() -> None:
    fine = VelocityConfig(steps=6)
    smooth = with_detail(fine, "smooth")
    assert smooth.steps == 6 and smooth.weights[0] < fine.weights[0]
    assert (detail_of(fine), detail_of(smooth), detail_of(with_detail(smooth, "fine"))) == ("fine", "smooth", "fine")
    with pytest.raises(ConfigError, match=r"velocity.detail: 'coarse' is unknown; choose one of fine, smooth"):
        with_detail(fine, "coarse")
