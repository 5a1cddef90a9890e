"""The segmenter's training: code maps, drawn images, losses, the loop."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from JointRegistrationLib.core.errors import ConfigError, FileError, InputError
from JointRegistrationLib.core.serialization import to_json
from JointRegistrationLib.networks.blocks import fold
from JointRegistrationLib.networks.checkpoint import read_header
from JointRegistrationLib.networks.segmenter import CLASSES, Segmenter, SegmenterConfig, unfold
from JointRegistrationLib.phantom import TISSUES
from JointRegistrationLib.training.data.augment import generator
from JointRegistrationLib.training.optimizer import OptimizerConfig
from JointRegistrationLib.training.record.provenance import read_config
from JointRegistrationLib.training.segmenter.config import (
    SEGMENT_PRESETS,
    SegmentDataConfig,
    SegmentLossConfig,
    SegmentTrainingConfig,
)
from JointRegistrationLib.training.segmenter.knee_codes import (
    CLASS_OF_CODE,
    CODE,
    OUTSIDE,
    Knee,
    code_map,
    load_knees,
    split_tibial,
)
from JointRegistrationLib.training.segmenter.loop import SegmentTrainer, random_box, segmentation_losses
from JointRegistrationLib.training.segmenter.synthesis import SynthesisConfig, draw_sample, moved_codes
from JointRegistrationLib.training.segmenter.tissue_signals import random_signals

MODEL = SegmenterConfig(channels=(4, 4, 4, 4), fine_channels=4)
SPACING = (3.5, 3.5, 3.5)


def tiny_labels() -> np.ndarray:
    """Slabs of bone and cartilage, tibial cartilage in two parts along the first axis, a lesion in the femur."""
    labels = np.zeros((32, 40, 40), np.uint8)
    labels[4:28, 22:36, 8:30] = 1
    labels[12:16, 28:30, 12:16] = 7
    labels[4:28, 19:22, 8:30] = 2
    labels[4:28, 4:14, 8:30] = 3
    labels[4:13, 14:17, 8:30] = 4
    labels[18:28, 14:17, 8:30] = 4
    labels[10:22, 20:32, 33:38] = 5
    labels[10:22, 20:32, 31:33] = 6
    return labels


def tiny_knee(name: str = "a") -> Knee:
    labels = tiny_labels()
    soft = np.full((16, 20, 20), TISSUES.index("fat"), np.uint8)
    soft[:, :2] = TISSUES.index("air")
    codes = torch.from_numpy(code_map(labels, soft, soft))
    dess = (torch.rand(16, 20, 20, generator=torch.Generator().manual_seed(3)) * 255).to(torch.uint8)
    return Knee(name, codes, SPACING, dess)


def tiny_config(part: str = "trunk", **changes: object) -> SegmentTrainingConfig:
    values = {
        "part": part,
        "model": MODEL,
        "data": SegmentDataConfig(shrink=2 if part == "trunk" else 1, patch=(8, 12, 12), real="nowhere"),
        "optimizer": OptimizerConfig(learning_rate=2e-3, steps=6, batch=2, warmup_steps=2),
        "log_every": 2,
        "validate_every": 3,
    }
    return SegmentTrainingConfig(**{**values, **changes})  # type: ignore[arg-type]


def trainer(folder: Path, config: SegmentTrainingConfig) -> SegmentTrainer:
    return SegmentTrainer(config, folder, (tiny_knee("a"), tiny_knee("b")), (tiny_knee("c"),))


# -- knees ------------------------------------------------------------------------------------------------


def test_a_code_map_tells_lesions_cortex_and_the_halves_of_the_tibial_cartilage_apart() -> None:
    codes = tiny_knee().codes
    classes = CLASS_OF_CODE[codes.long()].numpy()
    labels = tiny_labels()
    for number, name in ((1, "femur"), (7, "femur"), (3, "tibia"), (5, "patella"), (2, "femoral cartilage")):
        assert (classes[labels == number] == CLASSES.index(name)).all()
    tibial = classes[labels == 4].reshape(-1)
    assert set(tibial) == {CLASSES.index("medial tibial cartilage"), CLASSES.index("lateral tibial cartilage")}
    assert (classes[18:28][labels[18:28] == 4] == CLASSES.index("lateral tibial cartilage")).all()
    assert codes[13, 29, 14] == CODE["femur lesion"] and codes[14, 24, 10] == CODE["femur marrow"]
    assert codes[14, 35, 20] == CODE["femur cortex"]
    assert (classes[labels == 0] == 0).all()


def test_a_map_without_tibial_cartilage_cannot_be_parted() -> None:
    with pytest.raises(InputError, match="tibial cartilage"):
        split_tibial(np.zeros((8, 8, 8), bool))


def test_knees_come_back_from_their_files_and_a_missing_pool_says_how_to_make_it(tmp_path: Path) -> None:
    knee = tiny_knee()
    save_file({"codes": knee.codes}, tmp_path / "a.safetensors", {"subject": "1", "spacing_kji_mm": "[3.5, 3.5, 3.5]"})
    (found,) = load_knees(tmp_path)
    assert found.spacing_kji_mm == SPACING and found.dess is None and torch.equal(found.codes, knee.codes)
    with pytest.raises(FileError, match="prepare-knees"):
        load_knees(tmp_path / "none")


# -- drawn images -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("shrink", [1, 2])
def test_a_drawn_image_depends_on_its_generator_only(shrink: int) -> None:
    first, again = (draw_sample(tiny_knee(), SynthesisConfig(), shrink, generator(5, 7)) for _ in range(2))
    other = draw_sample(tiny_knee(), SynthesisConfig(), shrink, generator(5, 8))
    assert torch.equal(first.image, again.image) and torch.equal(first.target, again.target)
    assert not torch.equal(first.image, other.image)
    assert first.image.shape == (1, 1, 16 // shrink, 20 // shrink, 20 // shrink)
    assert first.target.shape == (1, len(CLASSES), *first.image.shape[2:])


def test_many_drawn_images_are_finite_and_their_targets_are_shares() -> None:
    for n in range(30):
        sample = draw_sample(tiny_knee(), SynthesisConfig(), 2, generator(0, n))
        assert torch.isfinite(sample.image).all()
        assert sample.image.min() >= 0 and sample.image.max() <= 1
        torch.testing.assert_close(sample.target.sum(dim=1), torch.ones_like(sample.target[:, 0]))


def test_without_motion_codes_stay_where_they_are() -> None:
    still = SynthesisConfig(rotation_degrees=0, scale=0, shift_mm=0, deformation_mm=0, mirrored=0)
    knee = tiny_knee()
    size = (32, 40, 40)
    assert torch.equal(moved_codes(knee, still, size, generator(0, 0)), knee.codes)
    left = moved_codes(knee, replace(still, mirrored=1.0), size, generator(0, 0))
    assert torch.equal(left, knee.codes.flip(0))


def test_far_outside_the_scan_there_is_nothing_but_shafts_go_on_a_little() -> None:
    away = SynthesisConfig(rotation_degrees=0, scale=1.0, shift_mm=0, deformation_mm=0, mirrored=0, beyond_mm=7.0)
    seen = [moved_codes(tiny_knee(), away, (32, 40, 40), generator(0, n)) for n in range(12)]
    assert any(bool((codes == OUTSIDE).any()) for codes in seen)
    assert not all(bool((codes == OUTSIDE).any()) for codes in seen)


def test_dess_like_images_have_bright_fluid_and_dark_marrow_the_others_have_anything() -> None:
    def brighter(dess: bool) -> float:
        draws = [random_signals(dess, generator(1, n))[0] for n in range(60)]
        return float(np.mean([d[CODE["fluid"]] > d[CODE["femur marrow"]] for d in draws]))

    assert brighter(True) > 0.95 and 0.2 < brighter(False) < 0.8


# -- network and losses -----------------------------------------------------------------------------------


def test_unfolding_undoes_folding() -> None:
    x = torch.rand(2, 3, 4, 6, 8)
    assert torch.equal(unfold(fold(x)), x)


def test_a_part_gets_the_fine_logits_that_the_whole_gets_there() -> None:
    torch.manual_seed(0)
    model = Segmenter(MODEL)
    torch.nn.init.normal_(model.fine.head.weight)
    image = torch.rand(1, 1, 32, 64, 64)
    whole = model(image)[1]
    part = model(image, (slice(4, 28), slice(16, 56), slice(8, 48)))[1]
    inner = (..., slice(8, -8), slice(8, -8), slice(8, -8))  # beyond the reach of three convolutions
    assert whole.shape == (1, len(CLASSES), 32, 64, 64)
    torch.testing.assert_close(part[inner], whole[..., 12:20, 24:48, 16:40], atol=1e-4, rtol=1e-4)


def test_losses_are_least_for_the_truth_and_count_cartilage_more() -> None:
    target = torch.zeros(1, len(CLASSES), 8, 8, 8)
    target[:, 0], target[:, 0, 2:4], target[:, 1, 2:4] = 1, 0, 1
    right = segmentation_losses(20 * target, target, SegmentLossConfig())
    wrong = segmentation_losses(20 * target.roll(2, dims=2), target, SegmentLossConfig())
    assert float(sum(right.values())) < 1e-3 < float(wrong["dice"])
    even = torch.zeros_like(target)
    bone = segmentation_losses(even, target, SegmentLossConfig(dice=0))
    cartilage = segmentation_losses(even, target.roll(3, dims=1), SegmentLossConfig(dice=0))
    assert float(cartilage["cross_entropy"]) > float(bone["cross_entropy"])


def test_patches_hold_cartilage_and_keep_to_blocks() -> None:
    target = draw_sample(tiny_knee(), SynthesisConfig(), 1, generator(0, 1)).target
    for n in range(10):
        box = random_box(target, (8, 12, 12), generator(0, n))
        assert all(s.start % 4 == 0 and s.stop <= size for s, size in zip(box, target.shape[2:], strict=True))
        assert float(target[(0, slice(4, None), *box)].sum()) > 0


# -- the loop ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", ["trunk", "fine", "all"])
def test_resumed_training_equals_uninterrupted_training_bit_for_bit(tmp_path: Path, part: str) -> None:
    config = tiny_config(part)
    whole = trainer(tmp_path / "whole", config)
    whole.start()
    whole.run()
    first = trainer(tmp_path / "parts", config)
    first.start()
    first.run(until=3)
    second = trainer(tmp_path / "parts", config)
    second.resume()
    assert second.progress.step == 3
    second.run()
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, second.model.state_dict()[name]), name
    assert (tmp_path / "whole" / "log.csv").read_text().split("\n")[0].startswith("step,seconds,rate,cross_entropy")
    assert "random_bones" in (tmp_path / "parts" / "validation.csv").read_text()


def test_a_part_that_is_not_trained_stays(tmp_path: Path) -> None:
    run = trainer(tmp_path, tiny_config("fine"))
    before = {name: value.clone() for name, value in run.model.state_dict().items()}
    run.start()
    run.run()
    changed = {name for name, value in run.model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed and all(name.startswith("fine.") for name in changed)


def test_the_next_run_takes_over_what_the_first_trained(tmp_path: Path) -> None:
    first = trainer(tmp_path / "first", tiny_config("trunk"))
    first.start()
    first.run()
    weights = tmp_path / "first" / "last.safetensors"
    assert read_header(weights).figures["trained"] == ["trunk."]
    second = trainer(tmp_path / "second", tiny_config("all", initial_weights=(str(weights),)))
    second.start()
    for name, value in first.model.state_dict().items():
        if name.startswith("trunk."):
            assert torch.equal(value, second.model.state_dict()[name])


def test_training_learns_to_find_the_slabs(tmp_path: Path) -> None:
    still = SynthesisConfig(
        dess_like=1.0, shapes=0.0, rotation_degrees=0, scale=0, shift_mm=0, deformation_mm=0, mirrored=0
    )
    data = SegmentDataConfig(shrink=2, synthesis=still, real="nowhere")
    steps = OptimizerConfig(learning_rate=1e-2, steps=60, batch=1, warmup_steps=2)
    run = trainer(tmp_path, tiny_config("trunk", data=data, optimizer=steps))
    run.start()
    run.run()
    with (tmp_path / "log.csv").open(newline="") as stream:
        missing = [float(row["dice"]) for row in csv.DictReader(stream)]
    assert np.mean(missing[-5:]) < 0.8 * np.mean(missing[:5])


def test_presets_come_back_from_json_and_wrong_settings_are_refused(tmp_path: Path) -> None:
    for name, preset in SEGMENT_PRESETS.items():
        path = tmp_path / f"{name}.json"
        path.write_text(to_json(preset))
        assert read_config(path) == preset
    with pytest.raises(ConfigError, match="part"):
        tiny_config("head")
    with pytest.raises(ConfigError, match="shrink"):
        tiny_config("all", data=SegmentDataConfig(shrink=2))
    with pytest.raises(ConfigError, match="patch"):
        SegmentDataConfig(patch=(6, 8, 8))
