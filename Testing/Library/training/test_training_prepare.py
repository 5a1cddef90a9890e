"""From folders of knees, named by tags, by pattern or by a table, to a pool that every preset trains on."""

from __future__ import annotations

import csv
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from click.testing import CliRunner, Result

from JointRegistrationLib.cli import cli
from JointRegistrationLib.core.errors import ConfigError, FileError, InputError
from JointRegistrationLib.core.serialization import to_json
from JointRegistrationLib.evaluation.pairs import read_pairs
from JointRegistrationLib.training.config import PRESETS, TrainingConfig
from JointRegistrationLib.training.data.alignment import CLIP_MM
from JointRegistrationLib.training.data.augment import AugmentConfig, generator
from JointRegistrationLib.training.data.batches import draw_batch
from JointRegistrationLib.training.data.pool import Pool, Scan, load_pool
from JointRegistrationLib.training.data.scans import Source, find_sources, list_pairs, read_table, split_subjects
from JointRegistrationLib.training.loop import Trainer
from JointRegistrationLib.training.objectives import distance_loss, overlap_loss
from Testing.Support.training_cases import knee_labels

SIZE = (16, 24, 24)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(a) for a in arguments])


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def knee(subject: int, visit: int, *, left: bool = False) -> tuple[sitk.Image, sitk.Image]:
    """An image and its label map over 112 x 140 x 140 mm: axes R A S, or L A S for a left knee."""
    labels = np.roll(knee_labels(), (subject % 3, visit), axis=(1, 2)).transpose(1, 2, 0)  # (S, A, R)
    rng = np.random.default_rng([subject, visit])
    levels = np.array([20, 60, 140, 70, 130, 80, 120])
    values = (levels[labels] + 10 * rng.random(labels.shape)).astype(np.int16)
    images = []
    for array in (values, labels):
        image = sitk.GetImageFromArray(array)
        image.SetSpacing((7.0, 140 / 32, 140 / 32))
        image.SetDirection((1.0 if left else -1.0, 0, 0, 0, -1, 0, 0, 0, 1))
        images.append(image)
    return images[0], images[1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four patients, two visits each, as NIfTI, with label maps and a table; patient 2's knee is a left one."""
    root = tmp_path_factory.mktemp("knees")
    with (root / "scans.csv").open("w", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["file", "subject", "visit", "side", "labels"])
        for subject in range(4):
            for visit in range(2):
                side = "left" if subject == 2 else "right"
                name = f"{subject}_{12 * visit:02d}m_{side}.nii.gz"
                image, labels = knee(subject, visit, left=side == "left")
                sitk.WriteImage(image, str(root / name))
                sitk.WriteImage(labels, str(root / f"labels-{subject}-{visit}.nii.gz"))
                table.writerow([name, subject, 12 * visit, side, f"labels-{subject}-{visit}.nii.gz"])
    return root


@pytest.fixture(scope="module")
def labelled(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder prepared by its table."""
    output = tmp_path_factory.mktemp("labelled")
    result = run("prepare", folder, output, "--table", folder / "scans.csv", "--size", *SIZE)
    assert result.exit_code == 0, result.output
    return output


@pytest.fixture(scope="module")
def unlabelled(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder prepared by the names of its files."""
    output = tmp_path_factory.mktemp("unlabelled")
    pattern = r"^(?P<subject>\d)_(?P<visit>\d\d)m_(?P<side>left|right)\.nii"
    result = run("prepare", folder, output, "--pattern", pattern, "--size", *SIZE, "--jobs", 2)
    assert result.exit_code == 0, result.output
    assert "8 scans of 4 patients" in result.output and "no label maps" in result.output
    return output


def write_series(folder: Path, image: sitk.Image, tags: dict[str, str]) -> None:
    """One DICOM file a slice along the image's last axis."""
    folder.mkdir(parents=True)
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    direction = image.GetDirection()
    uid = f"1.2.{abs(hash(str(folder))) % 10**8}"
    for n in range(image.GetSize()[2]):
        piece = image[:, :, n : n + 1]
        values = {
            "0008|0060": "MR",
            "0020|000e": uid,
            "0008|0018": f"{uid}.{n + 1}",
            "0020|0032": "\\".join(f"{v:.6f}" for v in piece.GetOrigin()),
            "0020|0037": "\\".join(str(direction[k]) for k in (0, 3, 6, 1, 4, 7)),
            **tags,
        }
        for tag, value in values.items():
            piece.SetMetaData(tag, value)
        writer.SetFileName(str(folder / f"{n:03d}"))
        writer.SetImageIO("GDCMImageIO")
        writer.Execute(piece)


# -- what lies where ------------------------------------------------------------------------------------


def test_dicom_tags_tell_patient_visit_and_side(tmp_path: Path) -> None:
    series = {
        "a": {"0010|0020": "p1", "0008|0020": "20040924", "0020|0060": "L", "0008|103e": "SAG_3D_DESS_LEFT"},
        "b": {"0010|0020": "p1", "0008|0020": "20050924", "0008|103e": "SAG_3D_DESS_LEFT"},
        "c": {"0010|0020": "p2", "0008|0020": "20050101", "0020|0062": "R", "0008|103e": "SAG_3D_DESS"},
        "d": {"0010|0020": "p2", "0008|0020": "20050101", "0020|0062": "R", "0008|103e": "scout"},
    }
    for name, tags in series.items():
        write_series(tmp_path / "in" / name, knee(0, 0)[0], tags)
    found = find_sources(tmp_path / "in", description="DESS")
    assert [(s.file.name, s.subject, s.visit, s.side) for s in found] == [
        ("a", "p1", "20040924", "left"),
        ("b", "p1", "20050924", "left"),
        ("c", "p2", "20050101", "right"),
    ]
    with pytest.raises(InputError, match="both are p2_20050101_right"):
        find_sources(tmp_path / "in")
    result = run("prepare", tmp_path / "in", tmp_path / "out", "--description", "DESS", "--size", 16, 16, 16)
    assert result.exit_code == 0, result.output
    assert len(list((tmp_path / "out").rglob("*.safetensors"))) == 3


def test_what_a_folder_does_not_tell_is_asked_for(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(FileError, match="without --pattern"):
        find_sources(folder)
    with pytest.raises(ConfigError, match="subject"):
        find_sources(folder, pattern="x")
    with pytest.raises(ConfigError, match="regular expression"):
        find_sources(folder, pattern="(")
    with pytest.raises(FileError, match="no such folder"):
        find_sources(folder / "none")
    with pytest.raises(InputError, match="right or left is needed; give --side"):
        find_sources(folder, pattern=r"^(?P<subject>\d)_(?P<visit>\d\d)m")
    told = find_sources(folder, pattern=r"^(?P<subject>\d)_(?P<visit>\d\d)m", side="right")
    assert {s.side for s in told} == {"right"} and len(told) == 8
    table = tmp_path / "t.csv"
    table.write_text("file,subject,visit\n0_00m_right.nii.gz,0,0\n")
    with pytest.raises(InputError, match="line 2: side"):
        read_table(table, folder)
    table.write_text("file,subject,visit,side\nnone.nii.gz,0,0,right\n")
    with pytest.raises(FileError, match=r"none\.nii\.gz does not exist"):
        read_table(table, folder)
    result = run("prepare", folder, tmp_path / "o", "--table", table, "--side", "left")
    assert result.exit_code == 2 and "--table tells everything" in result.output


# -- split and pairs --------------------------------------------------------------------------------------


def many(subjects: int) -> list[Source]:
    return [
        Source(Path(f"{n}-{visit}"), f"p{n:03d}", str(visit), "left" if n % 3 == 0 else "right")
        for n in range(subjects)
        for visit in range(2)
    ]


def test_patients_are_split_70_10_20_and_nobody_is_in_two_parts() -> None:
    splits = split_subjects(many(50), seed=3)
    assert Counter(splits.values()) == {"train": 35, "validation": 5, "test": 10}
    assert splits == split_subjects(many(50)[::-1], seed=3) != split_subjects(many(50), seed=4)
    assert Counter(split_subjects(many(2)).values()) == {"train": 1, "validation": 1}
    with pytest.raises(InputError, match="at least two patients"):
        split_subjects(many(1))


def test_pairs_are_of_one_side_both_ways_and_no_more_than_asked_for() -> None:
    pairs = list_pairs(many(30), 0.1)
    assert all(a.side == b.side and a is not b for _, a, b in pairs)
    assert all((group == "longitudinal") == (a.subject == b.subject) for group, a, b in pairs)
    names = {(a.name, b.name) for _, a, b in pairs}
    assert {(b, a) for a, b in names} == names and len(names) == len(pairs)
    assert Counter(group for group, _, _ in pairs) == {"longitudinal": 60, "cross-subject": 400}
    assert pairs == list_pairs(many(30), 0.1)


# -- what is made -----------------------------------------------------------------------------------------


def scan(pool: Pool, name: str) -> Scan:
    return next(s for s in pool.scans if s.name == name)


def splits_of(output: Path) -> dict[str, str]:
    return {row["name"]: row["split"] for row in rows(output / "scans.csv")}


def test_a_left_knee_is_mirrored_and_labels_lie_on_its_image(labelled: Path) -> None:
    split = splits_of(labelled)
    left, right = (scan(load_pool(labelled / split[name]), name) for name in ("2_0_left", "0_0_right"))
    for knee_scan, rolled in ((left, 2), (right, 0)):
        assert knee_scan.labelled and knee_scan.images.shape == (1, *SIZE)
        expected = np.roll(knee_labels(), rolled, axis=1)  # arrays of both files are the same
        places = [np.argwhere(expected == 3).mean(axis=0) / (np.array(expected.shape) - 1)]
        places.append(np.argwhere(knee_scan.labels.numpy() == 3).mean(axis=0) / (np.array(SIZE) - 1))
        assert np.allclose(places[0], places[1], atol=0.06)
        bone, background = (knee_scan.images[0][knee_scan.labels == v].float().mean() for v in (3, 0))
        assert bone > background
    assert left.subject == "2 left"


def test_lists_hold_pairs_of_their_split_only(labelled: Path, folder: Path) -> None:
    split = splits_of(labelled)
    assert Counter(split.values()) == {"train": 4, "validation": 2, "test": 2}
    for part in ("train", "validation", "test"):
        for row in rows(labelled / f"pairs-{part}.csv"):
            assert split[row["fixed"]] == split[row["moving"]] == part
    files = rows(labelled / "test-files.csv")
    assert [row["group"] for row in files] == ["longitudinal"] * 2
    assert all(Path(row["fixed"]).is_file() and Path(row["moving_labels"]).is_file() for row in files)
    assert len(read_pairs(labelled / "test-files.csv")) == 2
    assert json.loads((labelled / "train" / "affines.json").read_text()).keys() == {
        name for name, part in split.items() if part == "train"
    }


def test_prepared_scans_are_kept_and_bad_ones_are_named(tmp_path: Path) -> None:
    for subject in range(4):
        sitk.WriteImage(knee(subject, 0)[0], str(tmp_path / f"{subject}.nii.gz"))
    sources = find_sources(tmp_path, pattern=r"^(?P<subject>\d)\.nii", side="right")
    bad = next(name for name, split in split_subjects(sources).items() if split == "train")
    (tmp_path / f"{bad}.nii.gz").write_bytes(b"nothing")
    arguments = ("prepare", tmp_path, tmp_path / "out", "--pattern", r"^(?P<subject>\d)\.nii", "--side", "right")
    first = run(*arguments, "--size", 16, 16, 16)
    assert first.exit_code == 0, first.output
    assert first.output.count("left out") == 1 and f"{bad}.nii.gz" in first.output
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.safetensors")}
    assert len(files) == 3
    assert run(*arguments, "--size", 16, 16, 16).exit_code == 0
    assert files == {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.safetensors")}
    for path in tmp_path.glob("*.nii.gz"):
        path.write_bytes(b"nothing")
    failed = run("prepare", tmp_path, tmp_path / "none", *arguments[3:])
    assert failed.exit_code == 2 and "no scan is left for train" in failed.output


# -- and trained on -----------------------------------------------------------------------------------------


def quick(preset: str, pool: Path, weights: tuple[str, ...] = (), **losses: object) -> TrainingConfig:
    """A preset at the size of these pools, everything else as it is."""
    config = PRESETS[preset]
    return replace(
        config,
        data=replace(config.data, pool=str(pool), shrink=(1, 1, 1), listed_pairs=preset.startswith("published")),
        optimizer=replace(config.optimizer, steps=2, batch=1),
        losses=replace(config.losses, **losses),  # type: ignore[arg-type]
        initial_weights=weights,
        log_every=1,
        validate_every=2,
        validation_pairs=2,
        device="cpu",
    )


def trained(config: TrainingConfig, folder: Path) -> list[dict[str, str]]:
    path = folder.with_suffix(".json")
    path.write_text(to_json(config))
    result = run("train", "--config", path, "--output-dir", folder, "--threads", 1)
    assert result.exit_code == 0, result.output
    return rows(folder / "validation.csv")


def test_presets_for_labels_run_one_after_the_other(labelled: Path, tmp_path: Path) -> None:
    weights: dict[str, str] = {}
    starts = {"affine": (), "affine-overlap": ("affine",), "vsvf": (), "joint": ("affine-overlap", "vsvf")}
    for preset, before in starts.items():
        config = quick(preset, labelled, tuple(weights[name] for name in before))
        (figures,) = trained(config, tmp_path / preset)
        # After two updates an affine may still send every structure elsewhere: overlap says nothing yet.
        assert 0 <= float(figures["longitudinal_dice_all"]) <= 1 and float(figures["longitudinal_folds"]) < 5
        steps = rows(tmp_path / preset / "log.csv")
        assert [row["step"] for row in steps] == ["1", "2"]
        assert all(np.isfinite(float(value)) for row in steps for value in row.values())
        weights[preset] = str(tmp_path / preset / "last.safetensors")
        assert (tmp_path / preset / "examples" / "step-0000002.png").stat().st_size > 10_000


def test_published_presets_run_on_images_alone_one_after_the_other(unlabelled: Path, tmp_path: Path) -> None:
    weights: tuple[str, ...] = ()
    for preset in ("published-affine", "published-multi-step", "published-vsvf"):
        config = quick(preset, unlabelled, weights, symmetric_from_epoch=0, local_from_epoch=0)
        (figures,) = trained(config, tmp_path / preset)
        assert "longitudinal_dice" not in figures
        assert -1 <= float(figures["score"]) == float(figures["longitudinal_similarity"]) <= 1
        weights = (*weights[-1:], str(tmp_path / preset / "last.safetensors"))
        assert (tmp_path / preset / "examples" / "step-0000002.png").exists()
        symmetry = "map_symmetry" if preset == "published-vsvf" else "affine_symmetry"
        assert symmetry in rows(tmp_path / preset / "log.csv")[-1]


def test_losses_on_labels_without_labels_are_refused_at_once(unlabelled: Path, tmp_path: Path) -> None:
    result = run("train", "--preset", "affine", "--pool", unlabelled, "--output-dir", tmp_path / "run")
    assert result.exit_code == 2
    assert "no scan of this pool has a label map" in result.output
    assert not (tmp_path / "run").exists()


def test_listed_pairs_are_the_only_ones_drawn(labelled: Path, tmp_path: Path) -> None:
    pool = load_pool(labelled / "train", pairs=labelled / "pairs-train.csv")
    listed = {(row["fixed"], row["moving"]) for row in rows(labelled / "pairs-train.csv")}
    both = pool.longitudinal_pairs() + pool.cross_subject_pairs()
    assert {(pool.scans[a].name, pool.scans[b].name) for a, b in both} == listed
    with pytest.raises(FileError, match=r"data\.listed_pairs"):
        load_pool(labelled / "train", pairs=tmp_path / "none.csv")
    (tmp_path / "odd.csv").write_text("fixed,moving\nx,y\n")
    with pytest.raises(FileError, match="'x' is neither a column nor a scan"):
        load_pool(labelled / "train", pairs=tmp_path / "odd.csv")


def test_pairs_without_both_label_maps_add_nothing_to_losses_on_labels(labelled: Path, tmp_path: Path) -> None:
    whole = load_pool(labelled / "train")
    bare = tuple(replace(s, distances=s.distances[:0]) for s in whole.scans)
    mixed = Pool((*bare[:2], *whole.scans[2:]), whole.grid)
    batch = draw_batch(mixed, AugmentConfig(), 12, generator(0, 1), same_subject=0.5)
    known = [(field < CLIP_MM).flatten(1).any(dim=1) for field in (batch.fixed_distances, batch.moving_distances)]
    assert torch.equal(known[0], known[1]) and 0 < known[0].sum() < 12
    unknown = draw_batch(Pool(bare, whole.grid), AugmentConfig(), 2, generator(0, 1))
    assert distance_loss(unknown.moving_distances, unknown.fixed_distances) == 0
    assert overlap_loss(unknown.moving_distances, unknown.fixed_distances, 0.8) == pytest.approx(0, abs=1e-4)
    config = quick("joint", labelled)
    config = replace(config, losses=replace(config.losses, similarity=1.0))
    trainer = Trainer(config, tmp_path, mixed, whole)
    assert len(trainer.train_pool.scans) == 4 and trainer.update()["similarity"] > 0
    labels_only = Trainer(quick("joint", labelled), tmp_path, mixed, whole)
    assert len(labels_only.train_pool.scans) == 2
