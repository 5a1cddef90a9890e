"""Landmark files in every frame and form, all read as RAS mm."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from JointRegistrationLib.core.errors import FileError, InputError
from JointRegistrationLib.files import read_landmark_pairs, read_landmarks

POINTS = np.array([[1.5, -2.0, 3.0], [40.0, 50.5, -60.0]])
LPS = POINTS * (-1, -1, 1)


def markups(points: np.ndarray, frame: str | None, **extra: object) -> str:
    names = [f"F-{n + 1}" for n in range(len(points))]
    control = [
        {"label": name, "position": point, "positionStatus": "defined"}
        for name, point in zip(names, points.tolist(), strict=True)
    ]
    body = {"type": "Fiducial", "controlPoints": control, **extra}
    if frame is not None:
        body["coordinateSystem"] = frame
    return json.dumps({"markups": [body]})


def fcsv(points: np.ndarray, frame: str | None) -> str:
    header = "# Markups fiducial file version = 4.11\n"
    header += f"# CoordinateSystem = {frame}\n" if frame is not None else ""
    header += "# columns = id,x,y,z,ow,ox,oy,oz,vis,sel,lock,label,desc,associatedNodeID\n"
    rows = [f'{n},{x},{y},{z},0,0,0,1,1,1,0,F-{n + 1},"a, b",' for n, (x, y, z) in enumerate(points)]
    return header + "\n".join(rows) + "\n"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.mrk.json", markups(LPS, "LPS")),
        ("a.mrk.json", markups(POINTS, "RAS")),
        ("a.mrk.json", markups(LPS, None)),
        ("a.json", markups(POINTS, "RAS")),
        ("a.fcsv", fcsv(LPS, "LPS")),
        ("a.fcsv", fcsv(POINTS, "RAS")),
        ("a.fcsv", fcsv(POINTS, "0")),
        ("a.fcsv", fcsv(LPS, "1")),
        ("a.fcsv", fcsv(POINTS, None)),
        ("a.csv", "x,y,z\n1.5,-2,3\n40,50.5,-60\n"),
        ("a.csv", "\ufefflabel, Z, X, Y\nA,3,1.5,-2\nB,-60,40,50.5\n\n"),
        ("a.csv", "1.5,-2,3\n40,50.5,-60"),
        ("A.CSV", "1.5, -2, 3\r\n40, 50.5, -60\r\n"),
    ],
)
def test_points_are_read_in_ras(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert read_landmarks(tmp_path / name) == pytest.approx(POINTS)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.mrk.json", "{", "not a valid landmark file"),
        ("a.mrk.json", "{}", "not a valid landmark file"),
        ("a.mrk.json", '{"markups": []}', "one list of markups"),
        ("a.mrk.json", markups(POINTS[:0], "RAS"), "no landmarks"),
        ("a.mrk.json", markups(POINTS, "IJK"), "coordinate system 'IJK'"),
        ("a.mrk.json", markups(POINTS, "RAS").replace("defined", "undefined"), "'F-1' has no position"),
        ("a.mrk.json", markups(POINTS[:, :2], "LPS"), "must be three numbers"),
        ("a.fcsv", fcsv(POINTS, "2"), "coordinate system '2'"),
        ("a.fcsv", "# columns = id,x,y,z\n1,2,three,4\n", "not a valid landmark file"),
        ("a.csv", "", "no landmarks"),
        ("a.csv", "x,y,z\n", "no landmarks"),
        ("a.csv", "a,b,c\n1,2,3\n", "columns x, y and z"),
        ("a.csv", "x,y,z\n1,2,nan\n", "finite"),
        ("a.csv", "x,y,z\n1,2\n", "not a valid landmark file"),
        ("a.csv", "1,2,3\n4,5\n", "landmark"),
        ("a.txt", "1,2,3\n", "landmarks of this kind"),
    ],
)
def test_what_cannot_be_used_is_named(name: str, text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=said) as caught:
        read_landmarks(tmp_path / name)
    assert str(caught.value).startswith(str(tmp_path / name))


def test_a_missing_and_a_binary_file(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="no such file"):
        read_landmarks(tmp_path / "a.csv")
    (tmp_path / "b.csv").write_bytes(b"\xff\xfe\x80\x81")
    with pytest.raises(FileError, match="not a text file"):
        read_landmarks(tmp_path / "b.csv")


def test_pairs_follow_the_labels_where_both_files_use_the_same_ones(tmp_path: Path) -> None:
    (tmp_path / "f.csv").write_text("label,x,y,z\nacl,1,2,3\npcl,4,5,6\n")
    (tmp_path / "m.csv").write_text("label,x,y,z\npcl,40,50,60\nacl,10,20,30\n")
    pairs = read_landmark_pairs(tmp_path / "f.csv", tmp_path / "m.csv")
    assert pairs.names == ("acl", "pcl")
    assert pairs.moving_ras.tolist() == [[10, 20, 30], [40, 50, 60]]


def test_pairs_follow_the_order_otherwise(tmp_path: Path) -> None:
    (tmp_path / "f.csv").write_text("label,x,y,z\nF-1,1,2,3\nF-2,4,5,6\n")
    (tmp_path / "m.csv").write_text("label,x,y,z\nM-2,40,50,60\nM-1,10,20,30\n")
    pairs = read_landmark_pairs(tmp_path / "f.csv", tmp_path / "m.csv")
    assert pairs.moving_ras.tolist() == [[40, 50, 60], [10, 20, 30]]


def test_unequal_numbers_of_points_are_refused(tmp_path: Path) -> None:
    (tmp_path / "f.csv").write_text("1,2,3\n4,5,6\n")
    (tmp_path / "m.csv").write_text("1,2,3\n")
    with pytest.raises(InputError, match=r"m\.csv: 1 landmarks, but .*f\.csv has 2"):
        read_landmark_pairs(tmp_path / "f.csv", tmp_path / "m.csv")


def _markups(path: Path, points: dict[str, float]) -> Path:
    listed = [{"label": label, "position": [x, 0.0, 0.0]} for label, x in points.items()]
    path.write_text(json.dumps({"markups": [{"coordinateSystem": "RAS", "controlPoints": listed}]}))
    return path


def test_points_of_other_labels_are_paired_in_order(tmp_path: Path) -> None:
    pairs = read_landmark_pairs(
        _markups(tmp_path / "f.mrk.json", {"F-1": 1, "F-2": 2}),
        _markups(tmp_path / "m.mrk.json", {"M-1": 10, "M-2": 20}),
    )
    assert pairs.moving_ras[:, 0].tolist() == [10, 20]


def test_labels_that_contradict_the_order_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"m\.mrk\.json: its labels .* in another order \('a' beside 'b'\)"):
        read_landmark_pairs(
            _markups(tmp_path / "f.mrk.json", {"a": 1, "b": 2, "c": 3}),
            _markups(tmp_path / "m.mrk.json", {"b": 20, "a": 10, "x": 30}),
        )


def test_coordinates_that_are_not_in_mm_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "p.mrk.json"
    point = {"label": "a", "position": [1, 2, 3]}
    path.write_text(json.dumps({"markups": [{"coordinateUnits": "cm", "controlPoints": [point]}]}))
    with pytest.raises(InputError, match="its coordinates are in cm"):
        read_landmarks(path)
